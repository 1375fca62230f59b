/** Drift that is there again whenever it was put back: whoever makes it does not stop. Pure; times are given. */

/** So often in a row, and it returns. */
const TIMES = 5;
/** What was well for so long, ms, does not return. What nobody announces is looked at once a minute (drift.ts). */
const LONGEST = 90_000;
/** Well for twice as long as between any two times it was put back, and it has stopped; but not before this, ms. */
const SHORTEST = 5000;
/** More that drifts at once than this is not told apart. */
const MOST = 100;

interface Streak {
  readonly times: number;
  /** When it was put back last, ms. */
  readonly last: number;
  /** Longest between two times, ms. */
  readonly gap: number;
}

export class ReturningDrift {
  readonly #streaks = new Map<string, Streak>();

  /** Notes what was put back, in the tools' words: the same words are the same thing. `now` in ms, of any clock. */
  healed(changes: readonly string[], now: number): void {
    for (const [what, { last }] of this.#streaks) if (now - last > LONGEST) this.#streaks.delete(what);
    for (const what of new Set(changes)) {
      const before = this.#streaks.get(what);
      if (before === undefined && this.#streaks.size >= MOST) continue;
      this.#streaks.set(
        what,
        before === undefined
          ? { times: 1, last: now, gap: 0 }
          : { times: before.times + 1, last: now, gap: Math.max(before.gap, now - before.last) },
      );
    }
  }

  /** What returns as far as can be told now; empty when nothing does, or it has stopped. */
  returning(now: number): readonly string[] {
    return [...this.#streaks]
      .filter(
        ([, { times, last, gap }]) =>
          times >= TIMES && now - last <= Math.min(LONGEST, Math.max(SHORTEST, 2 * gap)),
      )
      .map(([what]) => what)
      .toSorted();
  }
}
