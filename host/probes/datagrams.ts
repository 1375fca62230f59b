/** Datagrams to the echo outside. */
import { ECHO_PORT, HELD_OFFSET, TOKEN, TOKEN_OFFSET } from './echo.ts';
import type { Samples } from './samples.ts';
import { DatagramSocket, realTime } from './sockets.ts';

const LENGTH = 64;
const AT_ONCE = 8192;
/** Numbers are those of samples; they end where 32 bits do, after years. */
const NUMBER_OFFSET = 4;

export class Datagrams {
  readonly #samples: Samples;
  readonly #socket: DatagramSocket;
  readonly #message = Buffer.alloc(LENGTH);
  readonly #nonce = Math.floor(Math.random() * 0x1_0000_0000);
  readonly #sentAt: Float64Array;

  /** Throws when there is no such namespace, or no way to the target from it. */
  constructor(namespace: string, target: string, rate: number, samples: Samples) {
    this.#samples = samples;
    this.#socket = DatagramSocket.connected(namespace, target, ECHO_PORT);
    this.#message.writeUInt32BE(this.#nonce, 0);
    TOKEN.copy(this.#message, TOKEN_OFFSET);
    // An answer that took longer is too late anyway.
    this.#sentAt = new Float64Array(4 * rate + 16);
  }

  send(): void {
    const at = realTime();
    const number = this.#samples.send(at);
    this.#sentAt[number % this.#sentAt.length] = at;
    this.#message.writeUInt32BE(number, NUMBER_OFFSET);
    if (!this.#socket.send(this.#message)) this.#samples.fail(number);
  }

  /** Takes in what came. */
  turn(): void {
    for (let count = 0; count < AT_ONCE; count += 1) {
      const received = this.#socket.receive();
      if (received === null) return;
      const { bytes, at } = received;
      if (bytes.length !== LENGTH || bytes.readUInt32BE(0) !== this.#nonce) continue;
      const number = bytes.readUInt32BE(NUMBER_OFFSET);
      const sentAt = this.#sentAt[number % this.#sentAt.length] as number;
      this.#samples.answer(number, (at - sentAt) * 1000 - bytes.readUInt32BE(HELD_OFFSET));
    }
  }

  close(): void {
    this.#socket.close();
  }
}
