/** The socket on which the controller rings: kept open, opened again when lost. It carries no state. */
import type { AgentFrame, ControllerFrame } from 'documents';
import { WebSocket } from 'ws';
import { backOffDelay } from './back-off.ts';

export interface DoorbellOptions {
  /** Of the controller: `http://127.0.0.1:8480`. */
  readonly url: string;
  readonly token: string;
  readonly host: string;
  readonly version: string;
  /** Connected: whatever was rung meanwhile was missed. */
  readonly onOpen: () => void;
  readonly onFrame: (frame: ControllerFrame) => void;
  readonly onClose: (reason: string) => void;
}

const PING_EVERY = 15_000;
const backOff = { first: 100, longest: 5_000 };
const MOST_BYTES = 1024 * 1024;

/** Address of the socket below the API's. */
const channelUrl = (url: string): string =>
  `${url.replace(/^http/, 'ws').replace(/\/$/, '')}/v1/agent/channel`;

export class Doorbell {
  readonly #options: DoorbellOptions;
  #socket: WebSocket | null = null;
  #timer: NodeJS.Timeout | undefined;
  #attempt = 0;
  #closed = false;

  constructor(options: DoorbellOptions) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  open(): void {
    const { url, token, host, version, onOpen, onFrame, onClose } = this.#options;
    const socket = new WebSocket(channelUrl(url), {
      headers: { authorization: `Bearer ${token}` },
      maxPayload: MOST_BYTES,
      perMessageDeflate: false,
      handshakeTimeout: 10_000,
    });
    this.#socket = socket;
    let missed = 0;
    let ping: NodeJS.Timeout | undefined;
    let reason = 'closed';
    socket.on('open', () => {
      this.#attempt = 0;
      this.send({ type: 'hello', host, version });
      ping = setInterval(() => {
        // Two pings without any sign of life: the connection is dead, whatever TCP believes.
        if (missed >= 2) socket.terminate();
        missed += 1;
        socket.ping();
      }, PING_EVERY);
      onOpen();
    });
    const alive = () => {
      missed = 0;
    };
    socket.on('pong', alive);
    socket.on('ping', alive);
    socket.on('message', (data) => {
      alive();
      let frame: ControllerFrame;
      try {
        frame = JSON.parse(String(data)) as ControllerFrame;
      } catch {
        return;
      }
      onFrame(frame);
    });
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('close', () => {
      clearInterval(ping);
      if (this.#closed) return;
      this.#attempt += 1;
      onClose(reason);
      this.#timer = setTimeout(() => this.open(), backOffDelay(backOff, this.#attempt, Math.random()));
    });
  }

  /** Sends a frame if the socket is open; a frame that is lost costs time, nothing else. */
  send(frame: AgentFrame): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.terminate();
  }
}
