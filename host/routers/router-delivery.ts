/** Keeps one router daemon on the newest document the controller has, and collects what it tells. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RouterEvent, RouterStatus } from 'documents';
import { backOffDelay } from '../channel/back-off.ts';
import { HttpError } from '../channel/http-request.ts';
import type { MachineReport } from '../machines/machine.ts';
import { type Delivered, RouterClient } from './router-client.ts';

export interface RouterDeliveryOptions {
  readonly id: string;
  /** STATE/host/routers/<id> */
  readonly directory: string;
  /** The document or the change from `since` on, null when `since` is current; rejects while the controller is away. */
  readonly fetchDocument: (since: number) => Promise<string | null>;
  readonly putStatus: (status: RouterStatus) => Promise<void>;
  readonly cursor: () => string | null;
  readonly takeEvents: (events: readonly RouterEvent[]) => void;
  readonly report: (report: MachineReport) => void;
  /** A delivery failed and is tried again. */
  readonly onTrouble: (error: Error) => void;
}

/** How often a daemon that is starting is asked whether it listens, ms: the socket appears between two of these. */
const LISTEN_EVERY = 5;
/** So long, ms, after which a daemon that does not listen is asked less often. */
const LISTEN_SOON = 15_000;
const LISTEN_LATER = 250;
const STATUS_EVERY = 15_000;
const backOff = { first: 250, longest: 30_000 };

const parseHead = (body: string): { readonly generation: number; readonly isChange: boolean } => {
  const { generation, baseGeneration } = JSON.parse(body) as {
    readonly generation: number;
    readonly baseGeneration?: number;
  };
  return { generation, isChange: baseGeneration !== undefined };
};

export class RouterDelivery {
  readonly #options: RouterDeliveryOptions;
  readonly #client: RouterClient;
  readonly #closing = new AbortController();
  /** Generation in force in the daemon; null while that is not known. */
  #generation: number | null = null;
  /** Generation the daemon refused; it is not offered again to the same daemon. */
  #refused = 0;
  #plugged = false;
  #listening = false;
  #wake: (() => void) | null = null;
  #awake = true;
  #attempt = 0;
  #waiters: { readonly generation: number; readonly resolve: () => void }[] = [];
  #heard: (() => void)[] = [];
  #statusTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #prefetched: Promise<string | null> | null = null;

  constructor(options: RouterDeliveryOptions) {
    this.#options = options;
    this.#client = new RouterClient(join(options.directory, 'control.sock'));
  }

  /** Begins to look for the daemon, whether it runs already or not. */
  open(): void {
    const { directory, fetchDocument } = this.#options;
    if (!existsSync(join(directory, 'document.json'))) {
      // A new router: its document is on the way while its daemon starts.
      this.#prefetched = fetchDocument(0);
      this.#prefetched.catch(() => {});
    }
    this.#statusTimer = setInterval(() => void this.#reportStatus(), STATUS_EVERY);
    void this.#run();
    void this.#collect();
  }

  /** Generation in force as far as is known. */
  get generation(): number {
    return this.#generation ?? 0;
  }

  /** There may be a newer document. */
  ring(): void {
    this.#attempt = 0;
    this.#stir();
  }

  /** The router's ports are there: it can be configured. */
  plugged(): void {
    if (this.#plugged) return;
    this.#plugged = true;
    this.#stir();
  }

  /** The daemon was started, or found: what was known of it is void. */
  daemonStarted(): void {
    this.#listening = false;
    this.#refused = 0;
    this.ring();
  }

  /** Resolves when the daemon has this generation or a later one in force. */
  applied(generation: number): Promise<void> {
    if (this.#generation !== null && this.#generation >= generation) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ generation, resolve }));
  }

  /** The daemon's API. */
  get client(): RouterClient {
    return this.#client;
  }

  request(method: string, path: string, body: unknown) {
    return this.#client.call(method, path, body);
  }

  close(): void {
    this.#closing.abort();
    clearInterval(this.#statusTimer);
    clearTimeout(this.#retryTimer);
    this.#client.close();
    this.#stir();
    for (const heard of this.#heard.splice(0)) heard();
  }

  #stir(): void {
    this.#awake = true;
    this.#wake?.();
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      if (!this.#awake) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      this.#awake = false;
      if (this.#closing.signal.aborted) return;
      try {
        // One document after the other: each is the base of the next.
        await this.#bring();
        this.#attempt = 0;
      } catch (error) {
        if (error instanceof HttpError && error.message.includes('/v1/agent/') === false)
          this.#listening = false;
        this.#attempt += 1;
        const timer = setTimeout(() => this.#stir(), backOffDelay(backOff, this.#attempt, Math.random()));
        this.#closing.signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
      }
    }
  }

  /** Waits for the daemon, then gives it what is newest. Rejects when either side does not answer. */
  async #bring(): Promise<void> {
    if (!this.#listening) await this.#listen();
    if (!this.#plugged || this.#closing.signal.aborted) return;
    const first = this.#generation === 0 || this.#generation === null ? this.#prefetched : null;
    this.#prefetched = null;
    const body = await (first ?? this.#options.fetchDocument(this.#generation ?? 0));
    if (body === null) return;
    await this.#give(body, true);
  }

  async #give(body: string, again: boolean): Promise<void> {
    const { generation, isChange } = parseHead(body);
    if (generation === this.#refused) return;
    const delivered = await this.#client.deliver(isChange ? 'PATCH' : 'PUT', body).catch((error: unknown) => {
      // It ended, or was ended, under the delivery: wait until it listens again.
      if (error instanceof HttpError) this.#listening = false;
      throw error;
    });
    if (delivered.outcome === 'other-base' && again) {
      const whole = await this.#options.fetchDocument(0);
      if (whole !== null) await this.#give(whole, false);
      return;
    }
    await this.#conclude(generation, delivered);
  }

  async #conclude(generation: number, delivered: Delivered): Promise<void> {
    const { id, report } = this.#options;
    switch (delivered.outcome) {
      case 'applied':
        this.#know(delivered.status);
        await this.#pass(delivered.status);
        return;
      case 'refused': {
        this.#refused = generation;
        const problems = delivered.problems.map(({ pointer, message }) => `${pointer} ${message}`).join('; ');
        report({
          type: 'host.router-document-refused',
          level: 'error',
          subject: id,
          message: `The router refused generation ${generation}: ${problems.slice(0, 2000)}`,
        });
        await this.#reportStatus();
        return;
      }
      case 'other-base':
      case 'failed':
        await this.#reportStatus();
        throw new Error(
          `Generation ${generation} could not be applied: ${delivered.outcome === 'failed' ? delivered.message : 'other base'}`,
        );
    }
  }

  async #listen(): Promise<void> {
    const since = performance.now();
    while (!this.#closing.signal.aborted) {
      try {
        const status = await this.#client.status();
        this.#listening = true;
        this.#know(status);
        for (const heard of this.#heard.splice(0)) heard();
        void this.#pass(status);
        return;
      } catch {
        const delay = performance.now() - since < LISTEN_SOON ? LISTEN_EVERY : LISTEN_LATER;
        await sleep(delay, undefined, { signal: this.#closing.signal }).catch(() => {});
      }
    }
  }

  #know(status: RouterStatus): void {
    this.#generation = status.appliedGeneration;
    const satisfied = (waiter: { readonly generation: number }) =>
      waiter.generation <= status.appliedGeneration;
    for (const waiter of this.#waiters.filter(satisfied)) waiter.resolve();
    this.#waiters = this.#waiters.filter((waiter) => !satisfied(waiter));
  }

  async #reportStatus(): Promise<void> {
    if (!this.#listening) return;
    try {
      await this.#pass(await this.#client.status());
    } catch {
      // The daemon is being replaced, or busy; the next report tells.
    }
  }

  /** The controller being away loses nothing but time: the next status has it all. */
  async #pass(status: RouterStatus): Promise<void> {
    await this.#options.putStatus(status).catch(() => {});
  }

  async #collect(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      if (!this.#listening) {
        await new Promise<void>((resolve) => this.#heard.push(resolve));
        continue;
      }
      try {
        const events = await this.#client.events(this.#options.cursor(), 30);
        this.#options.takeEvents(events);
      } catch {
        await sleep(200, undefined, { signal: this.#closing.signal }).catch(() => {});
      }
    }
  }
}
