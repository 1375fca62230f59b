/** A client that renews its lease again and again (RFC 2131, 4.3.2, state RENEWING: unicast, no server identifier). */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import type { LaneHandle } from '../pacer.ts';
import { type DhcpSpec, type Job, OPEN_LIMIT, pause } from './job.ts';
import { Queries } from './queries.ts';

const CLIENT_PORT = 68;
const SERVER_PORT = 67;
const MAGIC = 0x63825363;
const FIXED = 240;
const OPTION_TYPE = 53;
const OPTION_CLIENT = 61;
const OPTION_END = 255;
const REQUEST = 3;
const ACK = 5;
const NAK = 6;

const bytesOf = (address: string): number[] => address.split('.').map(Number);
const hardwareOf = (mac: string): number[] => mac.split(':').map((octet) => Number.parseInt(octet, 16));

/** The DHCPREQUEST of a client that has the address already. */
export const encodeRenewal = (xid: number, address: string, mac: string): Buffer => {
  const message = Buffer.alloc(FIXED + 16);
  message.set([1, 1, 6, 0], 0);
  message.writeUInt32BE(xid, 4);
  message.set(bytesOf(address), 12);
  message.set(hardwareOf(mac), 28);
  message.writeUInt32BE(MAGIC, FIXED - 4);
  message.set([OPTION_TYPE, 1, REQUEST, OPTION_CLIENT, 7, 1, ...hardwareOf(mac), OPTION_END], FIXED);
  return message;
};

/** What is wrong with an answer, or null. */
export const judgeLease = (message: Buffer, address: string): string | null => {
  let offset = FIXED;
  while (offset + 2 < message.length && message[offset] !== OPTION_END) {
    if (message[offset] === OPTION_TYPE) {
      const type = message[offset + 2];
      if (type === NAK) return 'refused';
      if (type !== ACK) return `type ${type}`;
      return [...message.subarray(16, 20)].join('.') === address ? null : 'other address';
    }
    offset += message[offset] === 0 ? 1 : 2 + (message[offset + 1] ?? 0);
  }
  return 'malformed';
};

export const dhcp = ({ label, server, address, rate }: DhcpSpec): Job => {
  const queries = new Queries();
  const first = Math.floor(Math.random() * 0x8000_0000);
  let number = first;
  let socket: Socket | undefined;
  let lane: LaneHandle | undefined;
  let mac = '';
  let ended = false;
  let seen: string | null = 'no answer';

  const ask = (): void => {
    number += 1;
    socket?.send(encodeRenewal(number, address, mac), SERVER_PORT, server, () => {});
  };

  return {
    open: async () => {
      const own = Object.values(networkInterfaces())
        .flatMap((entries) => entries ?? [])
        .find((entry) => entry.address === address);
      if (own === undefined) throw new Error(`${label}: ${address} is not an address of the client`);
      mac = own.mac;
      // The guest's own client may want the port when its time comes.
      const made = createSocket({ type: 'udp4', reuseAddr: true });
      socket = made;
      made.on('error', () => {});
      made.on('message', (message) => {
        if (message.length < FIXED) return;
        const wrong = judgeLease(message, address);
        if (!queries.answer(message.readUInt32BE(4), wrong)) seen = wrong;
      });
      const bound = once(made, 'listening');
      made.bind(CLIENT_PORT, address);
      await bound;
      const deadline = performance.now() + OPEN_LIMIT;
      while (seen !== null) {
        if (performance.now() > deadline) throw new Error(`${label}: ${server} renews no lease: ${seen}`);
        ask();
        await pause(200);
      }
    },
    begin: (pacer) => {
      queries.begin();
      lane = pacer.every(rate, () => {
        ask();
        queries.ask(number);
      });
    },
    end: async () => {
      lane?.stop();
      await queries.settle();
      ended = true;
    },
    report: () => queries.report('dhcp', label, ended),
    close: () => socket?.close(),
  };
};
