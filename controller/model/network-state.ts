import type { NetworkTable } from '../store/schema.ts';

export type NetworkState = NetworkTable['state'];

/**
 * Which state may follow which:
 *
 *     allocated -> implementing -> implemented -> shutting-down -> allocated
 *                       ^                              |
 *                       +------ a guest came back -----+       and from each of them: destroying
 */
const followers: Readonly<Record<NetworkState, readonly NetworkState[]>> = {
  allocated: ['implementing', 'destroying'],
  implementing: ['implemented', 'shutting-down', 'destroying'],
  implemented: ['shutting-down', 'destroying'],
  'shutting-down': ['allocated', 'implementing', 'destroying'],
  destroying: [],
};

export const mayFollow = (from: NetworkState, to: NetworkState): boolean => followers[from].includes(to);

/** Whether a network without guests may be shut down: it has been idle for `wait` ms, and nothing asks for it to stay. */
export const isCollectable = (
  network: {
    readonly state: NetworkState;
    readonly idleSince: number | null;
    readonly persistent: boolean;
  },
  now: number,
  wait: number,
): boolean =>
  !network.persistent &&
  network.idleSince !== null &&
  now - network.idleSince >= wait &&
  mayFollow(network.state, 'shutting-down');
