/** Static NAT reads which public address belongs to which guest. */
import type { RouterDocument } from 'documents';

export { StaticNat } from 'documents';
export type StaticNatDocument = Pick<RouterDocument, 'legs' | 'sourceNats' | 'staticNats' | 'portForwards'>;
