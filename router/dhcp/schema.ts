import type { RouterDocument } from 'documents';

/** What address assignment reads: only hosts with a reservation are served, and only on guest legs. */
export type DhcpPart = Pick<RouterDocument, 'id' | 'legs' | 'dhcpSubnets' | 'dhcpHosts'>;
