/** Connections to the echo outside: opened, one byte there and back, closed. */
import { Socket } from 'node:net';
import { ECHO_PORT } from './echo.ts';
import { PATIENCE, type Samples } from './samples.ts';
import { realTime, segmentsSentAgain, streamSocket } from './sockets.ts';

export class Connections {
  readonly #namespace: string;
  readonly #target: string;
  readonly #samples: Samples;
  readonly #open = new Set<{ readonly socket: Socket; readonly at: number }>();

  constructor(namespace: string, target: string, samples: Samples) {
    this.#namespace = namespace;
    this.#target = target;
    this.#samples = samples;
  }

  send(): void {
    const at = realTime();
    const number = this.#samples.send(at);
    let fd: number;
    try {
      fd = streamSocket(this.#namespace, this.#target);
    } catch {
      this.#samples.fail(number);
      return;
    }
    const socket = new Socket({ fd, readable: true, writable: true });
    const entry = { socket, at };
    this.#open.add(entry);
    let answered = false;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', () => {
      if (answered) return;
      answered = true;
      const took = realTime() - at;
      // Late because this program did not get to run: everything was there at the first asking.
      const ours = took > PATIENCE && segmentsSentAgain(fd) === 0;
      this.#samples.answer(number, (ours ? PATIENCE : took) * 1000);
      socket.end();
    });
    socket.on('close', () => {
      this.#open.delete(entry);
      if (!answered) this.#samples.fail(number);
    });
    socket.connect({ host: this.#target, port: ECHO_PORT }, () => socket.write('.'));
  }

  /** Gives up those that were begun until then; they count as failed. */
  judge(until: number): void {
    for (const { socket, at } of this.#open) {
      if (at > until) return;
      socket.destroy();
    }
  }

  close(): void {
    for (const { socket } of this.#open) socket.destroy();
  }
}
