import type { RouterDocument } from 'documents';

/** What name service reads: the names of guests come from their reservations, their domains from the subnets. */
export type DnsPart = Pick<RouterDocument, 'id' | 'legs' | 'dhcpSubnets' | 'dhcpHosts' | 'dns'>;
