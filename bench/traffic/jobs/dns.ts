/** DNS over UDP (RFC 1035), each query from a port of its own, as resolvers do. */
import { createSocket, type Socket } from 'node:dgram';
import type { LaneHandle } from '../pacer.ts';
import type { KnownName } from '../traffic-map.ts';
import { type DnsSpec, type Job, OPEN_LIMIT, pause } from './job.ts';
import { LIMIT, Queries } from './queries.ts';

const TYPE_A = 1;
const CLASS_IN = 1;
const RECURSION_DESIRED = 0x0100;
const RESPONSE = 0x8000;

/** A question for the address of a name. */
export const encodeQuery = (id: number, name: string): Buffer => {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(RECURSION_DESIRED, 2);
  header.writeUInt16BE(1, 4);
  const labels = name.split('.').flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  const question = Buffer.alloc(4);
  question.writeUInt16BE(TYPE_A, 0);
  question.writeUInt16BE(CLASS_IN, 2);
  return Buffer.concat([header, ...labels, Buffer.from([0]), question]);
};

/** Offset behind a name; a pointer ends it (4.1.4). */
const afterName = (message: Buffer, start: number): number => {
  let offset = start;
  for (let labels = 0; labels < 128; labels += 1) {
    const length = message.readUInt8(offset);
    if (length >= 0xc0) return offset + 2;
    if (length === 0) return offset + 1;
    offset += length + 1;
  }
  throw new RangeError('name without an end');
};

/** What is wrong with an answer, or null. */
export const judgeAnswer = (message: Buffer, expected: string): string | null => {
  try {
    const flags = message.readUInt16BE(2);
    if ((flags & RESPONSE) === 0) return 'no response';
    if ((flags & 0xf) !== 0) return `rcode ${flags & 0xf}`;
    let offset = afterName(message, 12) + 4;
    for (let record = message.readUInt16BE(6); record > 0; record -= 1) {
      offset = afterName(message, offset);
      const length = message.readUInt16BE(offset + 8);
      if (message.readUInt16BE(offset) === TYPE_A && length === 4) {
        const address = [...message.subarray(offset + 10, offset + 14)].join('.');
        return address === expected ? null : 'other address';
      }
      offset += 10 + length;
    }
    return 'no address';
  } catch {
    return 'malformed';
  }
};

export const dns = ({ label, resolver, rate, names, outside }: DnsSpec): Job => {
  const queries = new Queries();
  const nonce = Math.floor(Math.random() * 0x1_0000_0000).toString(36);
  const sockets = new Set<Socket>();
  let lane: LaneHandle | undefined;
  let number = 0;
  let ended = false;

  /** In turn a name that no cache can have and one of the guests' own. */
  const next = (): KnownName =>
    (number % 2 === 0 ? names[(number / 2) % Math.max(1, names.length)] : undefined) ?? {
      name: `t${number}-${nonce}.${outside.domain}`,
      address: outside.address,
    };

  const ask = ({ name, address }: KnownName, answered: (wrong: string | null) => void): void => {
    const id = Math.floor(Math.random() * 0x1_0000);
    const socket = createSocket('udp4');
    sockets.add(socket);
    const close = (): void => {
      clearTimeout(timer);
      if (sockets.delete(socket)) socket.close();
    };
    const timer = setTimeout(close, LIMIT);
    // Refused (ICMP) is unanswered.
    socket.on('error', () => {});
    socket.on('message', (message) => {
      if (message.length < 12 || message.readUInt16BE(0) !== id) return;
      close();
      answered(judgeAnswer(message, address));
    });
    socket.connect(53, resolver, () => {
      if (sockets.has(socket)) socket.send(encodeQuery(id, name), () => {});
    });
  };

  return {
    open: async () => {
      let seen: string | null = 'no answer';
      const deadline = performance.now() + OPEN_LIMIT;
      while (seen !== null) {
        if (performance.now() > deadline) throw new Error(`${label}: ${resolver} does not resolve: ${seen}`);
        number += 1;
        ask(next(), (wrong) => {
          seen = wrong;
        });
        await pause(200);
      }
    },
    begin: (pacer) => {
      queries.begin();
      lane = pacer.every(rate, () => {
        number += 1;
        const own = number;
        queries.ask(own);
        ask(next(), (wrong) => queries.answer(own, wrong));
      });
    },
    end: async () => {
      lane?.stop();
      await queries.settle();
      ended = true;
    },
    report: () => queries.report('dns', label, ended),
    close: () => {
      for (const socket of sockets) socket.close();
      sockets.clear();
    },
  };
};
