/** All routers of this host: one delivery each, and one queue for what they tell. */
import { join } from 'node:path';
import type { RouterEvent } from 'documents';
import { backOffDelay } from '../channel/back-off.ts';
import { type ControllerClient, ControllerError } from '../channel/controller.ts';
import type { HttpAnswer } from '../channel/http-request.ts';
import type { MachineReport, ProcessorUse } from '../machines/machine.ts';
import { copyState } from './copy-state.ts';
import { EventQueue } from './event-queue.ts';
import { LoopLag } from './loop-lag.ts';
import { type Patience, RouterDelivery } from './router-delivery.ts';

export interface RoutersOptions {
  /** STATE/host/routers */
  readonly directory: string;
  readonly controller: ControllerClient;
  readonly eventFile: string;
  readonly report: (report: MachineReport) => void;
  /** A delivery to this router failed and is tried again. */
  readonly onTrouble: (router: string, error: Error) => void;
  readonly onListens: (router: string) => void;
  /** Reads the state of a router without its daemon; undefined where that cannot be. Rejects when it fails. */
  readonly exportState: (router: string, signal: AbortSignal) => Promise<Buffer> | undefined;
  /** Its daemon runs, gets to run, and has answered nothing for that many seconds; false when nothing is done about it now. */
  readonly onSilent: (router: string, seconds: number) => boolean;
  /** How the scheduler treats its daemon; null when that is not known. */
  readonly processorUse: (router: string) => ProcessorUse | null;
  readonly patience: Patience;
}

const backOff = { first: 250, longest: 15_000 };

export class Routers {
  readonly #options: RoutersOptions;
  readonly #deliveries = new Map<string, RouterDelivery>();
  readonly #events: EventQueue;
  readonly #lag = new LoopLag();
  #delivering = false;
  #attempt = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RoutersOptions) {
    this.#options = options;
    this.#events = new EventQueue(options.eventFile, () => void this.#deliverEvents());
  }

  /** Takes up the events a predecessor could not deliver. */
  open(): void {
    this.#events.open();
    void this.#deliverEvents();
  }

  /** There is, or will be, a daemon for this router. */
  expect(id: string): void {
    if (this.#deliveries.has(id)) return;
    const { controller, directory, report, onTrouble, onListens, onSilent, patience } = this.#options;
    const { processorUse } = this.#options;
    const delivery = new RouterDelivery({
      id,
      directory: join(directory, id),
      fetchDocument: (since) => controller.routerDocument(id, since),
      putStatus: (status) => controller.putRouterStatus(status),
      cursor: () => this.#events.cursor(id),
      takeEvents: (events) => this.#events.add(events, id),
      report,
      onTrouble: (error) => onTrouble(id, error),
      onListens: () => onListens(id),
      onSilent: (seconds) => onSilent(id, seconds),
      patience,
      lag: this.#lag,
      processorUse: () => processorUse(id),
    });
    this.#deliveries.set(id, delivery);
    delivery.open();
  }

  daemonStarted(id: string): void {
    this.#deliveries.get(id)?.daemonStarted();
  }

  plugged(id: string): void {
    this.#deliveries.get(id)?.plugged();
  }

  ring(id: string): void {
    this.#deliveries.get(id)?.ring();
  }

  /** The router is switched off, or for good gone. */
  forget(id: string, forGood: boolean): void {
    this.#deliveries.get(id)?.close();
    this.#deliveries.delete(id);
    if (forGood) this.#events.forget(id);
  }

  /** Asks which generations there are and rings where one is newer; sends what waits. Empty when the controller is away. */
  async poll(): Promise<ReadonlyMap<string, number>> {
    void this.#deliverEvents();
    try {
      const generations = await this.#options.controller.routers();
      for (const [id, generation] of generations) {
        const delivery = this.#deliveries.get(id);
        if (delivery !== undefined && delivery.generation < generation) delivery.ring();
      }
      return generations;
    } catch {
      return new Map();
    }
  }

  /** Resolves when the router has this generation in force; at once for a router that is not here. */
  async applied(id: string, generation: number): Promise<void> {
    await this.#deliveries.get(id)?.applied(generation);
  }

  /** Resolves when a daemon of the router listens that is started after this call; undefined when it is not here. */
  listensAnew(id: string): Promise<void> | undefined {
    return this.#deliveries.get(id)?.listensAnew();
  }

  request(
    id: string,
    method: string,
    path: string,
    body: unknown,
    timeout?: number,
  ): Promise<HttpAnswer> | undefined {
    return this.#deliveries.get(id)?.request(method, path, body, timeout);
  }

  /** Carries connections, neighbours and leases from one router to another; answers with what the receiver took. */
  copyState(from: string, to: string): Promise<unknown> {
    const side = (id: string) => ({ id, client: this.#deliveries.get(id)?.client });
    const withoutDaemon = (signal: AbortSignal) => this.#options.exportState(from, signal);
    return copyState({ ...side(from), withoutDaemon }, side(to));
  }

  takeEvents(events: readonly RouterEvent[]): void {
    this.#events.add(events);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#lag.close();
    for (const delivery of this.#deliveries.values()) delivery.close();
    this.#deliveries.clear();
  }

  async #deliverEvents(): Promise<void> {
    if (this.#delivering || this.#closed) return;
    this.#delivering = true;
    clearTimeout(this.#timer);
    try {
      await this.#events.deliver((events) => this.#post(events));
      this.#attempt = 0;
    } catch {
      this.#attempt += 1;
      if (!this.#closed) {
        const delay = backOffDelay(backOff, this.#attempt, Math.random());
        this.#timer = setTimeout(() => void this.#deliverEvents(), delay);
      }
    } finally {
      this.#delivering = false;
    }
    if (this.#events.length > 0 && this.#attempt === 0) void this.#deliverEvents();
  }

  /** A batch that the controller does not understand is sent one by one, so that one bad event does not hold up the rest. */
  async #post(events: readonly RouterEvent[]): Promise<void> {
    const { controller, report } = this.#options;
    try {
      await controller.postEvents(events);
    } catch (error) {
      if (!(error instanceof ControllerError) || error.status !== 422) throw error;
      if (events.length === 1) {
        const [event] = events;
        if (event?.type === 'host.event-refused') return;
        const message = `The controller refused the event ${event?.type}: ${error.message}`.slice(0, 1000);
        report({ type: 'host.event-refused', level: 'error', subject: event?.subject ?? '', message });
        return;
      }
      for (const event of events) await this.#post([event]);
    }
  }
}
