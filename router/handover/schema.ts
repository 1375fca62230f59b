/** The handover feature reads the router's place in the chain, and who its neighbours are. */
import type { RouterDocument } from 'documents';

export { Handover, HandoverLink } from 'documents';
export type HandoverDocument = Pick<RouterDocument, 'legs' | 'dhcpHosts' | 'handover'>;

/** The table that steers, one of each address family: `dup` is a statement of these. */
export const STEERING_TABLE = 'selvage_handover';
