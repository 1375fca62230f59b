import type { RouterDocument } from 'documents';

/** What the metadata service reads: its guests, the legs it listens on, and the addresses guests are seen under. */
export type MetadataPart = Pick<
  RouterDocument,
  'id' | 'legs' | 'metadataGuests' | 'dhcpSubnets' | 'sourceNats' | 'staticNats'
>;

/** User data and meta data; what cloud-init's CloudStack data source and CloudStack's own scripts ask. */
export const METADATA_PORT = 80;
/** CloudStack's password server. */
export const PASSWORD_PORT = 8080;
