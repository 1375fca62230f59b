/** Events on their way to the controller, in a file so that none is lost while either side is away. */
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { RouterEvent } from 'documents';

interface Line {
  readonly event?: RouterEvent;
  /** The router that told it; its next question begins after it. */
  readonly router?: string;
  /** Written when the file is begun anew: last event of each router that was delivered. */
  readonly cursors?: Readonly<Record<string, string>>;
}

interface Waiting {
  readonly event: RouterEvent;
  readonly router: string | undefined;
}

/** Beyond this many the oldest go: a controller that was away that long reads the state, not the story. */
const MOST_EVENTS = 10_000;
const BATCH = 500;

export class EventQueue {
  readonly #path: string;
  readonly #onAdd: () => void;
  #waiting: Waiting[] = [];
  readonly #cursors = new Map<string, string>();

  /** `onAdd` is called whenever there is something to deliver. */
  constructor(path: string, onAdd: () => void) {
    this.#path = path;
    this.#onAdd = onAdd;
  }

  /** Reads what a predecessor left. Before that nothing may be added. */
  open(): void {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    let text = '';
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch {
      // Nothing was left.
    }
    for (const line of text.split('\n')) {
      try {
        this.#take(JSON.parse(line) as Line);
      } catch {
        // The last line of a process that was killed while writing it.
      }
    }
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** Id of the last event taken from this router, null for none. */
  cursor(router: string): string | null {
    return this.#cursors.get(router) ?? null;
  }

  add(events: readonly RouterEvent[], router?: string): void {
    if (events.length === 0) return;
    const lines = events.map((event): Line => ({ event, ...(router === undefined ? {} : { router }) }));
    appendFileSync(this.#path, `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`, { mode: 0o600 });
    for (const line of lines) this.#take(line);
    if (this.#waiting.length > MOST_EVENTS + BATCH) {
      this.#waiting = this.#waiting.slice(-MOST_EVENTS);
      this.#rewrite();
    }
    this.#onAdd();
  }

  /** Forgets a router that is gone; what it told is delivered all the same. */
  forget(router: string): void {
    if (this.#cursors.delete(router)) this.#rewrite();
  }

  /** Delivers everything in batches, oldest first. Rejects with what `deliver` rejected with; the rest stays. */
  async deliver(deliver: (events: readonly RouterEvent[]) => Promise<void>): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, BATCH);
      // One after the other: they are a story, and a batch that fails is tried again before the next.
      await deliver(batch.map(({ event }) => event));
      const done = new Set(batch);
      this.#waiting = this.#waiting.filter((entry) => !done.has(entry));
      this.#rewrite();
    }
  }

  #take({ event, router, cursors }: Line): void {
    for (const [id, last] of Object.entries(cursors ?? {})) this.#cursors.set(id, last);
    if (event === undefined) return;
    this.#waiting.push({ event, router });
    if (router !== undefined) this.#cursors.set(router, event.id);
  }

  #rewrite(): void {
    const lines: Line[] = [{ cursors: Object.fromEntries(this.#cursors) }];
    for (const { event, router } of this.#waiting) {
      lines.push({ event, ...(router === undefined ? {} : { router }) });
    }
    writeFileSync(`${this.#path}.new`, `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`, {
      mode: 0o600,
    });
    renameSync(`${this.#path}.new`, this.#path);
  }
}
