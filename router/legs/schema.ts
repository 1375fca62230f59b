/** The legs feature reads the network interfaces of a router and what each is for. */
import type { RouterDocument } from 'documents';

export { Leg } from 'documents';
export type LegsDocument = Pick<RouterDocument, 'legs' | 'sourceNats' | 'handover'>;
