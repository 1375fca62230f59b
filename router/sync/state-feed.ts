import type { ServerResponse } from 'node:http';
import type { RouterDocument } from 'documents';
import { type ConntrackEntry, type Monitor, type MonitorEvent, monitor } from 'node-netlink';
import { endsHere } from '../handover/own-ends.ts';
import { ownAddresses } from '../handover/render.ts';
import type { CarriedEntry } from '../handover/state.ts';
import type { System } from '../system.ts';
import { carriedEntry, ConnectionChanges, isWorthSyncing } from './connection-changes.ts';
import { deleteLines, lineText, setLines } from './lines.ts';
import { type ReaderLimits, StreamReader } from './stream-reader.ts';
import { Surroundings } from './surroundings.ts';

/** How long changes of connections gather before they are told, ms: what a router that dies takes with it. */
const GATHER = 10;

/** Room for what the kernel has to tell while this process does something else, bytes: a second or two of a busy router. */
const ROOM = 16 * 1024 * 1024;

const HEARTBEAT = 1000;

/** How often everything is told again, ms: timeouts go on in the active router without an event. See `FLOOR`. */
const REFRESH = 60_000;

/** Least time between two snapshots because changes were lost, ms. */
const RECOVERY = 1000;

type Place = Pick<RouterDocument, 'legs' | 'handover'>;

/** What tests set. */
export interface FeedOptions {
  readonly room?: number;
  readonly refresh?: number;
  readonly limits?: ReaderLimits;
}

/**
 * Tells readers what this router knows that is in no document: all of it, and then what changes. It costs nothing while
 * nobody reads.
 */
export class StateFeed {
  readonly #system: System;
  readonly #place: () => Place | null;
  readonly #onError: (error: unknown) => void;
  readonly #options: FeedOptions;
  readonly #surroundings: Surroundings;
  readonly #changes = new ConnectionChanges();
  readonly #readers = new Set<StreamReader>();
  #monitor: Monitor | null = null;
  #heart: NodeJS.Timeout | undefined;
  #flushing: NodeJS.Immediate | undefined;
  #recovering: NodeJS.Timeout | undefined;
  #refreshed = 0;
  #entries = 0;
  #ownOf: Place | null = null;
  #own: ReadonlySet<string> = new Set();

  /** @param place - asked for when it is needed */
  constructor(
    system: System,
    place: () => Place | null,
    onError: (error: unknown) => void,
    options: FeedOptions = {},
  ) {
    this.#system = system;
    this.#place = place;
    this.#onError = onError;
    this.#options = options;
    this.#surroundings = new Surroundings(system, place);
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Connections in the last snapshot. */
  get entries(): number {
    return this.#entries;
  }

  /** Begins to write to a reader; it goes on until either end closes. */
  async attach(output: ServerResponse): Promise<void> {
    for (const line of await this.#surroundings.look()) this.#tell(line);
    if (output.destroyed) return;
    output.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    const reader = new StreamReader(output, () => this.#detach(reader), this.#options.limits);
    // Listened to before it is listed: nothing falls between.
    this.#start();
    this.#flush();
    reader.addSnapshot(this.#snapshot());
    this.#readers.add(reader);
  }

  #detach(reader: StreamReader): void {
    this.#readers.delete(reader);
    if (this.#readers.size === 0) this.#stop();
  }

  /** Lets go of all readers. */
  close(): void {
    for (const reader of this.#readers) reader.close();
    this.#readers.clear();
    this.#stop();
  }

  #start(): void {
    if (this.#monitor !== null) return;
    this.#monitor = monitor(
      {
        groups: ['conntrack-new', 'conntrack-update', 'conntrack-destroy'],
        receiveBufferBytes: this.#options.room ?? ROOM,
        gather: GATHER,
        onError: (error) => this.#fail(error),
      },
      (event) => this.#hear(event),
    );
    this.#monitor.unref();
    this.#refreshed = performance.now();
    this.#heart = setInterval(() => {
      this.#beat().catch((error: unknown) => this.#fail(error));
    }, HEARTBEAT);
    this.#heart.unref();
  }

  #stop(): void {
    this.#monitor?.close();
    this.#monitor = null;
    clearInterval(this.#heart);
    clearTimeout(this.#recovering);
    this.#recovering = undefined;
    if (this.#flushing !== undefined) clearImmediate(this.#flushing);
    this.#flushing = undefined;
    this.#changes.clear();
  }

  /** Who reads begins again: better than to go on with a gap. */
  #fail(error: unknown): void {
    this.#onError(error);
    this.close();
  }

  get #ownAddresses(): ReadonlySet<string> {
    const place = this.#place();
    if (place !== this.#ownOf) {
      this.#ownOf = place;
      this.#own = place === null ? new Set() : ownAddresses(place);
    }
    return this.#own;
  }

  #hear(event: MonitorEvent): void {
    if (event.type === 'resync') {
      this.#recover();
      return;
    }
    if (event.type !== 'conntrack') return;
    this.#changes.add(event.change, event.entry, this.#ownAddresses);
    if (this.#changes.isEmpty) return;
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined;
      try {
        this.#flush();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  /**
   * Changes were lost: everything is told again, and not more often than it can be. Who is in the middle of a snapshot that
   * was listed before is told when it is through.
   */
  #recover(): void {
    const wait = this.#refreshed + RECOVERY - performance.now();
    this.#recovering ??= setTimeout(
      () => {
        this.#recovering = undefined;
        const isLate = [...this.#readers].some((reader) => reader.isInSnapshot);
        try {
          this.#refresh();
          if (isLate) this.#recover();
        } catch (error) {
          this.#fail(error);
        }
      },
      Math.max(0, wait),
    );
  }

  #tell(line: string): void {
    for (const reader of this.#readers) reader.add(line);
  }

  #flush(): void {
    if (this.#changes.isEmpty) return;
    const { set, deleted } = this.#changes.take((names) => this.#system.conntrack.find(names));
    const time = this.#system.clock.now();
    // What is gone first: its addresses and ports may be another's already.
    for (const line of deleteLines(deleted, time)) this.#tell(line);
    for (const line of setLines(set, time)) this.#tell(line);
  }

  #refresh(): void {
    this.#flush();
    this.#refreshed = performance.now();
    const waiting = [...this.#readers].filter((reader) => !reader.isInSnapshot);
    if (waiting.length === 0) return;
    const connections = this.#connections();
    for (const reader of waiting) reader.addSnapshot(this.#snapshot(connections));
  }

  #connections(): readonly CarriedEntry[] {
    const own = this.#ownAddresses;
    const found = this.#system.conntrack
      .dump()
      .filter((entry: ConntrackEntry) => isWorthSyncing(entry) && !endsHere(entry, own))
      .map(carriedEntry);
    this.#entries = found.length;
    return found;
  }

  /** Listed now, written as the reader takes it. */
  #snapshot(connections: readonly CarriedEntry[] = this.#connections()): Generator<string> {
    const time = this.#system.clock.now();
    const around = this.#surroundings.lines();
    // biome-ignore lint/complexity/useArrowFunction: a generator
    return (function* () {
      yield lineText({ type: 'snapshot-begin', time });
      yield* around;
      yield* setLines(connections, time);
      yield lineText({ type: 'snapshot-end', time });
    })();
  }

  async #beat(): Promise<void> {
    for (const line of await this.#surroundings.look()) this.#tell(line);
    if (performance.now() - this.#refreshed >= (this.#options.refresh ?? REFRESH)) this.#refresh();
    this.#tell(lineText({ type: 'heartbeat', time: this.#system.clock.now() }));
  }
}
