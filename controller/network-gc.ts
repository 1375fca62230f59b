/** Shuts networks down that have had no guests for a while, and completes what was begun. */
import { isCollectable } from './model/network-state.ts';
import { settleNetwork, shutDownNetwork } from './store/networks.ts';
import type { Store } from './store/store.ts';

export interface NetworkGc {
  /** Looks once at every network that may be due. Returns the ids of those it changed. */
  run(): Promise<string[]>;
  stop(): Promise<void>;
}

export interface NetworkGcOptions {
  readonly store: Store;
  /** How long a network may be without guests, ms. */
  readonly wait: number;
  readonly onError: (error: unknown) => void;
}

/** At most this long after a network is due it is looked at, ms. */
const EVERY = 5000;

export const startNetworkGc = ({ store, wait, onError }: NetworkGcOptions): NetworkGc => {
  const run = async (): Promise<string[]> => {
    const candidates = await store.db
      .selectFrom('network')
      .select('id')
      .where((eb) => eb.or([eb('idle_since', '<=', store.now() - wait), eb('state', '=', 'shutting-down')]))
      .execute();
    const changed: string[] = [];
    for (const { id } of candidates) {
      const done = await store.transaction(async (trx) => {
        const network = await trx.selectFrom('network').selectAll().where('id', '=', id).executeTakeFirst();
        if (network === undefined) return false;
        if (network.state === 'shutting-down') return settleNetwork(trx, network);
        const offering = await trx
          .selectFrom('network_offering')
          .select('persistent')
          .where('id', '=', network.offering_id)
          .executeTakeFirstOrThrow();
        const { state, idle_since: idleSince } = network;
        if (!isCollectable({ state, idleSince, persistent: offering.persistent === 1 }, store.now(), wait))
          return false;
        await shutDownNetwork(trx, network);
        return true;
      });
      if (done) changed.push(id);
    }
    return changed;
  };
  let running: Promise<unknown> = Promise.resolve();
  let queued = false;
  const soon = (): void => {
    if (queued) return;
    queued = true;
    running = running.then(async () => {
      queued = false;
      await run().catch(onError);
    });
  };
  const timer = setInterval(soon, Math.max(500, Math.min(EVERY, wait / 2)));
  timer.unref();
  // The end of a shut-down is an operation's end.
  const stopListening = store.onChange(({ operations }) => {
    if (operations.length > 0) soon();
  });
  return {
    run,
    stop: async () => {
      clearInterval(timer);
      stopListening();
      await running;
    },
  };
};
