/**
 * Delivery: from intent in the store to documents in force, and back from reports to states, operations and events.
 *
 *     intent -> store.onChange -> doorbell over the agent's channel -> agent GETs the document (by generation, as a change
 *     where it can be told) -> applies -> PUTs status -> operations end, networks become implemented, events are told
 *
 * Everything needed after a crash is in the store: who is behind follows from generations and reports, what operations
 * wait for from their rows. A lost doorbell costs one poll of the agent. Repeats are harmless on every way.
 *
 *     const delivery = startDelivery({ store, log, decryptPassword });
 *     await app.register(delivery.routes);      // /v1/agent/**, with its own host tokens
 *     ...
 *     await delivery.close(); await app.close(); await store.close();
 *
 * Requests to a router, passed on by its host's agent: a `request` frame, method `router`, params
 * `{router, method, path, body?}`, answered by `{status, body}`; what is neither JSON nor text comes as a body
 * `{contentType, base64}`.
 */
import type { FastifyPluginAsync } from 'fastify';
import type { Store } from '../store/store.ts';
import type { Change } from '../store/transaction.ts';
import { agentRoutes } from './agent-routes.ts';
import { AgentError } from './agent-error.ts';
import { openChannels } from './channels.ts';
import { openDoorbell } from './doorbell.ts';
import { openLiveness } from './liveness.ts';
import type { Log } from './log.ts';
import { resolveOperations } from './resolve-operations.ts';
import type { DecryptPassword } from './router-facts.ts';

export interface DeliveryOptions {
  readonly store: Store;
  readonly log: Log;
  readonly decryptPassword: DecryptPassword;
  /** Between two looks at what is due, ms; 1000 if not said. */
  readonly tickEvery?: number;
  /** Between two pings, ms; 15,000 if not said. */
  readonly pingEvery?: number;
}

export interface RouterRequest {
  readonly method: 'GET' | 'POST';
  /** Path of the router's control API: `/v1/diff`. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** ms; 30,000 if not said. */
  readonly timeout?: number;
}

export interface RouterAnswer {
  readonly status: number;
  readonly contentType: string;
  /** A JSON value, a text, or bytes (Buffer) for any other content type. */
  readonly body: unknown;
}

export interface Delivery {
  /** The agents' API, to be registered with Fastify. */
  readonly routes: FastifyPluginAsync;
  /** Asks a router through its host's agent. @throws {AgentError} */
  requestRouter(routerId: string, request: RouterRequest): Promise<RouterAnswer>;
  /** Has a host carry connections, neighbours and leases from one of its routers to another. @throws {AgentError} */
  copyState(hostId: string, from: string, to: string): Promise<unknown>;
  /** Has a host end the daemon of one of its routers and start it anew. @throws {AgentError} */
  restartDaemon(hostId: string, router: string): Promise<unknown>;
  /** What a probe measured from one time to another, ms since the epoch. @throws {AgentError} */
  probeReading(hostId: string, probe: string, from: number, to: number): Promise<unknown>;
  /** Whether the host's agent has its channel open. */
  isConnected(hostId: string): boolean;
  /** How many generations of connected hosts are not in force yet. */
  waiting(): number;
  close(): Promise<void>;
}

/** A copy of everything a busy router knows, ms. */
const COPY_TIMEOUT = 60_000;
/** Until a daemon was ended and its successor begun, ms. */
const RESTART_TIMEOUT = 15_000;
/**
 * How much longer than a router its host may take to answer for it, ms. An agent that says nothing by then is cut off or
 * starved, and nobody knows anything of the router.
 */
const AGENT_TAKES = 5000;

/** For a reading of a probe, ms; what was sent last is waited for a second. */
const READING_TIMEOUT = 10_000;

/** Hosts are checked for silence at every so many ticks. */
const LIVENESS_TICKS = 5;

export const startDelivery = (options: DeliveryOptions): Delivery => {
  const { store, log, tickEvery = 1000, pingEvery = 15_000 } = options;
  const busy = new Set<Promise<void>>();
  let closed = false;

  /** One password that cannot be read must not keep a router from everything else. */
  const decryptPassword: DecryptPassword = (instance, text) => {
    try {
      return options.decryptPassword(instance, text);
    } catch (error) {
      log.error(
        { err: error, instance },
        'password of an instance cannot be decrypted; it is not handed out',
      );
      return null;
    }
  };

  /** Does work nobody waits for; `close` does. */
  const spawn = (what: string, work: () => Promise<void>): void => {
    if (closed) return;
    const task = work()
      .catch((error: unknown) => log.error({ err: error }, `${what} failed`))
      .finally(() => busy.delete(task));
    busy.add(task);
  };

  const liveness = openLiveness(store, (error) => log.error({ err: error }, 'host not marked as seen'));
  const channels = openChannels({
    log,
    onSeen: liveness.seen,
    onGone: (host) => {
      doorbell.forget(host);
      log.info({ host }, 'agent disconnected');
    },
    onHello: (host, version) => {
      log.info({ host, version }, 'agent connected');
      spawn('greeting an agent', () => greet(host, version));
    },
  });
  const doorbell = openDoorbell({ now: store.now, send: channels.send });

  /** Rings for everything a host is behind with. */
  const greet = async (host: string, version: string): Promise<void> => {
    await store.db.updateTable('host').set({ agent_version: version }).where('id', '=', host).execute();
    const own = await store.db
      .selectFrom('host')
      .leftJoin('host_status', 'host_status.host_id', 'host.id')
      .select(['host.generation', 'host_status.observed_generation as done'])
      .where('host.id', '=', host)
      .executeTakeFirst();
    if (own !== undefined && (own.done ?? 0) < own.generation)
      doorbell.ring({ host, router: null, generation: own.generation });
    const routers = await store.db
      .selectFrom('router')
      .leftJoin('router_status', 'router_status.router_id', 'router.id')
      .select(['router.id', 'router.generation', 'router_status.applied_generation as done'])
      .where('router.host_id', '=', host)
      .execute();
    for (const { id, generation, done } of routers)
      if ((done ?? 0) < generation) doorbell.ring({ host, router: id, generation });
  };

  const onChange = (change: Change): void => {
    for (const { id, generation } of change.hosts)
      if (channels.isConnected(id)) doorbell.ring({ host: id, router: null, generation });
    for (const { id, generation, host } of change.routers)
      if (channels.isConnected(host)) doorbell.ring({ host, router: id, generation });
    // An operation may wait for what is there already; then no report comes to end it.
    if (change.operations.length > 0) resolve(new Set(change.operations));
  };

  const resolve = (news: ReadonlySet<string> | undefined): void =>
    spawn('resolving operations', () =>
      store.transaction((trx) => resolveOperations(trx, store.now(), news)),
    );

  const stopListening = store.onChange(onChange);
  const timers = [
    setInterval(doorbell.tick, tickEvery),
    setInterval(channels.heartbeat, pingEvery),
    setInterval(() => spawn('checking hosts', liveness.check), tickEvery * LIVENESS_TICKS),
  ];
  for (const timer of timers) timer.unref();
  resolve(undefined);

  return {
    routes: agentRoutes({ store, channels, doorbell, seen: liveness.seen, decryptPassword, log }),
    requestRouter: async (routerId, { method, path, body, timeout = 30_000 }) => {
      const router = await store.db
        .selectFrom('router')
        .select('host_id')
        .where('id', '=', routerId)
        .executeTakeFirst();
      if (router === undefined) throw new AgentError('ROUTER_UNKNOWN', `There is no router ${routerId}`);
      const params = { router: routerId, method, path, timeout, ...(body === undefined ? {} : { body }) };
      return readAnswer(await channels.request(router.host_id, 'router', params, timeout + AGENT_TAKES));
    },
    copyState: (hostId, from, to) => channels.request(hostId, 'copy-state', { from, to }, COPY_TIMEOUT),
    restartDaemon: (hostId, router) =>
      channels.request(hostId, 'restart-daemon', { router }, RESTART_TIMEOUT),
    probeReading: (hostId, probe, from, to) =>
      channels.request(hostId, 'probe-reading', { probe, from, to }, READING_TIMEOUT),
    isConnected: channels.isConnected,
    waiting: doorbell.waiting,
    close: async () => {
      closed = true;
      stopListening();
      for (const timer of timers) clearInterval(timer);
      channels.close();
      await Promise.all(busy);
    },
  };
};

/** @throws {AgentError} `AGENT_REFUSED` when the agent's result is not an answer. */
const readAnswer = (result: unknown): RouterAnswer => {
  const { status, body } = (result ?? {}) as Record<string, unknown>;
  if (typeof status !== 'number')
    throw new AgentError('AGENT_REFUSED', 'The agent answered without a status');
  if (typeof body === 'string') return { status, contentType: 'text/plain', body };
  const { contentType, base64 } = (body ?? {}) as Record<string, unknown>;
  if (typeof contentType === 'string' && typeof base64 === 'string')
    return { status, contentType, body: Buffer.from(base64, 'base64') };
  return { status, contentType: status < 400 ? 'application/json' : 'application/problem+json', body };
};
