/** Numbered probes at a steady pace. Each is either answered, lost or doubled; nothing is sent twice. */
import { once } from 'node:events';
import type { Socket } from 'node:dgram';
import { Histogram } from '../histogram.ts';
import type { LaneHandle } from '../pacer.ts';
import type { ProbeReport } from '../report.ts';
import { openDatagrams } from '../sockets.ts';
import { type Job, OPEN_LIMIT, type ProbeSpec, pause, until } from './job.ts';

const ICMP_ECHO_REQUEST = 8;
const ICMP_ECHO_REPLY = 0;
const LENGTH = 64;
/** Numbers from here on belong to opening and are not counted. */
const FIRST_OF_OPENING = 0x8000_0000;
/** How long an answer is waited for when all is sent. */
const LAST_ANSWER = 2000;
/** A snapshot counts younger ones as under way. */
const UNDER_WAY = 1000;
const OUTAGES = 100;

/** When each probe was sent and how often it was answered. Grows by doubling. */
class Ledger {
  #sentAt = new Float64Array(4096);
  #answers = new Uint8Array(4096);
  sent = 0;

  send(now: number): number {
    if (this.sent === this.#sentAt.length) {
      const times = new Float64Array(this.sent * 2);
      times.set(this.#sentAt);
      this.#sentAt = times;
      const answers = new Uint8Array(this.sent * 2);
      answers.set(this.#answers);
      this.#answers = answers;
    }
    this.#sentAt[this.sent] = now;
    this.sent += 1;
    return this.sent - 1;
  }

  /** How often the probe was answered before this. */
  answer(number: number): number {
    const before = this.#answers[number] ?? 0;
    this.#answers[number] = Math.min(255, before + 1);
    return before;
  }

  sentAt(number: number): number {
    return this.#sentAt[number] ?? 0;
  }

  answered(number: number): boolean {
    return (this.#answers[number] ?? 0) > 0;
  }
}

export const probe = ({ label, protocol, direction, to, rate }: ProbeSpec): Job => {
  const header = protocol === 'icmp' ? 8 : 0;
  const nonce = Math.floor(Math.random() * 0x1_0000_0000);
  const ledger = new Ledger();
  const rtt = new Histogram();
  let socket: Socket | undefined;
  let lane: LaneHandle | undefined;
  let opened = false;
  let received = 0;
  let doubled = 0;
  let begunAt = 0;
  let lastAnswer = 0;
  let longestGap = 0;

  const send = (number: number): void => {
    const message = Buffer.alloc(LENGTH);
    if (protocol === 'icmp') {
      message[0] = ICMP_ECHO_REQUEST;
      message.writeUInt16BE(number & 0xffff, 6);
    }
    message.writeUInt32BE(nonce, header);
    message.writeUInt32BE(number, header + 4);
    // What the kernel refuses to send (an ICMP error came back) is a probe that gets no answer.
    socket?.send(message, () => {});
  };

  const receive = (message: Buffer): void => {
    if (message.length !== LENGTH || message.readUInt32BE(header) !== nonce) return;
    if (protocol === 'icmp' && message[0] !== ICMP_ECHO_REPLY) return;
    const number = message.readUInt32BE(header + 4);
    if (number >= FIRST_OF_OPENING) {
      opened = true;
      return;
    }
    if (number >= ledger.sent) return;
    const now = performance.now();
    if (ledger.answer(number) > 0) {
      doubled += 1;
      return;
    }
    received += 1;
    rtt.add(now - ledger.sentAt(number));
    longestGap = Math.max(longestGap, now - lastAnswer);
    lastAnswer = now;
  };

  /** Runs of lost probes among those sent until `until`. */
  const losses = (sentBefore: number): { lost: number; outages: ProbeReport['outages'] } => {
    const outages: { at: number; lost: number; duration: number }[] = [];
    let lost = 0;
    let first: number | null = null;
    const close = (next: number): void => {
      if (first === null) return;
      const start = ledger.sentAt(first);
      const ended = next < ledger.sent ? ledger.sentAt(next) : ledger.sentAt(next - 1) + 1000 / rate;
      outages.push({
        at: Math.round(start - begunAt),
        lost: next - first,
        duration: Math.round(ended - start),
      });
      first = null;
    };
    let number = 0;
    for (; number < ledger.sent && ledger.sentAt(number) <= sentBefore; number += 1) {
      if (ledger.answered(number)) close(number);
      else {
        lost += 1;
        first ??= number;
      }
    }
    close(number);
    return { lost, outages: outages.toSorted((a, b) => b.duration - a.duration).slice(0, OUTAGES) };
  };

  let ended = false;
  return {
    open: async () => {
      const made = openDatagrams(protocol);
      socket = made;
      made.on('message', receive);
      made.on('error', () => {});
      const connected = once(made, 'connect');
      // Ping sockets have no port, but the call wants one.
      made.connect(protocol === 'icmp' ? 1 : to.port, to.address);
      await connected;
      const deadline = performance.now() + OPEN_LIMIT;
      for (let number = FIRST_OF_OPENING; !opened; number += 1) {
        if (performance.now() > deadline)
          throw new Error(`${label}: no ${protocol} probe to ${to.address} was answered`);
        send(number);
        await pause(20);
      }
    },
    begin: (pacer) => {
      begunAt = performance.now();
      lastAnswer = begunAt;
      lane = pacer.every(rate, () => send(ledger.send(performance.now())));
    },
    end: async () => {
      lane?.stop();
      await until(() => received === ledger.sent, LAST_ANSWER);
      // What comes twice comes late.
      await pause(50);
      longestGap = Math.max(longestGap, ledger.sentAt(ledger.sent - 1) - lastAnswer);
      ended = true;
    },
    report: () => ({
      kind: 'probe',
      label,
      protocol,
      direction,
      sent: ledger.sent,
      received,
      ...losses(ended ? Infinity : performance.now() - UNDER_WAY),
      doubled,
      longestGap: Math.round(longestGap),
      rtt: rtt.distribution(),
      skipped: lane?.skipped() ?? 0,
    }),
    close: () => socket?.close(),
  };
};
