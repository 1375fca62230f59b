import type { RouterEvent } from 'documents';

/** Events kept for whoever asks next; older ones are forgotten. */
const KEPT = 1000;

/** What happened in this router since its daemon started, for the host agent to fetch. */
export class EventLog {
  readonly #prefix: string;
  readonly #now: () => number;
  #events: RouterEvent[] = [];
  #count = 0;
  #waiting = new Set<() => void>();

  /** @param run tells the events of this run of the daemon from those of others; letters and digits */
  constructor(run: string, now: () => number) {
    this.#prefix = `evt-${run}`;
    this.#now = now;
  }

  add(event: Omit<RouterEvent, 'id' | 'time'>): RouterEvent {
    this.#count += 1;
    const whole = {
      id: `${this.#prefix}${this.#count.toString(36).padStart(4, '0')}`,
      time: this.#now(),
      ...event,
    };
    this.#events.push(whole);
    if (this.#events.length > KEPT) this.#events = this.#events.slice(-KEPT);
    for (const wake of this.#waiting) wake();
    return whole;
  }

  /** Events after the one with this id; all there are when it is not known (any more). */
  after(id: string | null): readonly RouterEvent[] {
    const index = id === null ? -1 : this.#events.findIndex((event) => event.id === id);
    return this.#events.slice(index + 1);
  }

  /** Resolves with the events after `id` as soon as there is one, and with none after `ms`. */
  async wait(id: string | null, ms: number, signal?: AbortSignal): Promise<readonly RouterEvent[]> {
    const there = this.after(id);
    if (there.length > 0 || ms <= 0) return there;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      timer.unref();
      this.#waiting.add(done);
      signal?.addEventListener('abort', done);
    });
    return this.after(id);
  }
}
