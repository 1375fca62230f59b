import type { KeyObject } from 'node:crypto';
import type { FastifyBaseLogger } from 'fastify';
import type { Caller } from '../auth/caller.ts';
import type { Delivery } from '../deliver/delivery.ts';
import type { Store } from '../store/store.ts';

/** The slice of delivery the API asks routers through. */
export type RouterLink = Pick<Delivery, 'requestRouter'>;

/** What routes need besides the request. */
export interface ApiContext {
  readonly store: Store;
  readonly routers: RouterLink;
  readonly log: FastifyBaseLogger;
  /** Who may sign bundles. */
  readonly trustedKeys: readonly KeyObject[];
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; set before a handler of `/v1` runs. */
    caller: Caller;
  }
}
