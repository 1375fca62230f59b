/** Long TCP flows: each sends a message, waits for its echo, compares every byte. */
import { connect, type Socket } from 'node:net';
import { Histogram } from '../histogram.ts';
import { MESSAGE_LENGTH, writeMessage } from '../message.ts';
import type { LaneHandle } from '../pacer.ts';
import { retransmitsOf } from '../sockets.ts';
import { causeOf, type FlowsSpec, type Job, OPEN_LIMIT, Tally, until } from './job.ts';

const STALLED = 10_000;
const REOPEN = 500;
const CONNECT_LIMIT = 5000;
const scratch = Buffer.alloc(4096);

export const flows = ({ label, way, to, count, interval }: FlowsSpec): Job => {
  const latency = new Histogram();
  const broken = new Tally();
  const first = Math.floor(Math.random() * 0x8000_0000);
  let counting = false;
  let ending = false;
  let echoes = 0;
  let longestStall = 0;
  let lane: LaneHandle | undefined;

  class Flow {
    readonly #sender: number;
    readonly #to: FlowsSpec['to'][number] | undefined;
    readonly #message = Buffer.alloc(MESSAGE_LENGTH);
    #socket: Socket | undefined;
    #number = 0;
    #matched = 0;
    /** When the message that is not answered yet was sent. */
    #sentAt: number | null = null;
    #timer: NodeJS.Timeout | undefined;
    up = false;

    constructor(index: number) {
      this.#sender = first + index;
      this.#to = to[index % to.length];
    }

    open(): void {
      if (this.#to === undefined) throw new Error(`${label}: no address for flows through ${way}`);
      this.#matched = 0;
      this.#sentAt = null;
      const socket: Socket = connect({
        host: this.#to.address,
        port: this.#to.port,
        noDelay: true,
        onread: {
          buffer: scratch,
          callback: (length) => {
            if (socket === this.#socket) this.#receive(length);
            return true;
          },
        },
      });
      this.#socket = socket;
      this.#timer = setTimeout(() => this.#fail(socket, 'timeout'), CONNECT_LIMIT);
      // A flow is up with its first echo: a balancer takes connections whether or not it has a member for them.
      socket.on('connect', () => this.send());
      socket.on('error', (error) => this.#fail(socket, causeOf(error)));
      socket.on('end', () => this.#fail(socket, 'closed'));
      socket.on('close', () => this.#fail(socket, 'closed'));
    }

    send(): void {
      if (this.#socket === undefined || this.#sentAt !== null) return;
      this.#number += 1;
      writeMessage(this.#message, this.#sender, this.#number);
      this.#matched = 0;
      this.#sentAt = performance.now();
      this.#socket.write(this.#message);
    }

    /** Its slot has come. */
    turn(now: number): void {
      if (!this.up || this.#socket === undefined) return;
      if (this.#sentAt === null) this.send();
      else if (now - this.#sentAt > STALLED) this.#fail(this.#socket, 'stalled');
    }

    get outstanding(): number | null {
      return this.up ? this.#sentAt : null;
    }

    get socket(): Socket | undefined {
      return this.#socket;
    }

    close(): void {
      clearTimeout(this.#timer);
      this.up = false;
      const socket = this.#socket;
      this.#socket = undefined;
      socket?.destroy();
    }

    #receive(length: number): void {
      const rest = this.#message.subarray(this.#matched, this.#matched + length);
      if (this.#sentAt === null || rest.length !== length || rest.compare(scratch, 0, length) !== 0) {
        if (this.#socket !== undefined) this.#fail(this.#socket, 'corrupted');
        return;
      }
      this.#matched += length;
      if (this.#matched < MESSAGE_LENGTH) return;
      const took = performance.now() - this.#sentAt;
      this.#sentAt = null;
      if (counting && this.up) {
        echoes += 1;
        latency.add(took);
        longestStall = Math.max(longestStall, took);
      }
      clearTimeout(this.#timer);
      this.up = true;
    }

    #fail(socket: Socket, cause: string): void {
      if (socket !== this.#socket) return;
      if (this.up && counting) {
        broken.add(cause);
        if (this.#sentAt !== null) longestStall = Math.max(longestStall, performance.now() - this.#sentAt);
      }
      this.close();
      if (!ending) this.#timer = setTimeout(() => this.open(), counting ? REOPEN : REOPEN / 2);
    }
  }

  const all = Array.from({ length: count }, (_, index) => new Flow(index));
  const down = (): number => all.filter(({ up }) => !up).length;

  return {
    open: async () => {
      for (const flow of all) flow.open();
      if (!(await until(() => down() === 0, OPEN_LIMIT)))
        throw new Error(`${label}: ${down()} of ${count} flows through ${way} do not come up`);
    },
    begin: (pacer) => {
      counting = true;
      broken.begin();
      let turn = 0;
      lane = pacer.every((count * 1000) / interval, (now) => {
        all[turn]?.turn(now);
        turn = (turn + 1) % all.length;
      });
    },
    end: async () => {
      lane?.stop();
      await until(() => all.every(({ outstanding }) => outstanding === null), STALLED);
      ending = true;
      const now = performance.now();
      for (const { outstanding } of all)
        if (outstanding !== null && now - outstanding > STALLED) broken.add('stalled');
    },
    report: () => {
      const now = performance.now();
      const again = all.map(({ socket }) =>
        socket === undefined ? { sent: 0, needless: 0 } : retransmitsOf(socket),
      );
      return {
        kind: 'flows',
        label,
        way,
        flows: count,
        broken: broken.total,
        causes: broken.causes(),
        moments: broken.moments(),
        down: down(),
        echoes,
        latency: latency.distribution(),
        longestStall: Math.round(
          all.reduce(
            (longest, { outstanding }) => Math.max(longest, now - (outstanding ?? now)),
            longestStall,
          ),
        ),
        retransmits: again.reduce((sum, { sent }) => sum + sent, 0),
        needlessRetransmits: again.reduce((sum, { needless }) => sum + needless, 0),
        skipped: lane?.skipped() ?? 0,
      };
    },
    close: () => {
      ending = true;
      for (const flow of all) flow.close();
    },
  };
};
