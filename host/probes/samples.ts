/** What became of each thing a probe sent, for the last ten minutes: a ring of fixed size. Pure; times are given. */
import type { Measured } from 'documents';

/** ms that are kept. */
export const KEPT = 600_000;
/** ms within which an answer has to come. */
export const PATIENCE = 1000;

const PENDING = -1;
const LOST = -2;
const WITHDRAWN = -3;

const atShare = (sorted: Float32Array, share: number): number | null =>
  sorted.length === 0 ? null : Math.round(sorted[Math.ceil(share * sorted.length) - 1] as number);

export class Samples {
  readonly #capacity: number;
  /** ms since the epoch; never falls. */
  readonly #sentAt: Float64Array;
  /** µs, or one of the marks above. */
  readonly #latency: Float32Array;
  readonly #doubled: Uint8Array;
  #next = 0;
  #judged = 0;

  /** `rate`: the most that is sent in a second. */
  constructor(rate: number) {
    this.#capacity = Math.ceil((rate * KEPT) / 1000) + rate;
    this.#sentAt = new Float64Array(this.#capacity);
    this.#latency = new Float32Array(this.#capacity);
    this.#doubled = new Uint8Array(this.#capacity);
  }

  /** Notes that something is sent now; its number is what the answer has to name. */
  send(at: number): number {
    const number = this.#next;
    const place = number % this.#capacity;
    const before = number === 0 ? 0 : (this.#sentAt[(number - 1) % this.#capacity] as number);
    this.#sentAt[place] = Math.max(at, before);
    this.#latency[place] = PENDING;
    this.#doubled[place] = 0;
    this.#next += 1;
    this.#judged = Math.max(this.#judged, this.#next - this.#capacity);
    return number;
  }

  /** An answer, `microseconds` under way in all. One that took too long is none, one to what was answered comes twice. */
  answer(number: number, microseconds: number): void {
    if (number >= this.#next || number < this.#next - this.#capacity) return;
    const place = number % this.#capacity;
    const known = this.#latency[place] as number;
    if (known >= 0) this.#doubled[place] = Math.min(255, (this.#doubled[place] as number) + 1);
    else if (known === PENDING)
      this.#latency[place] = microseconds > PATIENCE * 1000 ? LOST : Math.max(0, microseconds);
  }

  /** Sent and not answered for certain: it was never on the wire, or nobody listened. */
  fail(number: number): void {
    const place = number % this.#capacity;
    if (this.#latency[place] === PENDING) this.#latency[place] = LOST;
  }

  /** What was sent until then, ms since the epoch, and has no answer will not have one. */
  judge(until: number): void {
    for (; this.#judged < this.#next; this.#judged += 1) {
      const place = this.#judged % this.#capacity;
      if ((this.#sentAt[place] as number) > until) return;
      if (this.#latency[place] === PENDING) this.#latency[place] = LOST;
    }
  }

  /** No answer can come any more, and not for want of a way: what was sent after `since` counts for nothing, the rest is lost. */
  cutOff(since: number): void {
    for (let number = this.#judged; number < this.#next; number += 1) {
      const place = number % this.#capacity;
      if (this.#latency[place] === PENDING)
        this.#latency[place] = (this.#sentAt[place] as number) > since ? WITHDRAWN : LOST;
    }
  }

  /** Whether nothing that was sent before `to` waits for its answer. */
  settled(to: number): boolean {
    for (let number = this.#judged; number < this.#next; number += 1) {
      const place = number % this.#capacity;
      if ((this.#sentAt[place] as number) >= to) return true;
      if (this.#latency[place] === PENDING) return false;
    }
    return true;
  }

  /** What was sent from `from` on and before `to`: windows that touch count nothing twice. What still waits is left out. */
  reading(from: number, to: number): Measured {
    let sent = 0;
    let lost = 0;
    let doubled = 0;
    const latencies: number[] = [];
    for (let number = this.#firstSince(from); number < this.#next; number += 1) {
      const place = number % this.#capacity;
      if ((this.#sentAt[place] as number) >= to) break;
      const latency = this.#latency[place] as number;
      if (latency === PENDING || latency === WITHDRAWN) continue;
      sent += 1;
      doubled += this.#doubled[place] as number;
      if (latency === LOST) lost += 1;
      else latencies.push(latency);
    }
    const sorted = Float32Array.from(latencies).sort();
    const [p50, p99, longest] = [atShare(sorted, 0.5), atShare(sorted, 0.99), atShare(sorted, 1)];
    return { sent, lost, doubled, p50, p99, longest };
  }

  #firstSince(from: number): number {
    let low = Math.max(0, this.#next - this.#capacity);
    let high = this.#next;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#sentAt[middle % this.#capacity] as number) < from) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
