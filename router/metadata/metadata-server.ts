import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import type { System } from '../system.ts';
import { type Answer, answer, notFound } from './answer.ts';
import type { RenderedGuest, RenderedMetadata } from './render.ts';
import { METADATA_PORT, PASSWORD_PORT } from './schema.ts';
import { type TakenPassword, TakenPasswords } from './taken-passwords.ts';

/** Guests are hostile: every resource one can hold is bounded, in time (ms) and in number. */
const HEADERS_WITHIN = 5_000;
const REQUEST_WITHIN = 10_000;
const IDLE = 5_000;
const LARGEST_HEADERS = 8_192;
const CONNECTIONS_A_GUEST = 16;
const CONNECTIONS = 2_048;

/** How long connections without a request are kept when the server ends, and requests under way, ms. */
const LAST_CONNECTIONS = 500;
const LAST_REQUESTS = 2_000;

/** How often a listener is tried that could not bind, ms: its address may come to the leg a moment later. */
const RETRY = 200;

interface Listener {
  readonly address: string;
  readonly port: number;
  readonly server: Server;
  /** Cleared when it is no longer wanted. */
  wanted: boolean;
}

const plain = (response: ServerResponse, status: number, body: string): void => {
  response.writeHead(status, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body) });
  response.end(body);
};

const deliver = (
  request: IncomingMessage,
  response: ServerResponse,
  { status, type, body }: Answer,
): void => {
  response.writeHead(status, { 'content-type': type, 'content-length': body.length });
  response.end(request.method === 'HEAD' ? undefined : body);
};

/**
 * The router's HTTP service for guests. Who asks is told by the source address of the connection, which a guest cannot
 * choose: its port is pinned, and the reply to a foreign address goes to that address's owner.
 *
 * It lives in the router daemon, so it is away from a kill of the daemon until its next start, about a second: clients
 * (cloud-init, CloudStack's scripts) ask again, and nothing is lost with it, as what was taken is on disk.
 *
 * A daemon that takes over listens beside the one that ends (SO_REUSEPORT, socket(7)). Of the two each new connection meets
 * one; what the ending one was offered and did not take yet goes to the other (tcp_migrate_req, ip-sysctl), and what
 * it took it answers.
 */
export class MetadataServer {
  readonly #system: System;
  readonly #taken: TakenPasswords;
  readonly #connections = new Map<string, number>();
  #listeners: Listener[] = [];
  #current: RenderedMetadata | null = null;
  #total = 0;
  #ending = false;
  /** Passwords, and guests that came lately, are one server's at a time: this one's from here on. */
  #isInCharge = false;
  readonly #inCharge = Promise.withResolvers<void>();

  constructor(system: System) {
    this.#system = system;
    this.#taken = new TakenPasswords(system);
  }

  /** What it answers by; null before the first `set`. */
  get current(): RenderedMetadata | null {
    return this.#current;
  }

  /** Addresses and ports that are wanted but not bound. */
  get missing(): readonly string[] {
    return this.#listeners
      .filter(({ server }) => !server.listening)
      .map(({ address, port }) => `${address}:${port}`);
  }

  /** Answers by `next` from now on, and listens where it says. Returns what was opened and closed. */
  async set(next: RenderedMetadata): Promise<string[]> {
    const changes = await this.#listen(next);
    const taken = await this.#taken.settle(next);
    // Whether an earlier daemon got around to telling is not known; telling twice is harmless.
    if (!this.#isInCharge) for (const guest of taken) this.#tell(guest);
    this.#isInCharge = true;
    this.#inCharge.resolve();
    return changes;
  }

  /** Listens beside the server of a daemon that is about to end. Who asks for a password, and who is not known, waits for {@link set}. */
  async besides(next: RenderedMetadata): Promise<void> {
    await this.#listen(next);
  }

  async #listen(next: RenderedMetadata): Promise<string[]> {
    this.#current = next;
    const wanted = next.listeners.flatMap((address) =>
      [METADATA_PORT, PASSWORD_PORT].map((port) => ({ address, port })),
    );
    const changes: string[] = [];
    const kept: Listener[] = [];
    for (const listener of this.#listeners) {
      if (wanted.some(({ address, port }) => address === listener.address && port === listener.port)) {
        kept.push(listener);
        continue;
      }
      listener.wanted = false;
      listener.server.close();
      listener.server.closeAllConnections();
      changes.push(`metadata no longer listens on ${listener.address}:${listener.port}`);
    }
    const opened = wanted
      .filter(
        ({ address, port }) =>
          !kept.some((listener) => listener.address === address && listener.port === port),
      )
      .map(({ address, port }) => this.#listener(address, port));
    this.#listeners = [...kept, ...opened];
    await Promise.all(opened.map((listener) => this.#open(listener)));
    changes.push(
      ...opened.map(({ address, port, server }) =>
        server.listening
          ? `metadata listens on ${address}:${port}`
          : `metadata waits for the address of ${address}:${port}`,
      ),
    );
    return changes;
  }

  /** One-time passwords that were taken, for the router that takes over. */
  takenPasswords(): Promise<readonly TakenPassword[]> {
    return this.#taken.all();
  }

  /** Erases passwords that were taken from the router that served before; returns how many. */
  inheritTaken(taken: readonly TakenPassword[]): Promise<number> {
    return this.#current === null ? Promise.resolve(0) : this.#taken.inherit(taken, this.#current);
  }

  /** Stops listening, and resolves when everybody who was connected has got his answer, but soon in any case. */
  async finish(): Promise<void> {
    this.#ending = true;
    const { clock } = this.#system;
    const started = clock.now();
    for (const { server } of this.#listeners) {
      // That of HTTP servers would cut connections whose next request may be on its way.
      NetServer.prototype.close.call(server);
    }
    for (let last = false; this.#total > 0; ) {
      const passed = clock.now() - started;
      if (passed > LAST_REQUESTS) break;
      if (!last && passed > LAST_CONNECTIONS) {
        last = true;
        for (const { server } of this.#listeners) server.closeIdleConnections();
      }
      await clock.sleep(10);
    }
    this.close();
  }

  /** Stops listening. */
  close(): void {
    for (const listener of this.#listeners.splice(0)) {
      listener.wanted = false;
      listener.server.close();
      listener.server.closeAllConnections();
    }
  }

  #listener(address: string, port: number): Listener {
    const server = createServer(
      {
        headersTimeout: HEADERS_WITHIN,
        requestTimeout: REQUEST_WITHIN,
        keepAliveTimeout: IDLE,
        connectionsCheckingInterval: 1_000,
        maxHeaderSize: LARGEST_HEADERS,
        // Shell scripts in guests speak HTTP by hand.
        requireHostHeader: false,
      },
      (request, response) => this.#answer(port, request, response),
    );
    server.maxRequestsPerSocket = 100;
    server.timeout = REQUEST_WITHIN;
    server.on('connection', (socket) => this.#admit(socket));
    return { address, port, server, wanted: true };
  }

  /** Binds, and goes on trying in the background when that is not possible yet. Resolves after the first attempt. */
  #open(listener: Listener): Promise<void> {
    return new Promise((resolve) => {
      const { address, port, server } = listener;
      server.on('error', () => {
        resolve();
        void this.#system.clock.sleep(RETRY).then(() => {
          if (listener.wanted && !this.#ending && !server.listening) {
            server.listen({ host: address, port, reusePort: true });
          }
        });
      });
      server.on('listening', () => resolve());
      server.listen({ host: address, port, reusePort: true });
    });
  }

  #admit(socket: Socket): void {
    const from = socket.remoteAddress ?? '';
    const count = (this.#connections.get(from) ?? 0) + 1;
    if (count > CONNECTIONS_A_GUEST || this.#total >= CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#connections.set(from, count);
    this.#total += 1;
    socket.once('close', () => {
      this.#total -= 1;
      const left = (this.#connections.get(from) ?? 1) - 1;
      if (left === 0) this.#connections.delete(from);
      else this.#connections.set(from, left);
    });
  }

  #answer(port: number, request: IncomingMessage, response: ServerResponse): void {
    if (this.#ending) response.setHeader('connection', 'close');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      // A body, if any, is not read: the connection goes with it.
      response.setHeader('connection', 'close');
      plain(response, 405, 'only GET\n');
      return;
    }
    const guest = this.#current?.guests.get(request.socket.remoteAddress ?? '');
    if (guest === undefined && !this.#isInCharge)
      // The daemon that is about to end may know it already: it alone is told what is new.
      void this.#inCharge.promise.then(() => this.#answer(port, request, response));
    else if (guest === undefined) deliver(request, response, notFound);
    else if (port === METADATA_PORT) deliver(request, response, answer(guest, request.url ?? '/'));
    else {
      this.#password(guest, request, response).catch((error: unknown) => {
        const { report } = this.#system;
        const message = `The password of ${guest.instance} could not be handled: ${error instanceof Error ? error.message : String(error)}`;
        report({ type: 'guest.password-failed', level: 'error', subject: guest.id, message });
        response.destroy();
      });
    }
  }

  /** CloudStack's password server: https://docs.cloudstack.apache.org/en/latest/adminguide/templates/_password.html */
  async #password(guest: RenderedGuest, request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#inCharge.promise;
    switch (request.headers['domu_request']) {
      case 'send_my_password':
        plain(response, 200, (await this.#taken.offered(guest)) ?? 'saved_password');
        return;
      case 'saved_password':
        if (await this.#taken.take(guest)) this.#tell(guest);
        plain(response, 200, 'saved_password');
        return;
      default:
        plain(response, 400, 'bad_request');
    }
  }

  #tell({ id, instance }: RenderedGuest): void {
    const message = `${instance} has taken its password; it is erased`;
    this.#system.report({ type: 'guest.password-saved', level: 'info', subject: id, message });
  }
}
