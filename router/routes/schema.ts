/** Routes reads static routes, and the legs' gateways for the default ones. */
import type { RouterDocument } from 'documents';

export { Route } from 'documents';
export type RoutesDocument = Pick<RouterDocument, 'legs' | 'routes'>;
