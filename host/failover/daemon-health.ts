/** Which router daemons are sick: they end again and again, or do not answer even after a restart. Pure: time is told. */

export interface DaemonHealthOptions {
  /** So many ends within `window` ms are too many. */
  readonly ends: number;
  readonly window: number;
  /** ms that one which was ended for its silence has to answer within. */
  readonly patience: number;
  /** ms without a fault after which it counts as well again. */
  readonly steady: number;
}

export const daemonHealthOptions: DaemonHealthOptions = {
  ends: 3,
  window: 10_000,
  patience: 10_000,
  steady: 10_000,
};

interface Entry {
  ends: number[];
  /** When it was asked to start anew, for it was silent or by request; null when it has answered since. */
  restartedAt: number | null;
  /** Since when it answers; null while it does not. */
  listensSince: number | null;
  sick: string | null;
}

export class DaemonHealth {
  readonly #options: DaemonHealthOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options = daemonHealthOptions) {
    this.#options = options;
  }

  ended(router: string, now: number): void {
    const entry = this.#entry(router);
    const { ends, window } = this.#options;
    entry.listensSince = null;
    entry.ends = [...entry.ends.filter((time) => now - time < window), now];
    if (entry.ends.length >= ends)
      entry.sick = `Its daemon ended ${entry.ends.length} times within ${window / 1000} s`;
  }

  /** It is ended by us, to be started anew. */
  restarted(router: string, now: number): void {
    const entry = this.#entry(router);
    entry.restartedAt ??= now;
    entry.listensSince = null;
  }

  listens(router: string, now: number): void {
    const entry = this.#entry(router);
    entry.listensSince ??= now;
    entry.restartedAt = null;
  }

  /** Forgets all routers but these. */
  keep(routers: ReadonlySet<string>): void {
    for (const router of this.#entries.keys()) if (!routers.has(router)) this.#entries.delete(router);
  }

  /** Why it is sick; null when it is well, or nothing is known of it. */
  sickness(router: string, now: number): string | null {
    const entry = this.#entries.get(router);
    if (entry === undefined) return null;
    const { patience, steady } = this.#options;
    if (entry.restartedAt !== null && now - entry.restartedAt >= patience)
      entry.sick = `Its daemon does not answer, not even ${patience / 1000} s after it was started anew`;
    else if (entry.listensSince !== null && now - entry.listensSince >= steady) entry.sick = null;
    return entry.sick;
  }

  /** ms until the answer may change by itself; null when only an event can change it. */
  nextLook(now: number): number | null {
    const { patience, steady } = this.#options;
    const times = [...this.#entries.values()].flatMap(({ restartedAt, listensSince, sick }) => [
      ...(restartedAt === null || now - restartedAt >= patience ? [] : [restartedAt + patience - now]),
      ...(sick === null || listensSince === null ? [] : [Math.max(0, listensSince + steady - now)]),
    ]);
    return times.length === 0 ? null : Math.min(...times);
  }

  #entry(router: string): Entry {
    let entry = this.#entries.get(router);
    if (entry === undefined) {
      entry = { ends: [], restartedAt: null, listensSince: null, sick: null };
      this.#entries.set(router, entry);
    }
    return entry;
  }
}
