/** The outside end: echoes datagrams and connections (RFC 862), and says how long it held a datagram. */
import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
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
const CONNECTIONS = 1024;
/** A connection that is silent so long, ms, is no probe's: longer than this program may be kept from running. */
const IDLE = 30_000;

export class Echo {
  readonly #datagrams: DatagramSocket;
  readonly #server: Server;
  readonly #connections = new Set<Socket>();

  /** Throws when the namespace or a socket in it cannot be had. */
  constructor(namespace: string) {
    this.#datagrams = DatagramSocket.bound(namespace, ECHO_PORT);
    this.#server = createServer((socket) => {
      this.#connections.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => this.#connections.delete(socket));
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
    }
  }

  close(): void {
    this.#datagrams.close();
    this.#server.close();
    for (const socket of this.#connections) socket.destroy();
  }
}
