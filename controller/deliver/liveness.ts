import { type HostState, hostState } from '../model/host-state.ts';
import type { Store } from '../store/store.ts';
import { tellChange } from './tell-change.ts';

export interface Liveness {
  /** A sign of life. Written at most every few seconds for each host. */
  seen(host: string): void;
  /** Tells of hosts that went down or came up since the last call. */
  check(): Promise<void>;
}

/** Between two writes of `last_seen_at`, ms. */
const WRITE_EVERY = 5000;

export const openLiveness = (store: Store, onError: (error: unknown) => void): Liveness => {
  const startedAt = store.now();
  const written = new Map<string, number>();
  const known = new Map<string, HostState>();
  return {
    seen: (host) => {
      const now = store.now();
      if (now - (written.get(host) ?? 0) < WRITE_EVERY) return;
      written.set(host, now);
      store.db.updateTable('host').set({ last_seen_at: now }).where('id', '=', host).execute().catch(onError);
    },
    check: async () => {
      const now = store.now();
      const hosts = await store.db.selectFrom('host').select(['id', 'name', 'last_seen_at']).execute();
      for (const { id, name, last_seen_at } of hosts) {
        // While the controller itself was away nobody could be seen.
        const state = hostState(last_seen_at === null ? null : Math.max(last_seen_at, startedAt), now);
        if (state === 'unknown' || known.get(id) === state) continue;
        await tell(store, id, name, state);
        known.set(id, state);
      }
    },
  };
};

const tell = (store: Store, id: string, name: string, state: 'up' | 'down'): Promise<void> =>
  store.transaction((trx) =>
    tellChange(trx, ['host.up', 'host.down'], {
      account: null,
      type: `host.${state}`,
      level: state === 'up' ? 'info' : 'error',
      resource: id,
      message:
        state === 'up'
          ? `Host ${name} (${id}) is up`
          : `Host ${name} (${id}) is not heard of; what runs on it goes on as it was`,
    }),
  );
