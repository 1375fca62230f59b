/** One probe at work: its sockets inside and what it measured. Sockets follow the namespace; what was measured stays. */
import type { ProbeReading } from 'documents';
import { Connections } from './connections.ts';
import { Datagrams } from './datagrams.ts';
import { Names } from './names.ts';
import type { ProbeOrder } from './orders.ts';
import { Pace } from './pace.ts';
import { Samples } from './samples.ts';
import { realTime } from './sockets.ts';

/** A second. */
const CONNECTION_RATE = 2;
const NAME_RATE = 2;
/** ms that an answer may be under way when sockets are closed. */
const UNDER_WAY = 200;

interface Open {
  readonly inode: number;
  readonly datagrams: Datagrams | null;
  readonly connections: Connections | null;
  readonly names: Names | null;
}

export class Measurement {
  readonly order: ProbeOrder;
  readonly #samples: { readonly datagrams: Samples; readonly connections: Samples; readonly names: Samples };
  readonly #paces: { readonly datagrams: Pace; readonly connections: Pace; readonly names: Pace };
  #open: Open | null = null;

  /** `past`: the measurement that this one goes on with, closed by then. */
  constructor(order: ProbeOrder, past: Measurement | null, now: number, turn: number) {
    this.order = order;
    this.#samples =
      past?.order.rate === order.rate
        ? past.#samples
        : {
            datagrams: new Samples(order.rate),
            connections: new Samples(CONNECTION_RATE),
            names: new Samples(NAME_RATE),
          };
    const pace = (rate: number) => new Pace(rate, now, Math.random(), turn);
    this.#paces = { datagrams: pace(order.rate), connections: pace(CONNECTION_RATE), names: pace(NAME_RATE) };
  }

  /** Opens what is not open, and anew when the namespace is another; `inode` null: there is none. */
  reopen(inode: number | null): void {
    if (this.#open !== null && this.#open.inode === inode) return;
    this.close();
    if (inode === null) return;
    const { inside, target, dns, rate } = this.order;
    const { datagrams, connections, names } = this.#samples;
    let sending: Datagrams | null = null;
    try {
      sending = target === null ? null : new Datagrams(inside, target, rate, datagrams);
      this.#open = {
        inode,
        datagrams: sending,
        connections: target === null ? null : new Connections(inside, target, connections),
        names: dns === null ? null : new Names(inside, dns, names),
      };
    } catch {
      // It has no addresses yet, or goes: nothing is sent, nothing is counted, and it is tried again.
      sending?.close();
    }
  }

  receive(): void {
    this.#open?.datagrams?.turn();
    this.#open?.names?.turn();
  }

  /** Sends what is due. `answerable`: whether the outside end is there. */
  send(now: number, answerable: boolean): void {
    const { datagrams, connections, names } = this.#paces;
    const due = { datagrams: datagrams.due(now), connections: connections.due(now), names: names.due(now) };
    if (this.#open === null) return;
    if (answerable) {
      for (let count = 0; count < due.datagrams; count += 1) this.#open.datagrams?.send();
      for (let count = 0; count < due.connections; count += 1) this.#open.connections?.send();
    }
    for (let count = 0; count < due.names; count += 1) this.#open.names?.send();
  }

  /** What was sent until then and has no answer is lost. */
  judge(until: number): void {
    this.#open?.connections?.judge(until);
    const { datagrams, connections, names } = this.#samples;
    datagrams.judge(until);
    connections.judge(until);
    names.judge(until);
  }

  settled(to: number): boolean {
    const { datagrams, connections, names } = this.#samples;
    return datagrams.settled(to) && connections.settled(to) && names.settled(to);
  }

  reading(from: number, to: number): ProbeReading {
    const { datagrams, connections, names } = this.#samples;
    return {
      datagrams: datagrams.reading(from, to),
      connections: connections.reading(from, to),
      names: names.reading(from, to),
    };
  }

  close(): void {
    if (this.#open === null) return;
    const since = realTime() - UNDER_WAY;
    for (const samples of Object.values(this.#samples)) samples.cutOff(since);
    this.#open.datagrams?.close();
    this.#open.connections?.close();
    this.#open.names?.close();
    this.#open = null;
  }
}
