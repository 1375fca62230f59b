/** Questions to the router's name server (RFC 1035) about a name without dots, which it answers by itself. */
import type { Samples } from './samples.ts';
import { DatagramSocket, realTime } from './sockets.ts';

const DNS_PORT = 53;
const NAME = 'selvage-probe';
const RECURSION_DESIRED = 0x0100;
const RESPONSE = 0x8000;
const NO_ERROR = 0;
const NO_SUCH_NAME = 3;
const AT_ONCE = 1024;

/** A question for the address of the name; its id is filled in. Pure. */
export const nameQuery = (): Buffer => {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(RECURSION_DESIRED, 2);
  header.writeUInt16BE(1, 4);
  const name = Buffer.concat([Buffer.from([NAME.length]), Buffer.from(NAME), Buffer.from([0])]);
  return Buffer.concat([header, name, Buffer.from([0, 1, 0, 1])]);
};

export class Names {
  readonly #samples: Samples;
  readonly #socket: DatagramSocket;
  readonly #query = nameQuery();
  /** Numbers and times of what was asked, by the lower 16 bits of the number. */
  readonly #asked = new Map<number, { readonly number: number; readonly at: number }>();

  constructor(namespace: string, server: string, samples: Samples) {
    this.#samples = samples;
    this.#socket = DatagramSocket.connected(namespace, server, DNS_PORT);
  }

  send(): void {
    const at = realTime();
    const number = this.#samples.send(at);
    const id = number & 0xffff;
    this.#asked.delete(id);
    this.#asked.set(id, { number, at });
    if (this.#asked.size > 64) this.#asked.delete(this.#asked.keys().next().value as number);
    this.#query.writeUInt16BE(id, 0);
    if (!this.#socket.send(this.#query)) this.#samples.fail(number);
  }

  turn(): void {
    for (let count = 0; count < AT_ONCE; count += 1) {
      const received = this.#socket.receive();
      if (received === null) return;
      const { bytes, at } = received;
      if (bytes.length < 12) continue;
      const asked = this.#asked.get(bytes.readUInt16BE(0));
      const flags = bytes.readUInt16BE(2);
      const code = flags & 0xf;
      // That there is no such name is an answer; that somebody else could not be asked is none.
      if (asked === undefined || (flags & RESPONSE) === 0 || (code !== NO_ERROR && code !== NO_SUCH_NAME))
        continue;
      this.#samples.answer(asked.number, (at - asked.at) * 1000);
    }
  }

  close(): void {
    this.#socket.close();
  }
}
