/** When something is due that is to happen so many times a second. What was missed is skipped: no bursts. Pure. */
export class Pace {
  readonly #interval: number;
  readonly #most: number;
  #next: number;

  /** `phase` from 0 to 1 keeps many of them from being due at once; `turn`: ms between two questions, at best. */
  constructor(rate: number, start: number, phase: number, turn: number) {
    this.#interval = 1000 / rate;
    this.#most = Math.max(1, Math.ceil((2 * turn) / this.#interval));
    this.#next = start + this.#interval * phase;
  }

  /** How many are due now. */
  due(now: number): number {
    if (now < this.#next) return 0;
    const missed = Math.floor((now - this.#next) / this.#interval) + 1;
    this.#next += missed * this.#interval;
    return Math.min(missed, this.#most);
  }
}
