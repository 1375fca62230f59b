/** Carries the stream of state from a router to its standby, byte by byte, for as long as both are there. */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { StandbyStatus } from 'documents';
import { backOffDelay } from '../channel/back-off.ts';

/** One side did not take part. */
export class SyncPipeError extends Error {
  override readonly name = 'SyncPipeError';
  readonly code = 'sync-pipe';
}

export interface SyncPipeOptions {
  readonly router: string;
  readonly standby: string;
  /** control.sock of each. */
  readonly from: string;
  readonly to: string;
  /** What is known of the standby changed. */
  readonly onChange: () => void;
}

const PATH = '/v1/sync/stream';
const backOff = { first: 200, longest: 5000 };
/** ms to get an answer's head, of either side. */
const HEAD_TIMEOUT = 10_000;
/** What a router says when it refuses, cut off here. */
const MOST_REFUSAL = 2000;

const answerOf = (outgoing: ClientRequest, what: string): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => outgoing.destroy(new SyncPipeError(`${what} does not answer within ${HEAD_TIMEOUT / 1000} s`)),
      HEAD_TIMEOUT,
    );
    outgoing.once('response', (incoming) => {
      clearTimeout(timer);
      resolve(incoming);
    });
    // Stays: what comes after the answer is told by its stream, too.
    outgoing.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });

const refusal = async (incoming: IncomingMessage, what: string): Promise<SyncPipeError> => {
  let text = '';
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.length > MOST_REFUSAL) break;
  }
  incoming.destroy();
  return new SyncPipeError(`${what} answers ${incoming.statusCode} ${text.slice(0, MOST_REFUSAL)}`.trim());
};

interface Ack {
  readonly synced: boolean;
  readonly entries: number;
  /** Why the standby ends the stream here. */
  readonly error: string | null;
}

/** `{"synced":true,"entries":n,"error"?}`; null for anything else. */
const parseAck = (line: string): Ack | null => {
  try {
    const { synced, entries, error } = JSON.parse(line) as Partial<Record<keyof Ack, unknown>>;
    if (typeof synced !== 'boolean') return null;
    return {
      synced,
      entries: typeof entries === 'number' ? entries : 0,
      error: typeof error === 'string' ? error : null,
    };
  } catch {
    return null;
  }
};

export class SyncPipe {
  readonly #options: SyncPipeOptions;
  readonly #closing = new AbortController();
  #status: StandbyStatus;
  #attempt = 0;
  #wake: (() => void) | null = null;

  constructor(options: SyncPipeOptions) {
    this.#options = options;
    const { router, standby } = options;
    this.#status = { standby, router, state: 'syncing', message: 'Begins to follow', since: Date.now() };
    void this.#run();
  }

  get router(): string {
    return this.#options.router;
  }

  get status(): StandbyStatus {
    return this.#status;
  }

  /** A daemon of one of the two was started: now is better than later. */
  hurry(): void {
    this.#attempt = 0;
    this.#wake?.();
  }

  close(): void {
    this.#closing.abort();
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        // One stream after the other: the next begins with everything.
        await this.#follow();
        this.#tell('broken', 'The stream ended');
      } catch (error) {
        if (signal.aborted) return;
        this.#tell('broken', (error as Error).message);
      }
      this.#attempt += 1;
      await new Promise<void>((resolve) => {
        if (signal.aborted) return resolve();
        const timer = setTimeout(resolve, backOffDelay(backOff, this.#attempt, Math.random()));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }

  async #follow(): Promise<void> {
    const { from, to, router, standby } = this.#options;
    const attempt = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, attempt.signal]);
    // A connection of its own: it is never given back.
    const agent = new Agent();
    try {
      const asked = request({ socketPath: from, path: PATH, method: 'GET', agent, signal });
      asked.end();
      const stream = await answerOf(asked, router);
      if (stream.statusCode !== 200) throw await refusal(stream, router);
      const given = request({
        socketPath: to,
        path: PATH,
        method: 'POST',
        agent,
        signal,
        headers: { 'content-type': 'application/x-ndjson' },
      });
      given.flushHeaders();
      this.#tell('syncing', `Takes what ${router} knows`);
      const carried = pipeline(stream, given, { signal });
      const answered = answerOf(given, standby).then(async (acks) => {
        if (acks.statusCode !== 200) throw await refusal(acks, standby);
        let rest = '';
        for await (const chunk of acks as AsyncIterable<Buffer>) {
          const lines = `${rest}${chunk.toString()}`.split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) this.#ack(line);
        }
      });
      // Either side's end is the end: a standby that takes no more is no standby.
      await Promise.race([Promise.all([carried, answered]), answered]);
    } finally {
      attempt.abort();
      agent.destroy();
    }
  }

  #ack(line: string): void {
    const ack = parseAck(line);
    if (ack === null) return;
    const { router, standby } = this.#options;
    if (ack.error !== null) throw new SyncPipeError(`${standby}: ${ack.error}`);
    this.#attempt = 0;
    if (ack.synced) this.#tell('synced', `Follows ${router}; ${ack.entries} connections`);
    else this.#tell('syncing', `Takes what ${router} knows`);
  }

  /** A new number of connections is no news. */
  #tell(state: StandbyStatus['state'], message: string): void {
    if (this.#closing.signal.aborted) return;
    const before = this.#status;
    const since = before.state === state ? before.since : Date.now();
    this.#status = { ...before, state, message: message.slice(0, 1000), since };
    if (before.state !== state) this.#options.onChange();
  }
}
