/** Durations in little memory: buckets 2 % wide, from 1 us to above an hour. */
const GROWTH = Math.log(1.02);
const BUCKETS = 1200;

export interface Distribution {
  readonly count: number;
  /** ms, as are the others; 0 when there are none. At most 2 % above the true value. */
  readonly p50: number;
  readonly p99: number;
  /** Exact. */
  readonly max: number;
}

export class Histogram {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;
  #max = 0;

  add(ms: number): void {
    const us = Math.max(1, ms * 1000);
    const bucket = Math.min(BUCKETS - 1, Math.ceil(Math.log(us) / GROWTH));
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#count += 1;
    this.#max = Math.max(this.#max, ms);
  }

  /** Value below which a share of all lies, ms. */
  quantile(share: number): number {
    let left = Math.ceil(share * this.#count);
    for (const [bucket, count] of this.#buckets.entries()) {
      left -= count;
      if (left <= 0 && count > 0) return Math.min(this.#max, Math.exp(bucket * GROWTH) / 1000);
    }
    return this.#max;
  }

  distribution(): Distribution {
    const round = (ms: number): number => Math.round(ms * 1000) / 1000;
    return {
      count: this.#count,
      p50: round(this.quantile(0.5)),
      p99: round(this.quantile(0.99)),
      max: round(this.#max),
    };
  }
}
