/** The outside end: echoes datagrams and connections (RFC 862), and says how long it held a datagram. */
import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { KnownSenders } from './known-senders.ts';
import { boundStreamSocket, DatagramSocket, realTime } from './sockets.ts';

export const ECHO_PORT = 7;
/** Number of the datagram, then how long the echo held it, µs. */
export const HELD_OFFSET = 8;
/**
 * Both ends are in this process, and the echo has a public address: to anybody else it answers no datagram, as two echoes,
 * or an echo and a forged sender, would be set against each other.
 */
export const TOKEN = randomBytes(16);
export const TOKEN_OFFSET = 12;
/** One turn answers no more than this many. */
const AT_ONCE = 8192;
const BACKLOG = 1024;
const CONNECTIONS = 4096;
/** Of these, connections from where no probe was heard: strangers are not to take the place of probes. */
const STRANGERS = 256;
/** And connections from one address, where others than the probe may be, too. */
const OF_ONE_ADDRESS = 512;
/** A connection that is silent so long, ms, is no probe's: longer than this program may be kept from running. */
const IDLE = 30_000;

export class Echo {
  readonly #datagrams: DatagramSocket;
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  readonly #known = new KnownSenders();
  /** Open connections of an address. */
  readonly #counts = new Map<string, number>();
  #strangers = 0;

  /** Throws when the namespace or a socket in it cannot be had. */
  constructor(namespace: string) {
    this.#datagrams = DatagramSocket.bound(namespace, ECHO_PORT);
    this.#server = createServer((socket) => {
      if (!this.#admit(socket)) {
        socket.destroy();
        return;
      }
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.setTimeout(IDLE, () => socket.destroy());
      // One byte is all that a probe sends. Who sends more, and may not read what comes back, is none.
      let answered = false;
      socket.on('data', (bytes) => {
        if (answered || bytes.length > 1) socket.destroy();
        else socket.write(bytes);
        answered = true;
      });
    });
    this.#server.maxConnections = CONNECTIONS;
    // Its end shows as connections that fail.
    this.#server.on('error', () => {});
    try {
      this.#server.listen({ fd: boundStreamSocket(namespace, ECHO_PORT), backlog: BACKLOG });
    } catch (error) {
      this.#datagrams.close();
      throw error;
    }
  }

  /** Answers what came. */
  turn(): void {
    for (let count = 0; count < AT_ONCE; count += 1) {
      const received = this.#datagrams.receive();
      if (received === null) return;
      const { bytes, at } = received;
      if (!TOKEN.equals(bytes.subarray(TOKEN_OFFSET, TOKEN_OFFSET + TOKEN.length))) continue;
      bytes.writeUInt32BE(
        Math.min(0xffffffff, Math.max(0, Math.round((realTime() - at) * 1000))),
        HELD_OFFSET,
      );
      this.#datagrams.answer(bytes);
      this.#known.heard(this.#datagrams.senderAddress());
    }
  }

  /** Whether there is room for one more from there. */
  #admit(socket: Socket): boolean {
    const from = socket.remoteAddress ?? '';
    const count = this.#counts.get(from) ?? 0;
    const stranger = !this.#known.has(from);
    if (count >= OF_ONE_ADDRESS || (stranger && this.#strangers >= STRANGERS)) return false;
    this.#connections.add(socket);
    this.#counts.set(from, count + 1);
    if (stranger) this.#strangers += 1;
    socket.on('close', () => {
      this.#connections.delete(socket);
      if (stranger) this.#strangers -= 1;
      const left = (this.#counts.get(from) ?? 1) - 1;
      if (left === 0) this.#counts.delete(from);
      else this.#counts.set(from, left);
    });
    return true;
  }

  close(): void {
    this.#datagrams.close();
    this.#server.close();
    for (const socket of this.#connections) socket.destroy();
  }
}
