/**
 * In which order many routers are upgraded, and which may begin when. Pure: the run asks again whenever something ended.
 */

export type Needs = 'nothing' | 'patch' | 'replace';

/** What is known of a router that was selected. */
export interface Candidate {
  readonly router: string;
  readonly network: string;
  readonly host: string;
  readonly zone: string;
  /** A standby carries no traffic: what it does as a canary proves nothing. */
  readonly role: 'active' | 'standby';
  readonly needs: Needs;
}

export interface Limits {
  /** How many routers go before all others. */
  readonly canaries: number;
  /** How many follow at a time; the next batch begins when all of one are judged. */
  readonly batch: number;
  /** At most this many at a time on one host. */
  readonly perHost: number;
  /** At most this many at a time of one network; of a redundant pair never both. */
  readonly perNetwork: number;
}

/** A router's place in the order. Wave 0 are the canaries, 1 and up the batches; null: nothing to do. */
export interface Place<Of extends Candidate = Candidate> {
  readonly candidate: Of;
  readonly position: number;
  readonly wave: number | null;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** One of each group after the other, then the second of each, and so on. Groups and their members keep their order. */
const interleaved = <Item>(items: readonly Item[], groupOf: (item: Item) => string): Item[] => {
  const groups = [...Map.groupBy(items, groupOf).values()];
  const longest = Math.max(0, ...groups.map(({ length }) => length));
  return Array.from({ length: longest }, (_, round) =>
    groups.flatMap((group) => group.slice(round, round + 1)),
  ).flat();
};

/** Spread over zones, and within them over hosts, so that neighbours in the order seldom wait for each other. */
const spread = <Of extends Candidate>(candidates: readonly Of[]): Of[] =>
  interleaved(
    interleaved(candidates, ({ host }) => host),
    ({ zone }) => zone,
  );

/** The order of a run: the same for the same candidates, whatever order they come in. */
export const planOrder = <Of extends Candidate>(candidates: readonly Of[], limits: Limits): Place<Of>[] => {
  const sorted = candidates.toSorted(
    (a, b) => byText(a.zone, b.zone) || byText(a.host, b.host) || byText(a.router, b.router),
  );
  const work = sorted.filter(({ needs }) => needs !== 'nothing');
  const serving = work.filter(({ role }) => role === 'active');
  const canaries = spread(serving.length > 0 ? serving : work).slice(0, limits.canaries);
  const chosen = new Set(canaries.map(({ router }) => router));
  const rest = spread(work.filter(({ router }) => !chosen.has(router)));
  const ordered = [
    ...canaries.map((candidate) => ({ candidate, wave: 0 })),
    ...rest.map((candidate, index) => ({ candidate, wave: 1 + Math.floor(index / limits.batch) })),
    ...sorted.filter(({ needs }) => needs === 'nothing').map((candidate) => ({ candidate, wave: null })),
  ];
  return ordered.map((place, position) => ({ ...place, position }));
};

/** A router of a run as far as the order is concerned. */
export interface Queued {
  readonly router: string;
  readonly network: string;
  readonly host: string;
  readonly position: number;
  readonly wave: number;
  readonly state: 'waiting' | 'open' | 'ended';
  /** Other routers of the pair it belongs to, if its network is redundant. */
  readonly pair: string | null;
}

/** Which of those that wait may begin now, in order. Never breaks a limit, and never starves: see the tests. */
export const mayBegin = <Of extends Queued>(queue: readonly Of[], limits: Limits): Of[] => {
  const unended = queue.filter(({ state }) => state !== 'ended');
  const wave = Math.min(...unended.map((entry) => entry.wave));
  const open = unended.filter(({ state }) => state === 'open');
  const begun: Of[] = [];
  const waiting = unended
    .filter((entry) => entry.state === 'waiting' && entry.wave === wave)
    .toSorted((a, b) => a.position - b.position);
  const among = (test: (entry: Of) => boolean): number =>
    open.filter(test).length + begun.filter(test).length;
  for (const entry of waiting) {
    if (among(() => true) >= (wave === 0 ? limits.canaries : limits.batch)) break;
    if (among(({ host }) => host === entry.host) >= limits.perHost) continue;
    if (among(({ network }) => network === entry.network) >= limits.perNetwork) continue;
    if (entry.pair !== null && among(({ pair }) => pair === entry.pair) > 0) continue;
    begun.push(entry);
  }
  return begun;
};

/**
 * How long a run takes if every router takes `secondsOf` it, seconds: the order played through.
 * @throws {RangeError} when a limit is less than one, so that nothing may ever begin.
 */
export const playThrough = <Of extends Queued>(
  queue: readonly Of[],
  limits: Limits,
  secondsOf: (entry: Of) => number,
): number => {
  if (Math.min(limits.batch, limits.perHost, limits.perNetwork) < 1)
    throw new RangeError('Limits are at least one');
  const states = new Map(queue.map((entry) => [entry.router, entry.state]));
  const ends = new Map<string, number>();
  for (const entry of queue) if (entry.state === 'open') ends.set(entry.router, secondsOf(entry));
  let now = 0;
  for (;;) {
    const present = queue.map((entry) => ({ ...entry, state: states.get(entry.router) ?? entry.state }));
    for (const entry of mayBegin(present, limits)) {
      states.set(entry.router, 'open');
      ends.set(entry.router, now + secondsOf(entry));
    }
    const next = Math.min(...ends.values());
    if (!Number.isFinite(next)) return now;
    now = next;
    for (const [router, end] of ends)
      if (end <= now) {
        ends.delete(router);
        states.set(router, 'ended');
      }
  }
};
