/** Short connections: handshake, echo, wait, echo, close. */
import { connect, type Socket } from 'node:net';
import { Histogram } from '../histogram.ts';
import { MESSAGE_LENGTH, writeMessage } from '../message.ts';
import type { LaneHandle } from '../pacer.ts';
import { type Retransmits, retransmitsOf } from '../sockets.ts';
import type { Endpoint } from '../traffic-map.ts';
import { type ConnectionsSpec, causeOf, type Job, OPEN_LIMIT, pause, Tally, until } from './job.ts';

/** Of one phase. */
const LIMIT = 5000;
/** First retransmission timeout of a SYN is 1 s (RFC 6298, 2.1); timers may fire a little early. */
const SLOW = 980;
const scratch = Buffer.alloc(4096);

type Phase = 'connect' | 'echo' | 'wait' | 'second echo' | 'close';

interface Outcome {
  /** Null: finished. */
  readonly failure: string | null;
  readonly slow: boolean;
  readonly late: boolean;
  readonly again: Retransmits;
  readonly connect: number;
  readonly total: number;
}

/** Lives one connection. `overdue` is to be called now and then. */
const live = (
  to: Endpoint,
  sender: number,
  life: number,
  done: (outcome: Outcome) => void,
): { readonly overdue: (now: number) => void; readonly abandon: () => void } => {
  const message = Buffer.alloc(MESSAGE_LENGTH);
  const startedAt = performance.now();
  let phase: Phase = 'connect';
  let phaseAt = startedAt;
  let connected = 0;
  let slow = false;
  let late = false;
  let again: Retransmits = { sent: 0, needless: 0 };
  let matched = 0;
  let over = false;
  let timer: NodeJS.Timeout | undefined;

  /** Whether the phase that ends now took too long. */
  const judge = (): void => {
    if (phase === 'wait' || performance.now() - phaseAt < SLOW) return;
    if (phase === 'connect') slow = true;
    else late = true;
  };
  const enter = (next: Phase): void => {
    judge();
    phase = next;
    phaseAt = performance.now();
  };
  const finish = (cause: string | null): void => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    socket.destroy();
    judge();
    done({
      failure: cause === null ? null : `${phase} ${cause}`,
      slow,
      late,
      again,
      connect: connected,
      total: performance.now() - startedAt - life,
    });
  };
  const ask = (next: Phase, number: number): void => {
    enter(next);
    matched = 0;
    writeMessage(message, sender, number);
    socket.write(message);
  };
  const receive = (length: number): void => {
    const rest = message.subarray(matched, matched + length);
    if (
      (phase !== 'echo' && phase !== 'second echo') ||
      rest.length !== length ||
      rest.compare(scratch, 0, length) !== 0
    ) {
      finish('corrupted');
      return;
    }
    matched += length;
    if (matched < MESSAGE_LENGTH) return;
    if (phase === 'echo') {
      enter('wait');
      timer = setTimeout(() => ask('second echo', 2), life);
    } else {
      enter('close');
      again = retransmitsOf(socket);
      socket.end();
    }
  };

  const socket: Socket = connect({
    host: to.address,
    port: to.port,
    noDelay: true,
    onread: {
      buffer: scratch,
      callback: (length) => {
        if (!over) receive(length);
        return true;
      },
    },
  });
  socket.on('connect', () => {
    connected = performance.now() - startedAt;
    ask('echo', 1);
  });
  socket.on('error', (error) => finish(causeOf(error)));
  socket.on('end', () => {
    if (phase !== 'close') finish('closed');
  });
  socket.on('close', () => finish(phase === 'close' ? null : 'closed'));
  return {
    overdue: (now) => {
      if (phase !== 'wait' && now - phaseAt > LIMIT) finish('timeout');
    },
    abandon: () => finish('abandoned'),
  };
};

export const connections = ({ label, way, to, rate, life }: ConnectionsSpec): Job => {
  const alive = new Set<ReturnType<typeof live>>();
  const connectTimes = new Histogram();
  const totals = new Histogram();
  const failures = new Tally();
  const slow = new Tally();
  const first = Math.floor(Math.random() * 0x8000_0000);
  let started = 0;
  let finished = 0;
  let late = 0;
  let retransmits = 0;
  let needless = 0;
  let lane: LaneHandle | undefined;
  let sweep: NodeJS.Timeout | undefined;

  const target = (index: number): Endpoint => {
    const found = to[index % to.length];
    if (found === undefined) throw new Error(`${label}: no address for connections through ${way}`);
    return found;
  };
  const start = (): void => {
    started += 1;
    const connection = live(target(started), first + started, life, (outcome) => {
      alive.delete(connection);
      if (outcome.failure !== null) {
        failures.add(outcome.failure);
        return;
      }
      finished += 1;
      if (outcome.slow) slow.add('slow');
      if (outcome.late) late += 1;
      retransmits += outcome.again.sent;
      needless += outcome.again.needless;
      connectTimes.add(outcome.connect);
      totals.add(Math.max(0, outcome.total));
    });
    alive.add(connection);
  };
  const trial = (endpoint: Endpoint): Promise<string | null> =>
    new Promise((resolve) => {
      const connection = live(endpoint, first, 0, ({ failure }) => {
        clearInterval(watch);
        resolve(failure);
      });
      const watch = setInterval(() => connection.overdue(performance.now()), 100);
    });

  return {
    open: async () => {
      const deadline = performance.now() + OPEN_LIMIT;
      for (const endpoint of to) {
        let failure = await trial(endpoint);
        while (failure !== null) {
          if (performance.now() > deadline)
            throw new Error(
              `${label}: no connection through ${way} to ${endpoint.address}:${endpoint.port}: ${failure}`,
            );
          await pause(200);
          failure = await trial(endpoint);
        }
      }
    },
    begin: (pacer) => {
      failures.begin();
      slow.begin();
      lane = pacer.every(rate, start);
      sweep = setInterval(() => {
        const now = performance.now();
        for (const connection of alive) connection.overdue(now);
      }, 100);
    },
    end: async () => {
      lane?.stop();
      await until(() => alive.size === 0, life + 4 * LIMIT);
    },
    report: () => ({
      kind: 'connections',
      label,
      way,
      started,
      finished,
      failed: failures.total,
      causes: failures.causes(),
      slow: slow.total,
      moments: [...failures.moments(), ...slow.moments()],
      late,
      retransmits,
      needlessRetransmits: needless,
      connect: connectTimes.distribution(),
      total: totals.distribution(),
      skipped: lane?.skipped() ?? 0,
    }),
    close: () => {
      clearInterval(sweep);
      for (const connection of alive) connection.abandon();
    },
  };
};
