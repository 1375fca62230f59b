/**
 * A host with its routers, over the real agents' API: it fetches documents when it is rung, applies them, reports, and
 * answers requests. It forwards no packet, but knows where one would go by the documents in force, and says so whenever
 * they change: that is how a state in between that loses packets is seen.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { ExecutionContext } from 'ava';
import type {
  BundleName,
  ControllerFrame,
  Failover,
  HandoverLink,
  HealthCheck,
  HostDocument,
  MachineStatus,
  ProbeReading,
  RouterDocument,
} from 'documents';
import { verifyHostDocument, verifyRouterDocument } from 'documents';
import { WebSocket } from 'ws';
import { isInForce, withFailovers } from '../../../host/failover/with-failovers.ts';
import type { Harness } from '../harness.ts';

interface Sessions {
  local: number;
  translated: number;
  holders: { address: string; port: number; protocol: string; count: number }[];
}

export interface FakeHost {
  readonly host: string;
  /** Routers whose machine runs. */
  readonly routers: () => string[];
  readonly document: () => HostDocument | null;
  readonly routerDocument: (id: string) => RouterDocument | undefined;
  /** What went wrong, such as a packet without a way; empty when all is well. */
  readonly complaints: string[];
  /** What was copied, `from>to`. */
  readonly copies: string[];
  /** Health of routers that were not there when the fake began. */
  readonly health: Map<string, HealthCheck[]>;
  readonly sessions: Map<string, Sessions>;
  /** Routers that cannot apply what they are given. */
  readonly broken: Set<string>;
  /** Routers whose services do not come up: their kernel does what their document says, which they never call applied. */
  readonly ailing: Set<string>;
  /** Whether daemons tell what they forward by apart from what they have applied. */
  tellsForwarding: boolean;
  /** New routers are broken, unhealthy or silent from the start. */
  successors: 'well' | 'unhealthy' | 'broken' | 'silent';
  copiesRefused: boolean;
  /** Sessions may be cut: a deadline is meant to pass. */
  mayCut: boolean;
  /** Routers whose daemon does not answer, nor take documents. True: one that is started anew does. */
  readonly hung: Map<string, boolean>;
  /** Restarts of daemons that were asked for. */
  readonly restarts: string[];
  /** A router is given up without its help: its connections may be lost. */
  mayLose: boolean;
  /** Whether the kernel of a router whose daemon is dead can be read by its host. */
  readsKernels: boolean;
  /** Checksums of bundles that do not prove themselves. */
  readonly refusedBundles: Set<string>;
  /** What a probe measures: `router` is the active one of its network, with the bundle it runs; null: no answer. */
  measure: (probe: {
    readonly id: string;
    readonly router: string;
    readonly bundle: string | null;
    readonly from: number;
    readonly to: number;
  }) => ProbeReading | null;
  /** How far standbys get. */
  standbys: 'synced' | 'syncing' | 'broken';
  /** Failovers that are on record here. */
  readonly failovers: Failover[];
  /** A router dies; its standby (this one) takes over at once. Returns which. */
  readonly die: (router: string, standby?: string) => string;
  /** Routers that were made `silent`. */
  readonly silence: Set<string>;
  /** Stops fetching and reporting; requests are still answered. */
  paused: boolean;
  close(): void;
  sync(): Promise<void>;
}

const pass = (name: string, status: HealthCheck['status'] = 'pass'): HealthCheck => ({
  name,
  status,
  message: status === 'pass' ? '' : `${name} is not well`,
  checkedAt: 1,
});

const measured = (lost: number) => ({ sent: 100, lost, doubled: 0, p50: 200, p99: 900, longest: 1200 });

/** A reading of a network that loses so many datagrams of a hundred. */
export const reading = (lost = 0): ProbeReading => ({
  datagrams: measured(lost),
  connections: measured(0),
  names: measured(0),
});

const sent = (links: readonly HandoverLink[] = []): readonly HandoverLink[] =>
  links.filter(({ receiveOnly }) => receiveOnly !== true);

/** Where a packet goes that comes to a router from a segment: who takes it, or why nobody does. */
export const wayOf = (
  documents: ReadonlyMap<string, RouterDocument>,
  at: string,
  owner: string | null,
): string => {
  const peerOf = (link: string, self: string): string | undefined =>
    [...documents].find(
      ([id, { handover }]) =>
        id !== self &&
        [...(handover?.older ?? []), ...(handover?.newer ?? [])].some((other) => other.id === link),
    )?.[0];
  let router = at;
  let over: string | null = null;
  for (let hops = 0; hops < 10; hops += 1) {
    if (router === owner) return router;
    const handover: RouterDocument['handover'] = documents.get(router)?.handover;
    const older = sent(handover?.older)[0]?.id;
    const newer = sent(handover?.newer)[0]?.id;
    const fromOlder = handover?.older.some(({ id }) => id === over) === true;
    if (over !== null && !fromOlder && handover?.newer.some(({ id }) => id === over) !== true)
      return `${router} does not know the link ${over}`;
    let next: string | undefined;
    if (older !== undefined && !fromOlder) next = older;
    else if (newer !== undefined && (fromOlder || older === undefined)) next = newer;
    if (next === undefined) return router;
    const peer = peerOf(next, router);
    if (peer === undefined) return `the link ${next} of ${router} ends nowhere`;
    router = peer;
    over = next;
  }
  return 'a loop';
};

export const fakeHost = async (
  t: ExecutionContext,
  h: Harness,
  agent: { readonly host: string; readonly token: string },
): Promise<FakeHost> => {
  if (!h.app.server.listening) await h.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = h.app.server.address() as AddressInfo;
  const call = h.as(agent.token);
  const startedAt = h.store.now() + 1;
  const applied = new Map<string, RouterDocument>();
  let document: HostDocument | null = null;
  const known = new Set<string>();

  const fake: FakeHost = {
    host: agent.host,
    routers: () => document?.machines.filter(({ kind }) => kind === 'router').map(({ id }) => id) ?? [],
    document: () => document,
    routerDocument: (id) => applied.get(id),
    complaints: [],
    copies: [],
    health: new Map(),
    sessions: new Map(),
    broken: new Set(),
    ailing: new Set(),
    tellsForwarding: true,
    successors: 'well',
    copiesRefused: false,
    mayCut: false,
    hung: new Map(),
    restarts: [],
    mayLose: false,
    readsKernels: true,
    refusedBundles: new Set(),
    measure: () => reading(),
    standbys: 'synced',
    failovers: [],
    die: (router, standby) => die(router, standby),
    silence: new Set(),
    paused: false,
    close: () => socket.terminate(),
    sync: () => sync(),
  };

  /** Routers whose daemons were dead, and that have not heard of anything since. */
  const behind = new Set<string>();

  /** Every packet has a way now, whatever router it comes to. */
  const judge = (when: string): void => {
    const complain = (what: string): void => {
      fake.complaints.push(`${when}: ${what}`);
    };
    const links = new Set(document?.links?.map(({ id }) => id));
    // Only one whose daemon was dead may go on hearing a wire that is gone, until it has fetched what is so now.
    for (const id of fake.hung.keys()) behind.add(id);
    for (const [id, { handover }] of applied)
      for (const link of [...(handover?.older ?? []), ...(handover?.newer ?? [])])
        if (!links.has(link.id) && !(link.receiveOnly === true && behind.has(id)))
          complain(`${id} uses the link ${link.id}, which is not there`);
    const networks = Map.groupBy(
      (document?.ports ?? []).filter(
        ({ machineDevice, role }) => role === 'router' && machineDevice === 'guest0',
      ),
      ({ segment }) => segment,
    );
    for (const ports of networks.values()) {
      const active = ports.filter((port) => port.active);
      if (active.length !== 1) complain(`${active.length} active ports`);
      const at = active[0]?.machine ?? '';
      if (!applied.has(at)) continue;
      const taker = wayOf(applied, at, null);
      if (!applied.has(taker)) complain(`a new packet at ${at}: ${taker}`);
      // Whoever could have taken a connection gets its packets.
      for (const { machine } of ports) {
        const lost = fake.mayLose && fake.hung.has(machine);
        const served = takers.has(machine) && applied.has(machine) && !lost;
        if (served && wayOf(applied, at, machine) !== machine)
          complain(`a packet of ${machine} at ${at} gets to ${wayOf(applied, at, machine)}`);
      }
      takers.add(taker);
    }
  };
  const takers = new Set<string>();

  /** What ailing routers called applied before. */
  const healthyUntil = new Map<string, number>();

  const report = async (id: string, observed: number, refusal?: string): Promise<void> => {
    told.set(id, running.get(id)?.checksum);
    const forwarding = applied.get(id)?.generation ?? 0;
    const ails = fake.ailing.has(id);
    if (!ails) healthyUntil.set(id, forwarding);
    const why = refusal ?? (ails ? 'haproxy does not start' : undefined);
    const condition = (type: string) => ({
      type,
      status: why === undefined ? 'True' : 'False',
      reason: why === undefined ? 'InForce' : 'ApplyFailed',
      message: why ?? '',
      observedGeneration: observed,
      lastTransitionTime: 1,
    });
    await call('PUT', `/v1/agent/routers/${id}/status`, {
      id,
      observedGeneration: observed,
      appliedGeneration: healthyUntil.get(id) ?? 0,
      ...(fake.tellsForwarding ? { forwardingGeneration: forwarding } : {}),
      version: '0.1.0',
      startedAt,
      ...(running.has(id) ? { bundle: running.get(id) } : {}),
      conditions: [condition('Applied'), condition('Ready')],
      health: [],
      counters: [],
      leases: [],
    });
  };

  /** What each router runs, and what of it was reported. */
  const running = new Map<string, BundleName>();
  const told = new Map<string, string | undefined>();

  /** A new bundle is taken at once, or refused. */
  const exchange = (id: string, wanted: BundleName | undefined): Partial<MachineStatus> => {
    const refused = wanted !== undefined && fake.refusedBundles.has(wanted.checksum);
    if (wanted !== undefined && !refused) running.set(id, wanted);
    const has = running.get(id);
    return {
      ...(has === undefined ? {} : { bundle: has }),
      ...(refused
        ? { refusedBundle: { checksum: wanted.checksum, message: 'the kernel would change' } }
        : {}),
    };
  };

  const syncHost = async (): Promise<void> => {
    const next = (await call('GET', '/v1/agent/document')).body as unknown as HostDocument;
    for (const { message } of verifyHostDocument(next)) fake.complaints.push(message);
    fake.failovers.splice(0, Infinity, ...fake.failovers.filter((one) => isInForce(next, one)));
    document = withFailovers(next, fake.failovers).document;
    const running = new Set(fake.routers());
    for (const id of applied.keys())
      if (!running.has(id)) {
        applied.delete(id);
        takers.delete(id);
      }
    judge(`host generation ${next.generation}`);
    await reportHost(next);
  };

  const pairs = () =>
    (document?.standbys ?? []).map(({ router, standby }) => ({
      router,
      standby,
      state: fake.hung.has(router)
        ? ('broken' as const)
        : applied.has(router) && applied.has(standby)
          ? fake.standbys
          : ('syncing' as const),
      message: '',
      since: 1,
    }));
  let pairsTold = '';

  const reportHost = async (wanted: HostDocument): Promise<void> => {
    pairsTold = JSON.stringify(pairs());
    await call('PUT', '/v1/agent/status', {
      id: agent.host,
      observedGeneration: wanted.generation,
      version: '0.1.0',
      startedAt,
      conditions: [],
      machines: wanted.machines.map(({ id, state, bundle }) => ({
        id,
        state,
        message: '',
        ...exchange(id, bundle),
      })),
      failovers: fake.failovers,
      standbys: pairs(),
    });
  };

  const die = (router: string, standby?: string): string => {
    const promoted = standby ?? document?.standbys?.find((pair) => pair.router === router)?.standby;
    if (promoted === undefined || document === null) throw new Error(`nobody stands by for ${router}`);
    fake.failovers.push({
      router,
      promoted,
      at: h.store.now(),
      reason: 'its namespace went',
      microseconds: 900,
    });
    document = withFailovers(document, fake.failovers).document;
    applied.delete(router);
    // It has the connections of the other one.
    if (takers.delete(router)) takers.add(promoted);
    void sync();
    return promoted;
  };

  /** A router that stops asking an older one: all that was translated there has to be copied, and no session be left. */
  const letGo = (id: string, before: RouterDocument | undefined, after: RouterDocument): void => {
    const dropped = sent(before?.handover?.older)[0]?.id;
    const kept = [...sent(after.handover?.older), ...sent(after.handover?.newer)];
    if (dropped === undefined || kept.some((link) => link.id === dropped)) return;
    const wire = document?.links?.find((link) => link.id === dropped);
    for (const { machine: peer } of wire?.ends ?? []) {
      if (peer === id) continue;
      takers.delete(peer);
      if (fake.mayLose) continue;
      if (!fake.copies.some((copy) => copy.startsWith(`${peer}>`)))
        fake.complaints.push(`${peer} was let go before it was copied`);
      if ((fake.sessions.get(peer)?.local ?? 0) > 0 && !fake.mayCut)
        fake.complaints.push(`${peer} was let go with sessions`);
    }
  };

  const syncRouters = async (): Promise<void> => {
    const { items = [] } = (await call('GET', '/v1/agent/routers')).body as unknown as {
      items: { id: string; generation: number }[];
    };
    for (const { id, generation } of items) {
      if (!fake.routers().includes(id)) continue;
      if (!known.has(id)) {
        known.add(id);
        if (known.size > 1 && fake.successors === 'unhealthy') fake.health.set(id, [pass('dnsmasq', 'fail')]);
        if (known.size > 1 && fake.successors === 'broken') fake.broken.add(id);
        if (known.size > 1 && fake.successors === 'silent') silent.add(id);
      }
      if (silent.has(id) || fake.hung.has(id)) continue;
      if (applied.get(id)?.generation === generation) {
        if (told.get(id) !== running.get(id)?.checksum) await report(id, generation);
        continue;
      }
      const answer = await call('GET', `/v1/agent/routers/${id}/document`);
      if (answer.status !== 200) continue;
      if (fake.broken.has(id)) {
        await report(id, generation, 'nft refused the ruleset');
        continue;
      }
      const given = answer.body as unknown as RouterDocument;
      for (const { message } of verifyRouterDocument(given)) fake.complaints.push(`${id}: ${message}`);
      letGo(id, applied.get(id), given);
      applied.set(id, given);
      behind.delete(id);
      judge(`${id} generation ${given.generation}`);
      await report(id, given.generation);
    }
  };
  const silent = fake.silence;

  let queue = Promise.resolve();
  const sync = (): Promise<void> => {
    queue = queue
      .then(async () => {
        if (fake.paused) return;
        // What it did by itself it tells before it hears anything.
        if (fake.failovers.length > 0 && document !== null) await reportHost(document);
        await syncHost();
        await syncRouters();
        if (pairsTold !== JSON.stringify(pairs()) && document !== null) await reportHost(document);
      })
      .catch((error: unknown) => {
        fake.complaints.push(String(error));
      });
    return queue;
  };

  const answer = (method: string, params: Record<string, unknown>): object => {
    const refuse = (message: string) => ({ problem: { pointer: '', code: 'no-answer', message, hint: '' } });
    if (method === 'copy-state') {
      if (fake.copiesRefused) return refuse('the router refused the state');
      if (!fake.readsKernels && fake.hung.has(String(params['from'])))
        return refuse('the router does not answer');
      fake.copies.push(`${params['from']}>${params['to']}`);
      return { result: { inserted: 3, present: 1, refused: [] } };
    }
    if (method === 'probe-reading') {
      const [id, from, to] = [String(params['probe']), Number(params['from']), Number(params['to'])];
      const segment = document?.ports.find(({ machine }) => machine === id)?.segment;
      const router = document?.ports.find(
        (port) => port.segment === segment && port.machineDevice === 'guest0' && port.active,
      )?.machine;
      const result =
        router === undefined
          ? null
          : fake.measure({ id, router, bundle: running.get(router)?.checksum ?? null, from, to });
      return result === null ? refuse('there is no such probe') : { result };
    }
    const router = String(params['router']);
    if (!applied.has(router)) return refuse('there is no such router');
    if (method === 'restart-daemon') {
      fake.restarts.push(router);
      if (fake.hung.get(router) === true) {
        fake.hung.delete(router);
        void sync();
      }
      return { result: {} };
    }
    if (fake.hung.has(router)) return refuse('the router does not answer');
    switch (params['path']) {
      case '/v1/health':
        return {
          result: {
            status: 200,
            body: {
              items: fake.health.get(router) ?? [
                pass('dnsmasq'),
                pass('gateway public0', 'fail'),
                pass('disk', 'warn'),
              ],
            },
          },
        };
      case '/v1/handover/sessions':
        return {
          result: {
            status: 200,
            body: fake.sessions.get(router) ?? { local: 0, translated: 7, holders: [] },
          },
        };
      default:
        return { result: { status: 200, body: {} } };
    }
  };

  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/agent/channel`, {
    headers: { authorization: `Bearer ${agent.token}` },
  });
  t.teardown(() => socket.terminate());
  socket.on('error', () => {});
  socket.on('message', (text) => {
    const frame = JSON.parse(String(text)) as ControllerFrame;
    if (frame.type !== 'request') {
      void sync();
      return;
    }
    socket.send(
      JSON.stringify({ type: 'response', id: frame.id, ...answer(frame.method, { ...frame.params }) }),
    );
  });
  await once(socket, 'open');
  socket.send(JSON.stringify({ type: 'hello', host: agent.host, version: '0.1.0' }));
  await sync();
  return fake;
};
