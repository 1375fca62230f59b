/** One flow at a steady rate. The other end checks every byte and says at the end how many it had. */
import { connect, type Socket } from 'node:net';
import { streamPieces } from '../message.ts';
import type { LaneHandle } from '../pacer.ts';
import { type Retransmits, retransmitsOf } from '../sockets.ts';
import { type BulkSpec, causeOf, type Job, OPEN_LIMIT, Tally, until } from './job.ts';

const WRITES_PER_SECOND = 200;
/** More than this unsent, and nothing is added. */
const QUEUE = 1 << 20;
const CONFIRM_LIMIT = 10_000;

export const bulk = ({ label, to, mbit }: BulkSpec): Job => {
  const broken = new Tally();
  const chunk = Math.round((mbit * 1e6) / 8 / WRITES_PER_SECOND);
  let socket: Socket | undefined;
  let lane: LaneHandle | undefined;
  let up = false;
  let ending = false;
  let over = false;
  let written = 0;
  let confirmed: number | null = null;
  let earlier = 0;
  let blockedAt: number | null = null;
  let longestStall = 0;
  let again: Retransmits = { sent: 0, needless: 0 };
  let begunAt = performance.now();
  let endedAt: number | null = null;

  const open = (): void => {
    written = 0;
    blockedAt = null;
    const answer: Buffer[] = [];
    const made = connect({ host: to.address, port: to.port, noDelay: true });
    socket = made;
    const fail = (cause: string): void => {
      if (made !== socket) return;
      socket = undefined;
      made.destroy();
      // Said goodbye, with a receipt.
      if (over || confirmed !== null) return;
      if (up) broken.add(cause);
      up = false;
      earlier += written;
      if (!ending) setTimeout(open, 500);
    };
    made.on('connect', () => {
      up = true;
    });
    made.on('data', (bytes: Buffer) => {
      answer.push(bytes);
      const whole = Buffer.concat(answer);
      if (whole.length === 8) confirmed = Number(whole.readBigUInt64BE());
    });
    made.on('error', (error) => fail(causeOf(error)));
    made.on('close', () => fail('closed'));
  };

  /** The kernel tells as long as the socket is there. */
  const sample = (): void => {
    if (socket !== undefined && up && !socket.destroyed && socket.writable) again = retransmitsOf(socket);
  };

  const write = (now: number): void => {
    if (socket === undefined || !up) return;
    if (socket.writableLength > QUEUE) {
      blockedAt ??= now;
      longestStall = Math.max(longestStall, now - blockedAt);
      return;
    }
    blockedAt = null;
    if (written % (chunk * 20) === 0) sample();
    for (const piece of streamPieces(written, chunk)) socket.write(piece);
    written += chunk;
  };

  return {
    open: async () => {
      open();
      if (!(await until(() => up, OPEN_LIMIT)))
        throw new Error(`${label}: no bulk flow to ${to.address}:${to.port}`);
    },
    begin: (pacer) => {
      begunAt = performance.now();
      broken.begin();
      lane = pacer.every(WRITES_PER_SECOND, write);
    },
    end: async () => {
      lane?.stop();
      endedAt = performance.now();
      ending = true;
      sample();
      socket?.end();
      await until(() => confirmed !== null || socket === undefined, CONFIRM_LIMIT);
      over = true;
    },
    report: () => {
      sample();
      const bytes = earlier + written;
      return {
        kind: 'bulk',
        label,
        bytes,
        rate: Math.round((bytes * 8) / ((endedAt ?? performance.now()) - begunAt) / 100) / 10,
        broken: broken.total,
        causes: broken.causes(),
        moments: broken.moments(),
        missing: over ? written - (confirmed ?? 0) : null,
        longestStall: Math.round(longestStall),
        retransmits: again.sent,
        needlessRetransmits: again.needless,
      };
    },
    close: () => {
      over = true;
      ending = true;
      socket?.destroy();
    },
  };
};
