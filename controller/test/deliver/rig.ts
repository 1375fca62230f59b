/** A controller's delivery on loopback, with a store in a temporary folder, and agents that call it for real. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { ControllerFrame, HostStatus, RouterStatus } from 'documents';
import Fastify from 'fastify';
import { WebSocket } from 'ws';
import { type Delivery, startDelivery } from '../../deliver/delivery.ts';
import { hostTokenHash } from '../../deliver/host-token.ts';
import { type Store, openStore } from '../../store/store.ts';
import { touchRouter } from '../../store/touch.ts';
import { touchRule } from '../../plan/touched.ts';

export const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export interface Rig {
  readonly store: Store;
  readonly delivery: Delivery;
  readonly url: string;
  /** Closes delivery, server and store as a kill would leave them, and opens them again on the same folder. */
  reopen(): Promise<Rig>;
  agent(host: 'a' | 'b'): Agent;
}

export interface Reply {
  readonly status: number;
  readonly etag: string | null;
  readonly body: unknown;
}

export interface Agent {
  readonly call: (
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ) => Promise<Reply>;
  readonly connect: (hello?: string, autoPong?: boolean) => Promise<Channel>;
}

export interface Channel {
  readonly socket: WebSocket;
  readonly frames: ControllerFrame[];
  /** The first frame that fits, also one that came before. @throws when none comes in time. */
  readonly frame: (fits: (frame: ControllerFrame) => boolean) => Promise<ControllerFrame>;
  readonly close: () => Promise<void>;
}

/** Ids of the rows `seed` makes. */
export const ids = {
  zone: 'zone-000000000001',
  account: 'acc-000000000001',
  range: 'range-000000000001',
  offering: 'off-000000000001',
  network: 'net-00000000000n',
  router: 'rtr-000000000001',
  guestPort: 'port-0000000000g1',
  publicPort: 'port-0000000000p1',
  sourceNatIp: 'pip-000000000001',
  otherIp: 'pip-000000000002',
  instance: 'ins-000000000001',
  instancePort: 'port-0000000000i1',
  hosts: { a: 'host-00000000000a', b: 'host-00000000000b' },
} as const;

const token = (host: 'a' | 'b'): string => `token-of-host-${host}`;

/** Two hosts, one account, one network with its router and one guest on host a. */
export const seed = async (store: Store): Promise<void> => {
  const { db } = store;
  const at = { created_at: 1 };
  await db
    .insertInto('zone')
    .values({
      ...at,
      id: ids.zone,
      name: 'one',
      dns: '["192.0.2.53"]',
      domain: 'cloud.internal',
      guest_prefix: '10.1.1.0/24',
      public_mtu: 1500,
    })
    .execute();
  for (const name of ['a', 'b'] as const)
    await db
      .insertInto('host')
      .values({
        ...at,
        id: ids.hosts[name],
        zone_id: ids.zone,
        name,
        token_hash: hostTokenHash(token(name)),
        generation: 1,
        last_seen_at: null,
        agent_version: null,
      })
      .execute();
  await db
    .insertInto('account')
    .values({ ...at, id: ids.account, name: 'tenant', role: 'user' })
    .execute();
  await db
    .insertInto('public_ip_range')
    .values({
      ...at,
      id: ids.range,
      zone_id: ids.zone,
      prefix: '198.51.100.0/24',
      gateway: '198.51.100.1',
      first: '198.51.100.10',
      last: '198.51.100.99',
    })
    .execute();
  await db
    .insertInto('network_offering')
    .values({
      ...at,
      id: ids.offering,
      name: 'isolated-for-this-test',
      services: JSON.stringify([
        'dhcp',
        'dns',
        'metadata',
        'source-nat',
        'static-nat',
        'port-forward',
        'load-balancer',
        'firewall',
      ]),
      egress_default: 'deny',
      persistent: 0,
      state: 'enabled',
    })
    .execute();
  await db
    .insertInto('network')
    .values({
      ...at,
      id: ids.network,
      account_id: ids.account,
      zone_id: ids.zone,
      offering_id: ids.offering,
      name: 'blue',
      prefix: '10.1.1.0/24',
      gateway: '10.1.1.1',
      domain: 'blue.cloud.internal',
      mtu: 1450,
      state: 'implementing',
      vni: 1,
      gateway_mac: '02:00:00:00:00:01',
      public_mac: '02:00:00:00:00:02',
      idle_since: null,
    })
    .execute();
  await db
    .insertInto('router')
    .values({
      ...at,
      id: ids.router,
      network_id: ids.network,
      host_id: ids.hosts.a,
      generation: 1,
      parity: 0,
    })
    .execute();
  await db
    .insertInto('instance')
    .values({
      ...at,
      id: ids.instance,
      account_id: ids.account,
      zone_id: ids.zone,
      host_id: ids.hosts.a,
      name: 'web',
      hostname: 'web',
      wanted_state: 'running',
      user_data: '',
      public_keys: '[]',
      meta_data: '{"colour":"blue"}',
      password: store.secrets.encrypt('s3cret-word', ids.instance),
    })
    .execute();
  const port = { ...at, network_id: ids.network, instance_id: null, router_id: ids.router, address: null };
  await db
    .insertInto('port')
    .values([
      { ...port, id: ids.guestPort, role: 'router-guest', mac: '02:00:00:00:00:01' },
      { ...port, id: ids.publicPort, role: 'router-public', mac: '02:00:00:00:00:02' },
      {
        ...port,
        id: ids.instancePort,
        role: 'guest',
        mac: '02:00:00:00:01:01',
        address: '10.1.1.10',
        router_id: null,
        instance_id: ids.instance,
      },
    ])
    .execute();
  const ip = {
    ...at,
    zone_id: ids.zone,
    range_id: ids.range,
    account_id: ids.account,
    network_id: ids.network,
    generation: 1,
  };
  await db
    .insertInto('public_ip')
    .values([
      { ...ip, id: ids.sourceNatIp, address: '198.51.100.10', source_nat: 1 },
      { ...ip, id: ids.otherIp, address: '198.51.100.11', source_nat: 0 },
    ])
    .execute();
};

/** Records a firewall rule as the API does: the row and what it touches in one transaction. Returns the generation. */
export const addFirewallRule = (store: Store, id: string, port: number): Promise<number> =>
  store.transaction(async (trx) => {
    const generation = (await touchRouter(trx, ids.router, touchRule('firewallRules', id))) ?? 0;
    await trx
      .insertInto('firewall_rule')
      .values({
        id,
        created_at: 1,
        network_id: ids.network,
        account_id: ids.account,
        generation,
        public_ip_id: ids.otherIp,
        protocol: 'tcp',
        first_port: port,
        last_port: port,
        icmp_type: null,
        icmp_code: null,
        sources: '["0.0.0.0/0"]',
      })
      .execute();
    return generation;
  });

export const removeFirewallRule = (store: Store, id: string): Promise<number> =>
  store.transaction(async (trx) => {
    await trx.deleteFrom('firewall_rule').where('id', '=', id).execute();
    return (await touchRouter(trx, ids.router, touchRule('firewallRules', id))) ?? 0;
  });

export const hostStatus = (status: Partial<HostStatus> = {}): HostStatus => ({
  id: ids.hosts.a,
  observedGeneration: 1,
  version: '0.1.0',
  startedAt: 1000,
  conditions: [],
  machines: [],
  ...status,
});

export const routerStatus = (status: Partial<RouterStatus> = {}): RouterStatus => ({
  id: ids.router,
  observedGeneration: 1,
  appliedGeneration: 1,
  version: '0.1.0',
  startedAt: 1000,
  conditions: [],
  health: [],
  counters: [],
  leases: [],
  ...status,
});

const LONGEST = 5000;

const open = async (
  t: ExecutionContext,
  directory: string,
  now: () => number,
  fresh: boolean,
  pingEvery: number,
): Promise<Rig> => {
  const store = await openStore({ directory, now });
  if (fresh) await seed(store);
  const delivery = startDelivery({
    store,
    log: quiet,
    decryptPassword: (instance, text) => store.secrets.decrypt(text, instance),
    tickEvery: 50,
    pingEvery,
  });
  const app = Fastify({ forceCloseConnections: true });
  await app.register(delivery.routes);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const sockets = new Set<WebSocket>();
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    for (const socket of sockets) socket.terminate();
    await delivery.close();
    await app.close();
    await store.close();
  };
  t.teardown(close);

  const agent = (host: 'a' | 'b'): Agent => ({
    call: async (method, path, body, headers = {}) => {
      const response = await fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${token(host)}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        signal: AbortSignal.timeout(LONGEST),
      });
      const text = await response.text();
      return {
        status: response.status,
        etag: response.headers.get('etag'),
        body: text === '' ? undefined : (JSON.parse(text) as unknown),
      };
    },
    connect: async (hello = ids.hosts[host], autoPong = true) => {
      const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/agent/channel`, {
        headers: { authorization: `Bearer ${token(host)}` },
        autoPong,
      });
      sockets.add(socket);
      const frames: ControllerFrame[] = [];
      const waiting = new Set<() => void>();
      socket.on('error', () => {});
      socket.on('message', (message) => {
        frames.push(JSON.parse(String(message)) as ControllerFrame);
        for (const look of waiting) look();
      });
      await once(socket, 'open', { signal: AbortSignal.timeout(LONGEST) });
      socket.send(JSON.stringify({ type: 'hello', host: hello, version: '0.1.0' }));
      return {
        socket,
        frames,
        frame: (fits) =>
          new Promise((resolve, reject) => {
            const timer = setTimeout(() => {
              waiting.delete(look);
              reject(new Error(`no such frame; there were: ${JSON.stringify(frames)}`));
            }, LONGEST);
            const look = (): void => {
              const frame = frames.find(fits);
              if (frame === undefined) return;
              clearTimeout(timer);
              waiting.delete(look);
              resolve(frame);
            };
            waiting.add(look);
            look();
          }),
        close: async () => {
          const gone = once(socket, 'close', { signal: AbortSignal.timeout(LONGEST) });
          socket.close();
          await gone;
        },
      };
    },
  });

  return {
    store,
    delivery,
    url,
    agent,
    reopen: async () => {
      await close();
      return open(t, directory, now, false, pingEvery);
    },
  };
};

/** Everything is gone when the test ends, however it ends. */
export const openRig = (
  t: ExecutionContext,
  now: () => number = Date.now,
  pingEvery = 15_000,
): Promise<Rig> => {
  const directory = mkdtempSync(join(tmpdir(), 'selvage-deliver-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return open(t, directory, now, true, pingEvery);
};
