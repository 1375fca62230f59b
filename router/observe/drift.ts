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
  readonly onError: (error: unknown) => void;
}

/**
 * Follows what others do to links, addresses, routes and nftables in this namespace, and has it compared and mended.
 * Our own changes are announced too: a comparison that finds nothing is their end.
 */
export const watchDrift = (watched: Watched): Monitor => {
  const dirty = new Set<string>();
  let rulesetNumber: number | null = null;
  let first = 0;
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    timer = undefined;
    if (rulesetNumber !== null && rulesetNumber === watched.rulesetGeneration()) dirty.delete('ruleset');
    rulesetNumber = null;
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
      for (const name of ['ruleset', 'legs', 'routes']) dirty.add(name);
    } else if (event.type === 'link' || event.type === 'address' || event.type === 'route') {
      dirty.add('legs');
      dirty.add('routes');
    } else return;
    lookSoon();
  };
  const { onError } = watched;
  const monitors = [
    monitor({ groups: ['link', 'address4', 'address6', 'route4', 'route6'], onError }, handle),
    monitor({ groups: ['nftables'], receiveBufferBytes: TABLE_BUFFER, onError }, handle),
  ];
  const regular = setInterval(() => {
    watched.heal(new Set(['legs', 'routes', 'dhcp', 'dns', 'loadbalancer', 'metadata'])).catch(onError);
  }, REGULAR);
  const regularTable = setInterval(() => {
    watched.heal(new Set(['ruleset'])).catch(onError);
  }, REGULAR_TABLE);
  const close = (): void => {
    clearTimeout(timer);
    clearInterval(regular);
    clearInterval(regularTable);
    for (const each of monitors) each.close();
  };
  return {
    close,
    unref: () => {
      regular.unref();
      regularTable.unref();
      for (const each of monitors) each.unref();
    },
    [Symbol.dispose]: close,
  };
};
