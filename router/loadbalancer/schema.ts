import type { RouterDocument } from 'documents';

/**
 * What load balancing reads: its balancers; the legs they listen on and whose guests they use; and the translations that
 * could take their connections away.
 */
export type LoadBalancerPart = Pick<
  RouterDocument,
  'id' | 'loadBalancers' | 'legs' | 'portForwards' | 'staticNats'
>;

/** Where haproxy finds and keeps things, below the folder it is started in. */
export const haproxyPaths = {
  configuration: 'haproxy.cfg',
  candidate: 'haproxy.cfg.check',
  runtimeSocket: 'runtime.sock',
  masterSocket: 'master.sock',
  /** Empty; the worker's root directory. */
  jail: 'jail',
} as const;
