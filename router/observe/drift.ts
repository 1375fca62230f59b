import { monitor, type Monitor, type MonitorEvent } from 'node-netlink';

/** Changes come in groups: look once the kernel has been quiet for this long, ms... */
const QUIET = 50;
/** ... but not later than this after the first. */
const LATEST = 500;
/** Everything but the table is compared this often without being told of a change, ms. */
const REGULAR = 60_000;
/** The table, whose changes are announced reliably and whose comparison wakes a helper, this often. */
const REGULAR_TABLE = 15 * 60_000;
/**
 * Room for announcements of table changes, bytes. Little, on purpose: a bulk load of our own announces every element,
 * and one overrun that says "look again" is cheaper than reading them all.
 */
const TABLE_BUFFER = 64 * 1024;

/** What the watch asks of the router. */
export interface Watched {
  /** Compares and mends; only the features named, or all. */
  readonly heal: (only?: ReadonlySet<string>) => Promise<readonly string[]>;
  /** Number of the kernel's ruleset by our last look or transaction. */
  readonly rulesetGeneration: () => number;
  /** Whether a hand-over goes on: what it needs is compared as often as the rest then, else as often as the table. */
  readonly handingOver: () => boolean;
  readonly onError: (error: unknown) => void;
}

/** A running watch. */
export interface DriftWatch {
  /**
   * Does `task` without listening to the table, and looks at it afterwards: a bulk load that announces every element to
   * somebody takes a fifth longer.
   */
  readonly deaf: <Result>(task: () => Promise<Result>) => Promise<Result>;
  readonly close: () => void;
}

/**
 * Follows what others do to links, addresses, routes and nftables in this namespace, and has it compared and mended.
 * Our own changes are announced too: a comparison that finds nothing is their end.
 */
export const watchDrift = (watched: Watched): DriftWatch => {
  const dirty = new Set<string>();
  let rulesetNumber: number | null = null;
  let first = 0;
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    timer = undefined;
    if (rulesetNumber !== null && rulesetNumber === watched.rulesetGeneration()) dirty.delete('ruleset');
    rulesetNumber = null;
    // Somebody else's transaction may be about any table.
    if (dirty.has('ruleset')) dirty.add('handover');
    if (dirty.size === 0) return;
    const only = new Set(dirty);
    dirty.clear();
    watched.heal(only).catch(watched.onError);
  };
  const lookSoon = (): void => {
    const now = performance.now();
    if (timer === undefined) first = now;
    else clearTimeout(timer);
    timer = setTimeout(look, Math.max(0, Math.min(QUIET, first + LATEST - now)));
    timer.unref();
  };
  const handle = (event: MonitorEvent): void => {
    if (event.type === 'nftables') {
      rulesetNumber = event.change.generation;
      dirty.add('ruleset');
    } else if (event.type === 'resync') {
      for (const name of ['ruleset', 'handover', 'legs', 'routes']) dirty.add(name);
    } else if (event.type === 'link' || event.type === 'address' || event.type === 'route') {
      dirty.add('handover');
      dirty.add('legs');
      dirty.add('routes');
    } else return;
    lookSoon();
  };
  const { onError } = watched;
  const links = monitor({ groups: ['link', 'address4', 'address6', 'route4', 'route6'], onError }, handle);
  const listen = (): Monitor =>
    monitor({ groups: ['nftables'], receiveBufferBytes: TABLE_BUFFER, onError }, handle);
  let table = listen();
  let closed = false;
  const regular = setInterval(() => {
    watched
      .heal(
        new Set([
          ...(watched.handingOver() ? ['handover'] : []),
          'legs',
          'routes',
          'dhcp',
          'dns',
          'loadbalancer',
          'metadata',
        ]),
      )
      .catch(onError);
  }, REGULAR);
  const regularTable = setInterval(() => {
    watched.heal(new Set(['handover', 'ruleset'])).catch(onError);
  }, REGULAR_TABLE);
  return {
    deaf: async (task) => {
      table.close();
      try {
        return await task();
      } finally {
        if (!closed) {
          table = listen();
          // What others did meanwhile was not heard: the number of the ruleset tells whether they did anything.
          dirty.add('ruleset');
          lookSoon();
        }
      }
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
      clearInterval(regular);
      clearInterval(regularTable);
      links.close();
      table.close();
    },
  };
};
