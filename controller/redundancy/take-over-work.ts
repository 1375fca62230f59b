/** What a failover means for work under way: who stands where the dead router stood, and what has to be reported anew. Pure. */
import type { ReplaceState } from '../workflow/replace/state.ts';

export interface TakenPlace {
  readonly dead: string;
  readonly standby: string;
  /** New generations of the documents that speak of the standby from now on, by router. */
  readonly generations: ReadonlyMap<string, number>;
  readonly host: { readonly id: string; readonly generation: number };
  /** ms since the epoch. */
  readonly now: number;
}

/** Every wait for a report, wherever the state keeps it, becomes one for the documents as they are now. */
const renewed = (value: unknown, place: TakenPlace): unknown => {
  if (Array.isArray(value)) return value.map((item) => renewed(item, place));
  if (typeof value !== 'object' || value === null) return value === place.dead ? place.standby : value;
  const copy: Record<string, unknown> = Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, renewed(item, place)]),
  );
  const { router, host, generation } = copy;
  if (typeof generation === 'number') {
    const newer =
      typeof router === 'string'
        ? place.generations.get(router)
        : host === place.host.id
          ? place.host.generation
          : undefined;
    if (newer !== undefined) copy['generation'] = Math.max(generation, newer);
  }
  return copy;
};

/**
 * A replacement goes on with the standby where the dead router stood:
 *
 * | it was at           | the old router died                                          | the successor died, being active           |
 * | ------------------- | ------------------------------------------------------------ | ------------------------------------------ |
 * | `build`, `precopy`  | the standby is replaced instead; back to `build`, for the    | (it is not active yet: no failover)        |
 * |                     | successor's document names another router now                |                                            |
 * | `drain`             | the standby hands over in its place: it has the old          | (the same)                                 |
 * |                     | connections, the successor the new                           |                                            |
 * | `flip`, not told    | the same, back to `drain`                                    | (the same)                                 |
 * | `flip`, told        | the standby drains in its place                              | the standby is the successor; told again   |
 * | `retire`            | (it is not active any more: no failover, unless its host had | the standby is the successor; what was     |
 * |                     | not heard of the flip; then as in `flip`)                    | carried over late is carried over again    |
 * | being taken back    | the standby is what it is taken back to                      | the standby hands back in its place        |
 *
 * A rescue of the old router that has not moved the traffic yet is over when that one dies: the standby is well, so it begins
 * anew with it. Returns the state and step from which it goes on, and whether that is the beginning.
 */
export const goOnInPlace = (
  row: { readonly step: string; readonly status: string; readonly state: string },
  place: TakenPlace,
): { readonly step: string; readonly state: ReplaceState; readonly anew: boolean } => {
  const before = JSON.parse(row.state) as ReplaceState;
  const state = renewed(before, place) as ReplaceState;
  const of = (router: string | null): number =>
    (router === null ? undefined : place.generations.get(router)) ?? 0;
  if (state.handBack !== null)
    state.handBack = {
      ...state.handBack,
      old: Math.max(state.handBack.old, of(state.router)),
      // Null: not asked yet; zero: it is not asked at all.
      successor: state.handBack.successor && Math.max(state.handBack.successor, of(state.successor)),
    };
  if (state.retirement !== null && state.retirement.removal === null) state.retirement.copy = null;
  if (state.hostGeneration !== null) state.hostGeneration = place.host.generation;
  delete state.silences[place.standby];
  const goesOn = { step: row.step, state, anew: false };
  if (before.router !== place.dead) return goesOn;
  const rescued = row.status === 'running' && state.flip === null && state.rescue !== null;
  if (state.drain !== null && rescued) {
    const drain = { generation: Math.max(state.drain.generation, of(state.router)), at: null };
    const left = { rescue: null, release: null, holdsChain: false };
    // The one in its place has all the time that a hand-over may take.
    for (const step of state.steps) if (step.name === 'drain') step.endedAt ??= place.now;
    return { step: 'drain', state: { ...state, ...left, drain }, anew: true };
  }
  if (state.drain !== null) {
    const generation = Math.max(state.drain.generation, of(state.router));
    // With the frames at the successor it is not waited for any more.
    state.drain = { generation, at: state.flip === null ? null : place.now };
    return row.status === 'running' && state.flip === null ? { ...goesOn, step: 'drain' } : goesOn;
  }
  if (row.status !== 'running' || state.flip !== null) return goesOn;
  if (state.readyBy !== null) state.readyBy = place.now + state.readyWithin;
  return {
    step: 'build',
    state: { ...state, copied: null, rescue: null, release: null, holdsChain: false },
    anew: true,
  };
};
