import type { ServerResponse } from 'node:http';

/** Bytes that wait for a reader at most: it is faster to begin again than to catch up with more. */
const LONGEST_QUEUE = 8 * 1024 * 1024;

/** How long a reader may take nothing at all, ms. */
const PATIENCE = 10_000;

/** Limits of a reader; tests set them lower. */
export interface ReaderLimits {
  readonly queue?: number;
  readonly patience?: number;
}

/**
 * One reader of the stream. What it does not take yet waits, and only so much: then it is let go, and begins again with a
 * snapshot when it comes back.
 */
export class StreamReader {
  readonly #output: ServerResponse;
  readonly #limits: Required<ReaderLimits>;
  #queue: (string | Iterator<string>)[] = [];
  #bytes = 0;
  #snapshots = 0;
  #blocked = false;
  #closed = false;
  #patience: NodeJS.Timeout | undefined;

  constructor(output: ServerResponse, onEnd: () => void, limits: ReaderLimits = {}) {
    this.#output = output;
    this.#limits = { queue: limits.queue ?? LONGEST_QUEUE, patience: limits.patience ?? PATIENCE };
    output.on('drain', () => {
      this.#blocked = false;
      clearTimeout(this.#patience);
      this.#pump();
    });
    output.on('error', () => undefined);
    output.on('close', () => {
      this.#closed = true;
      clearTimeout(this.#patience);
      this.#queue = [];
      onEnd();
    });
  }

  /** Whether it has not been given its last snapshot to the end. */
  get isInSnapshot(): boolean {
    return this.#snapshots > 0;
  }

  /** Lines that are written when the reader takes them; what is added later follows them. */
  addSnapshot(lines: Iterator<string>): void {
    this.#snapshots += 1;
    this.#queue.push(lines);
    this.#pump();
  }

  add(line: string): void {
    if (this.#closed) return;
    this.#bytes += line.length;
    if (this.#bytes > this.#limits.queue) {
      this.close();
      return;
    }
    this.#queue.push(line);
    this.#pump();
  }

  close(): void {
    this.#closed = true;
    this.#output.destroy();
  }

  #pump(): void {
    while (!this.#blocked && !this.#closed) {
      const line = this.#next();
      if (line === undefined) return;
      if (this.#output.write(line)) continue;
      this.#blocked = true;
      this.#patience = setTimeout(() => this.close(), this.#limits.patience);
      this.#patience.unref();
    }
  }

  #next(): string | undefined {
    for (;;) {
      const [first] = this.#queue;
      if (first === undefined) return undefined;
      if (typeof first === 'string') {
        this.#queue.shift();
        this.#bytes -= first.length;
        return first;
      }
      const { done, value } = first.next();
      if (done !== true) return value;
      this.#queue.shift();
      this.#snapshots -= 1;
    }
  }
}
