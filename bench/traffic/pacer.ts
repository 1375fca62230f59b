/**
 * One clock for all that a process sends. Every lane has slots at a steady rate. A slot that is late by more than a few
 * milliseconds is skipped, not made up for: a process that was kept from running must not burst afterwards, or the
 * overflow of some queue would be taken for a loss on the way.
 */
const LATEST = 10;

interface Lane {
  readonly interval: number;
  readonly act: (now: number) => void;
  next: number;
  skipped: number;
}

export interface LaneHandle {
  /** Slots that nothing was sent in because this process was late. */
  readonly skipped: () => number;
  readonly stop: () => void;
}

/** How long this process was kept from running. */
export interface Stalls {
  /** Times it was more than 50 ms late. */
  readonly count: number;
  /** ms. */
  readonly longest: number;
}

const STALL = 50;

export class Pacer {
  readonly #lanes = new Set<Lane>();
  readonly #timer: NodeJS.Timeout;
  readonly #resolution: number;
  #last = performance.now();
  #stalls = 0;
  #longest = 0;

  /** `resolution`: ms between looks at the clock. */
  constructor(resolution: number) {
    this.#resolution = resolution;
    this.#timer = setInterval(() => this.#tick(), resolution);
  }

  /** Calls `act` so many times a second. */
  every(perSecond: number, act: (now: number) => void): LaneHandle {
    const interval = 1000 / perSecond;
    const lane: Lane = { interval, act, next: performance.now() + interval, skipped: 0 };
    this.#lanes.add(lane);
    return { skipped: () => lane.skipped, stop: () => this.#lanes.delete(lane) };
  }

  /** Forgets stalls so far. */
  reset(): void {
    this.#stalls = 0;
    this.#longest = 0;
    this.#last = performance.now();
  }

  stalls(): Stalls {
    return { count: this.#stalls, longest: Math.round(this.#longest) };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    const late = now - this.#last - this.#resolution;
    this.#last = now;
    if (late > STALL) this.#stalls += 1;
    this.#longest = Math.max(this.#longest, late);
    for (const lane of this.#lanes) {
      const overdue = now - lane.next - Math.max(LATEST, lane.interval);
      if (overdue > 0) {
        const missed = Math.ceil(overdue / lane.interval);
        lane.skipped += missed;
        lane.next += missed * lane.interval;
      }
      while (lane.next <= now) {
        lane.next += lane.interval;
        lane.act(now);
      }
    }
  }
}
