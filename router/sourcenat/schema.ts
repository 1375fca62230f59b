/** Source NAT reads which guest legs leave through which leg, and with which address and ports. */
import type { RouterDocument } from 'documents';

export { SourceNat } from 'documents';
export type SourceNatDocument = Pick<RouterDocument, 'legs' | 'handover' | 'sourceNats'>;
