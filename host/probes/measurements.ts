/** All probes of a host at work, turn by turn: echoes, takes in, judges, sends. */
import { statSync } from 'node:fs';
import type { ProbeReading } from 'documents';
import { namespacePath } from '../names.ts';
import { Echo } from './echo.ts';
import { Measurement } from './measurement.ts';
import type { ProbeOrder } from './orders.ts';
import { PATIENCE } from './samples.ts';
import { realTime } from './sockets.ts';

/** ms between two turns. */
export const TURN = 10;
/** Namespaces are looked at this often, ms. */
const LOOK = 200;
/** A turn that comes this late, ms, tells that this program did not get to run. */
const STALL = 100;
/** After that nothing is judged for a while, ms: what waited in sockets, ours and the echo's, is answered first. */
const REST = 300;
/** But judged it is, at the latest after so long, ms, of one stall after the other. */
const LONGEST_REST = 5000;

const inodeOf = (namespace: string): number | null => {
  try {
    return statSync(namespacePath(namespace)).ino;
  } catch {
    return null;
  }
};

interface Outside {
  readonly inode: number;
  readonly echo: Echo;
}

interface Waiting {
  readonly measurement: Measurement;
  readonly from: number;
  readonly to: number;
  readonly resolve: (reading: ProbeReading) => void;
}

export class Measurements {
  readonly #measurements = new Map<string, Measurement>();
  readonly #outsides = new Map<string, Outside>();
  #waiting: Waiting[] = [];
  readonly #timer: NodeJS.Timeout;
  #lastTurn = performance.now();
  #lastLook = -Infinity;
  #restUntil = -Infinity;
  #restSince = -Infinity;

  constructor() {
    this.#timer = setInterval(() => this.#turn(), TURN);
  }

  /** Measures these and nothing else. */
  follow(orders: readonly ProbeOrder[]): void {
    const wanted = new Map(orders.map((order) => [order.id, order]));
    for (const [id, measurement] of this.#measurements) {
      if (JSON.stringify(wanted.get(id)) === JSON.stringify(measurement.order)) continue;
      measurement.close();
      if (!wanted.has(id)) this.#measurements.delete(id);
    }
    for (const [id, order] of wanted) {
      const past = this.#measurements.get(id) ?? null;
      if (past !== null && JSON.stringify(past.order) === JSON.stringify(order)) continue;
      this.#measurements.set(id, new Measurement(order, past, performance.now(), TURN));
    }
    this.#lastLook = -Infinity;
  }

  /** When everything that was sent in the window is judged; undefined when there is no such probe. */
  reading(probe: string, from: number, to: number): Promise<ProbeReading> | undefined {
    const measurement = this.#measurements.get(probe);
    if (measurement === undefined) return undefined;
    const now = realTime();
    return new Promise((resolve) => {
      this.#waiting.push({ measurement, from, to: Math.min(to, now), resolve });
    });
  }

  close(): void {
    clearInterval(this.#timer);
    for (const measurement of this.#measurements.values()) measurement.close();
    for (const { echo } of this.#outsides.values()) echo.close();
  }

  #turn(): void {
    const now = performance.now();
    const late = now - this.#lastTurn > STALL;
    this.#lastTurn = now;
    if (late) {
      if (now >= this.#restUntil) this.#restSince = now;
      this.#restUntil = Math.min(now + REST, this.#restSince + LONGEST_REST);
    }
    if (now - this.#lastLook >= LOOK) this.#look(now);
    const began = realTime();
    for (const { echo } of this.#outsides.values()) echo.turn();
    for (const measurement of this.#measurements.values()) measurement.receive();
    // Connections are read by the event loop: the slack is for its turns.
    if (now >= this.#restUntil)
      for (const measurement of this.#measurements.values()) measurement.judge(began - PATIENCE - 10 * TURN);
    for (const measurement of this.#measurements.values())
      measurement.send(now, this.#outsides.has(measurement.order.outside));
    this.#answerReadings();
  }

  #answerReadings(): void {
    if (this.#waiting.length === 0) return;
    const [ready, waiting] = [
      this.#waiting.filter(({ measurement, to }) => measurement.settled(to)),
      this.#waiting.filter(({ measurement, to }) => !measurement.settled(to)),
    ];
    this.#waiting = waiting;
    for (const { measurement, from, to, resolve } of ready) resolve(measurement.reading(from, to));
  }

  /** Sockets go with their namespace: they would keep one alive whose name is gone. */
  #look(now: number): void {
    this.#lastLook = now;
    const wanted = new Set([...this.#measurements.values()].map(({ order }) => order.outside));
    const inodes = new Map<string, number | null>();
    const inode = (namespace: string): number | null => {
      const known = inodes.get(namespace);
      if (known !== undefined) return known;
      const found = inodeOf(namespace);
      inodes.set(namespace, found);
      return found;
    };
    for (const [namespace, { inode: opened, echo }] of this.#outsides) {
      if (wanted.has(namespace) && inode(namespace) === opened) continue;
      echo.close();
      this.#outsides.delete(namespace);
    }
    for (const namespace of wanted) {
      const there = inode(namespace);
      if (there === null || this.#outsides.has(namespace)) continue;
      try {
        this.#outsides.set(namespace, { inode: there, echo: new Echo(namespace) });
      } catch {
        // It goes, or is being made: looked at again.
      }
    }
    for (const measurement of this.#measurements.values())
      measurement.reopen(inode(measurement.order.inside));
  }
}
