import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RouterDocument } from 'documents';
import { ownAddresses } from '../handover/render.ts';
import { type HandoverState, insertNeighbours } from '../handover/state.ts';
import { raiseMembers } from '../loadbalancer/health-state.ts';
import { metadataServer } from '../metadata/apply.ts';
import { dnsmasqOf } from '../service/dnsmasq-of.ts';
import type { System } from '../system.ts';
import { HeldConnections } from './held-connections.ts';
import { parseLine, type SyncAck, type SyncLine } from './lines.ts';

/** Longest line, characters: what a router writes is far below. */
const LONGEST_LINE = 16 * 1024 * 1024;

/** The active router says something each second: after this long without a word the stream is given up, ms. */
const SILENCE = 10_000;

/** How often neighbours and members are said to answer, ms: twice before haproxy's third failed check (`serverOptions`). */
const UPKEEP = 2_000;

/** Least time between two restarts of dnsmasq for leases, ms. */
const LEASES_EVERY = 30_000;

type Place = Pick<RouterDocument, 'legs' | 'handover'>;

/** Where the receiving side stands. */
export interface Following {
  readonly receiving: boolean;
  readonly synced: boolean;
  readonly entries: number;
  readonly refused: number;
  readonly behind: number | null;
  /** ms since the last line, null before the first. */
  readonly lastMessageAge: number | null;
}

/** Takes over what an active router tells, as it tells it. When the stream ends everything stays as it is. */
export class StateFollower {
  readonly #system: System;
  readonly #place: () => Place | null;
  readonly #onError: (error: unknown) => void;
  readonly #held: HeldConnections;
  #stream: { readonly request: IncomingMessage; readonly response: ServerResponse } | null = null;
  #synced = false;
  #behind: number | null = null;
  #heard: number | null = null;
  #neighbours: HandoverState['neighbours'] = [];
  #members: HandoverState['members'] = [];
  #leases: string | null = null;
  #leasesTaken = -LEASES_EVERY;
  #busy = false;

  /** @param place - asked for when it is needed */
  constructor(system: System, place: () => Place | null, onError: (error: unknown) => void) {
    this.#system = system;
    this.#place = place;
    this.#onError = onError;
    this.#held = new HeldConnections(system.conntrack);
  }

  get standing(): Following {
    return {
      receiving: this.#stream !== null,
      synced: this.#synced,
      entries: this.#held.count,
      refused: this.#held.refused,
      behind: this.#behind,
      lastMessageAge: this.#heard === null ? null : Math.round(performance.now() - this.#heard),
    };
  }

  /** Ends the stream, if there is one. */
  close(): void {
    const stream = this.#stream;
    this.#stream = null;
    stream?.request.destroy();
    stream?.response.destroy();
  }

  /** Reads a stream to its end. A later one takes the place of an earlier. */
  async follow(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.close();
    const stream = { request, response };
    this.#stream = stream;
    this.#synced = false;
    this.#heard = performance.now();
    this.#held.abandon();
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    response.flushHeaders();
    response.on('error', () => undefined);
    // Whoever stops reading our answers has stopped listening.
    response.on('close', () => request.destroy());
    const upkeep = setInterval(() => {
      if (performance.now() - (this.#heard ?? 0) > SILENCE) {
        this.#refuse(response, 'Nothing was heard for too long')
          .then(() => request.destroy())
          .catch(this.#onError);
        return;
      }
      if (this.#busy) return;
      this.#busy = true;
      this.#keepUp()
        .catch(this.#onError)
        .finally(() => {
          this.#busy = false;
        });
    }, UPKEEP);
    upkeep.unref();
    try {
      for await (const line of linesOf(request)) {
        if (this.#stream !== stream) return;
        this.#heard = performance.now();
        const read = parseLine(line);
        if (read === null) {
          await this.#refuse(response, 'Not as a router writes it');
          return;
        }
        if (read !== 'unknown') await this.#apply(read, response);
      }
    } catch (error) {
      // A stream that breaks off is what it is for.
      if (!request.destroyed) {
        this.#onError(error);
        await this.#refuse(response, error instanceof Error ? error.message : String(error));
      }
    } finally {
      clearInterval(upkeep);
      // A later stream may be in its snapshot by now.
      if (this.#stream === stream) {
        this.#stream = null;
        this.#held.abandon();
      }
      response.end();
      request.destroy();
    }
  }

  #ackText(error?: string): string {
    const ack: SyncAck = {
      synced: this.#synced && error === undefined,
      entries: this.#held.count,
      behind: this.#behind ?? 0,
      refused: this.#held.refused,
      ...(error === undefined ? {} : { error }),
    };
    return `${JSON.stringify(ack)}\n`;
  }

  #ack(response: ServerResponse): void {
    // Acknowledgements that nobody reads do not pile up.
    if (!response.destroyed && response.writableLength === 0) response.write(this.#ackText());
  }

  /** Says why the stream ends. To stop reading closes the connection: it is said before that. */
  async #refuse(response: ServerResponse, error: string): Promise<void> {
    await Promise.race([
      new Promise<void>((resolve) => response.end(this.#ackText(error), () => resolve())),
      this.#system.clock.sleep(1000),
    ]);
  }

  async #apply(line: SyncLine, response: ServerResponse): Promise<void> {
    const place = this.#place();
    if (place === null) return;
    if ('time' in line) this.#behind = Math.max(0, this.#system.clock.now() - line.time);
    switch (line.type) {
      case 'snapshot-begin':
        this.#held.begin();
        return;
      case 'conntrack':
        if (line.op === 'set') this.#held.set(line.entries, ownAddresses(place));
        else this.#held.delete(line.entries, ownAddresses(place));
        return;
      case 'snapshot-end':
        if (this.#held.end(ownAddresses(place))) this.#synced = true;
        this.#ack(response);
        return;
      case 'heartbeat':
        this.#ack(response);
        return;
      case 'neighbours':
        this.#neighbours = line.items;
        insertNeighbours(this.#system, place, { neighbours: line.items }, true);
        return;
      case 'members':
        this.#members = line.items;
        await this.#raise();
        return;
      case 'passwords':
        await metadataServer(this.#system).inheritTaken(line.items);
        return;
      case 'leases':
        this.#leases = line.text;
        await this.#takeLeases();
    }
  }

  /**
   * A standby gets no answers: what it asks is answered to the active router. So it is told again and again what is so, and
   * can serve at any moment.
   */
  async #keepUp(): Promise<void> {
    const place = this.#place();
    if (place === null) return;
    insertNeighbours(this.#system, place, { neighbours: this.#neighbours }, true);
    await this.#raise();
    await this.#takeLeases();
  }

  /** A balancer that does not answer keeps nothing else from being followed: it is told again with the next round. */
  async #raise(): Promise<void> {
    await raiseMembers(this.#system, this.#members).catch(() => undefined);
  }

  /** dnsmasq reads leases at its start only: it is restarted, which nobody notices, and not for every guest by itself. */
  async #takeLeases(): Promise<void> {
    const text = this.#leases;
    if (text === null || performance.now() - this.#leasesTaken < LEASES_EVERY) return;
    this.#leases = null;
    if ((await dnsmasqOf(this.#system).inherit(text, true)) > 0) this.#leasesTaken = performance.now();
  }
}

/** Lines of a stream as they come. */
async function* linesOf(request: IncomingMessage): AsyncGenerator<string> {
  request.setEncoding('utf8');
  let rest = '';
  for await (const chunk of request as AsyncIterable<string>) {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > LONGEST_LINE) throw new Error(`A line is longer than ${LONGEST_LINE} characters`);
    yield* parts.filter((part) => part !== '');
  }
}
