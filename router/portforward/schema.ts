/** Port forwarding reads which ports of public addresses lead to which guests, and who else claims those ports. */
import type { RouterDocument } from 'documents';

export { PortForward } from 'documents';
export type PortForwardDocument = Pick<RouterDocument, 'legs' | 'portForwards' | 'staticNats'>;
