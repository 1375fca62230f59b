/** Questions that are asked once and answered once: what DNS and DHCP clients have in common. */
import { Histogram } from '../histogram.ts';
import type { QueryReport } from '../report.ts';
import { MOMENTS, Tally, until } from './job.ts';

export const LIMIT = 5000;

export class Queries {
  readonly #latency = new Histogram();
  readonly #wrong = new Tally();
  /** By number, when it was asked. */
  readonly #open = new Map<number, number>();
  #asked = 0;
  #answered = 0;

  /** The load begins. */
  begin(): void {
    this.#wrong.begin();
  }

  ask(number: number): void {
    this.#asked += 1;
    this.#open.set(number, performance.now());
  }

  /** `wrong` says what is wrong with the answer. False: it answers nothing that is still open. */
  answer(number: number, wrong: string | null): boolean {
    const askedAt = this.#open.get(number);
    if (askedAt === undefined) return false;
    this.#open.delete(number);
    this.#latency.add(performance.now() - askedAt);
    this.#answered += 1;
    if (wrong !== null) this.#wrong.add(wrong);
    return true;
  }

  /** Resolves when all is answered, or 5 s are over. */
  async settle(): Promise<void> {
    await until(() => this.#open.size === 0, LIMIT);
  }

  report(kind: QueryReport['kind'], label: string, last: boolean): QueryReport {
    const now = performance.now();
    const unanswered = [...this.#open.values()].filter((askedAt) => last || now - askedAt > LIMIT);
    return {
      kind,
      label,
      asked: this.#asked,
      answered: this.#answered,
      unanswered: unanswered.length,
      wrong: this.#wrong.total,
      causes: this.#wrong.causes(),
      moments: [
        ...unanswered.slice(0, MOMENTS).map((askedAt) => this.#wrong.momentOf('unanswered', askedAt)),
        ...this.#wrong.moments(),
      ],
      latency: this.#latency.distribution(),
    };
  }
}
