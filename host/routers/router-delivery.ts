/** Keeps one router daemon on the newest document the controller has, and collects what it tells. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RouterEvent, RouterStatus } from 'documents';
import { backOffDelay } from '../channel/back-off.ts';
import { HttpError } from '../channel/http-request.ts';
import type { MachineReport, ProcessorUse } from '../machines/machine.ts';
import type { LoopLag } from './loop-lag.ts';
import { type Delivered, RouterClient } from './router-client.ts';
import { judgeSilence } from './silence.ts';

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
  /** The daemon listens, after it was started or found. */
  readonly onListens: () => void;
  /**
   * It was listening, and has answered nothing for that many seconds, all of `patience` or more, although it runs and gets to
   * run. False when nothing is done about it now: it is asked on.
   */
  readonly onSilent: (seconds: number) => boolean;
  readonly patience: Patience;
  /** Of this process. */
  readonly lag: LoopLag;
  /** Of the daemon; null when not known. */
  readonly processorUse: () => ProcessorUse | null;
}

/** How often a daemon that is starting is asked whether it listens, ms: the socket appears between two of these. */
const LISTEN_EVERY = 5;
/** So long, ms, after which a daemon that does not listen is asked less often. */
const LISTEN_SOON = 15_000;
const LISTEN_LATER = 250;
const STATUS_EVERY = 15_000;
/**
 * A daemon is asked for events all the time, and answers after some seconds when there are none: that it does is how we know
 * that it is well, at the cost of one small request.
 */
export interface Patience {
  /** s that it may wait for an event before it says that there is none. */
  readonly wait: number;
  /** s that the answer may be late. */
  readonly late: number;
  /** s for the answer to each further question, by which it is judged: it may be us who were stopped for a while. */
  readonly last: number;
}

/** Together 10 s without any answer, after which a daemon that gets to run counts as hung. */
export const defaultPatience: Patience = { wait: 4, late: 4, last: 2 };
/** Our absence so long, ms, before a question spoils it, too: what we missed is still to be done. */
const JUST_AFTER = 1000;
/** Between two questions to one that is silent, ms: it has all the others to answer when it gets to run. */
const ASK_AGAIN = 1000;
/** That a question is given up wakes the daemon: only one that is kept from running still wants to after this, ms. */
const SETTLE = 50;
/** Timers and the kernel round, ms. */
const ROUNDING = 50;
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
  /** When it said something last. */
  #heardAt = 0;
  #starts = 0;
  #startWaiters: { readonly start: number; readonly resolve: () => void }[] = [];
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
    this.#starts += 1;
    this.#refused = 0;
    this.ring();
  }

  /** Resolves when a daemon listens that is started after this call. */
  listensAnew(): Promise<void> {
    return new Promise((resolve) => this.#startWaiters.push({ start: this.#starts + 1, resolve }));
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

  request(method: string, path: string, body: unknown, timeout?: number) {
    return this.#client.call(method, path, body, timeout);
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
        this.#heardAt = performance.now();
        this.#listening = true;
        this.#know(status);
        for (const heard of this.#heard.splice(0)) heard();
        const known = (waiter: { readonly start: number }) => waiter.start <= this.#starts;
        for (const waiter of this.#startWaiters.filter(known)) waiter.resolve();
        this.#startWaiters = this.#startWaiters.filter((waiter) => !known(waiter));
        this.#options.onListens();
        void this.#pass(status);
        return;
      } catch {
        const delay = performance.now() - since < LISTEN_SOON ? LISTEN_EVERY : LISTEN_LATER;
        await sleep(delay, undefined, { signal: this.#closing.signal }).catch(() => {});
      }
    }
  }

  /** It left a question unanswered: asks on until it says something, or something is done about it. */
  async #askOn(): Promise<void> {
    const { lag, onSilent, patience, processorUse } = this.#options;
    const { signal } = this.#closing;
    const most = (patience.wait + patience.late + patience.last) * 1000 - ROUNDING;
    for (const starts = this.#starts; !signal.aborted && starts === this.#starts; ) {
      const asked = performance.now();
      const before = processorUse();
      try {
        await this.#client.status(patience.last * 1000);
        this.#heardAt = performance.now();
        return;
      } catch (error) {
        const silent = error instanceof HttpError && error.code === 'http-timeout';
        if (!silent || signal.aborted || starts !== this.#starts) return;
      }
      const now = performance.now();
      await sleep(SETTLE, undefined, { signal }).catch(() => {});
      if (signal.aborted || starts !== this.#starts) return;
      const silentFor = now - this.#heardAt - lag.since(this.#heardAt);
      const ownLag = lag.since(asked - JUST_AFTER);
      const silence = { asked: now - asked, silentFor, ownLag, before, after: processorUse() };
      if (judgeSilence(silence, most) === 'hung' && onSilent(Math.round(silentFor / 1000))) return;
      await sleep(ASK_AGAIN, undefined, { signal }).catch(() => {});
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
      const { wait, late } = this.#options.patience;
      try {
        const events = await this.#client.events(this.#options.cursor(), wait, late);
        this.#heardAt = performance.now();
        this.#options.takeEvents(events);
      } catch (error) {
        if (error instanceof HttpError && error.code === 'http-timeout') await this.#askOn();
        await sleep(200, undefined, { signal: this.#closing.signal }).catch(() => {});
      }
    }
  }
}
