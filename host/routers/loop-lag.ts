/** When this process did not get to do anything: it was stopped, or short of processor, or busy with one thing. */

/** How often it is looked, ms. */
const EVERY = 250;
/** Late by less than this, ms, is no lag. */
const SLACK = 50;
/** Lags of longer ago are nobody's business, ms. */
const KEPT = 10 * 60_000;

interface Lag {
  readonly from: number;
  readonly to: number;
}

export class LoopLag {
  readonly #timer: NodeJS.Timeout;
  #lags: Lag[] = [];
  #last = performance.now();

  constructor() {
    this.#timer = setInterval(() => this.#tick(), EVERY);
    this.#timer.unref();
  }

  /**
   * ms of the time since `since` (`performance.now()`) in which nothing could be done. True also when the first thing done
   * after a lag asks: timers that are overdue run in any order.
   */
  since(since: number): number {
    const lags = [...this.#lags, ...this.#lagUntil(performance.now())];
    return lags.reduce((sum, { from, to }) => sum + Math.max(0, to - Math.max(from, since)), 0);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    const lag = this.#lagUntil(now);
    this.#last = now;
    if (lag.length === 0) return;
    this.#lags = [...this.#lags.filter(({ to }) => now - to < KEPT), ...lag];
  }

  #lagUntil(now: number): readonly Lag[] {
    const due = this.#last + EVERY;
    return now - due > SLACK ? [{ from: due, to: now }] : [];
  }
}
