/** The outside end: echoes datagrams and connections (RFC 862), and says how long it held a datagram. */
import { createServer, type Server, type Socket } from 'node:net';
import { boundStreamSocket, DatagramSocket, realTime } from './sockets.ts';

export const ECHO_PORT = 7;
/** Number of the datagram, then how long the echo held it, µs. */
export const HELD_OFFSET = 8;
/** One turn answers no more than this many. */
const AT_ONCE = 8192;
const BACKLOG = 1024;

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
      socket.on('data', (bytes) => socket.write(bytes));
    });
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
      if (bytes.length < HELD_OFFSET + 4) continue;
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
