/** A controller on a database of its own, called by `inject`, and an agent that reports what it is asked to be. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { HostDocument, RouterDocument } from 'documents';
import type { FastifyInstance } from 'fastify';
import { sql } from 'kysely';
import { buildApi } from '../api/build-api.ts';
import { bootstrap } from '../auth/bootstrap.ts';
import { type Delivery, startDelivery } from '../deliver/delivery.ts';
import { startNetworkGc } from '../network-gc.ts';
import { openStore, type Store } from '../store/store.ts';
import { startWorkflows, type Workflows } from '../workflow/engine.ts';
import { patchRouter } from '../workflow/patch/patch-router.ts';
import { rebuildStandby } from '../workflow/rebuild-standby/rebuild-standby.ts';
import { replaceRouter } from '../workflow/replace/replace-router.ts';
import { upgradeRun } from '../workflow/upgrade/upgrade-run.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  // biome-ignore format: one line reads better
  readonly body: Record<string, unknown> & { readonly items?: Record<string, unknown>[]; readonly problems?: { pointer: string; code: string; message: string; hint: string }[] };
  readonly text: string;
}

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT';

export interface Calls {
  (method: Method, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>;
}

export interface Harness {
  readonly directory: string;
  readonly store: Store;
  readonly app: FastifyInstance;
  readonly delivery: Delivery;
  /** Calls as the administrator. */
  readonly admin: Calls;
  /** Moves the clock; everything takes its time from it. */
  advance(ms: number): void;
  /** Calls with another key. */
  as(key: string): Calls;
  /** A new account and its calls. */
  account(name: string): Promise<{ id: string; key: string; call: Calls }>;
  /** Collects idle networks once, as if this many seconds were the limit. */
  collect(seconds: number): Promise<string[]>;
  /** Everything in the database, to compare before and after. */
  dump(): Promise<string>;
  /**
   * Ends the workflow engine and starts another, as a restart does. With `commits` the new one dies after so many
   * transactions: it can do nothing from then on, as a process that was killed there.
   */
  restartWorkflows(commits?: number): Promise<void>;
  /** Whether it died. */
  workflowsDied(): boolean;
  /** Signs bundles that the API takes. */
  readonly signingKey: KeyObject;
  /** Lines the API and delivery logged. */
  readonly log: string[];
}

const quiet = (lines: string[]) => {
  const write = (context: object, message?: string) =>
    lines.push(`${JSON.stringify(context)} ${message ?? ''}`);
  return { debug: write, info: write, warn: write, error: write };
};

export const harness = async (t: ExecutionContext): Promise<Harness> => {
  const directory = mkdtempSync(join(tmpdir(), 'svt-controller-'));
  let shift = 0;
  const store = await openStore({ directory: join(directory, 'controller'), now: () => Date.now() + shift });
  const keyFile = join(directory, 'admin.key');
  await bootstrap(store, keyFile);
  const log: string[] = [];
  const delivery = startDelivery({
    store,
    log: quiet(log),
    decryptPassword: (instance, text) => store.secrets.decrypt(text, instance),
  });
  let commitsLeft = Number.POSITIVE_INFINITY;
  const mortal = (): Store => ({
    ...store,
    transaction: async (work) => {
      if (commitsLeft <= 0) throw new Error('the engine was killed');
      commitsLeft -= 1;
      return store.transaction(work);
    },
  });
  const engine = (): Workflows =>
    startWorkflows({
      store: mortal(),
      link: delivery,
      log: quiet(log),
      types: [patchRouter, rebuildStandby, replaceRouter, upgradeRun],
      tickEvery: 20,
    });
  let workflows = engine();
  const signer = generateKeyPairSync('ed25519');
  const app = await buildApi({ store, routers: delivery, trustedKeys: [signer.publicKey] });
  await app.register(delivery.routes);
  await app.ready();
  t.teardown(async () => {
    const stopped = workflows.stop();
    await delivery.close();
    await stopped;
    await app.close();
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const as =
    (key: string): Calls =>
    async (method, path, body, headers = {}) => {
      const response = await app.inject({
        method,
        url: path,
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const isJson = String(response.headers['content-type']).includes('json');
      return {
        status: response.statusCode,
        headers: response.headers,
        body: isJson && response.payload !== '' ? response.json() : {},
        text: response.payload,
      };
    };
  const admin = as(readFileSync(keyFile, 'utf8').trim());
  return {
    directory,
    store,
    app,
    delivery,
    admin,
    as,
    log,
    signingKey: signer.privateKey,
    advance: (ms) => {
      shift += ms;
    },
    account: async (name) => {
      const account = await admin('POST', '/v1/accounts', { name });
      const key = await admin('POST', '/v1/api-keys', { account: account.body['id'], name: 'test' });
      return {
        id: String(account.body['id']),
        key: String(key.body['key']),
        call: as(String(key.body['key'])),
      };
    },
    workflowsDied: () => commitsLeft <= 0,
    restartWorkflows: async (commits = Number.POSITIVE_INFINITY) => {
      await workflows.stop();
      commitsLeft = commits;
      workflows = engine();
    },
    collect: async (seconds) => {
      const gc = startNetworkGc({
        store,
        wait: seconds * 1000,
        onError: (error) => {
          throw error;
        },
      });
      const changed = await gc.run();
      await gc.stop();
      return changed;
    },
    dump: async () => {
      const tables = await sql<{
        name: string;
      }>`select name from sqlite_master where type = 'table' order by name`.execute(store.db);
      const all: Record<string, unknown[]> = {};
      for (const { name } of tables.rows)
        all[name] = (await sql`select * from ${sql.table(name)}`.execute(store.db)).rows;
      return JSON.stringify(all, null, 1);
    },
  };
};

/** A host agent that does in no time what its documents say. */
export class Agent {
  readonly host: string;
  readonly token: string;
  readonly #call: Calls;
  readonly #now: () => number;
  readonly #startedAt: number;
  /** What goes wrong with a router's next apply: its observed generation goes up, the applied one stays. */
  broken = new Map<string, string>();
  #applied = new Map<string, number>();

  constructor(h: Harness, host: string, token: string) {
    this.host = host;
    this.token = token;
    this.#call = h.as(token);
    this.#now = h.store.now;
    this.#startedAt = h.store.now();
  }

  async document(): Promise<HostDocument> {
    return (await this.#call('GET', '/v1/agent/document')).body as unknown as HostDocument;
  }

  async routerDocument(id: string): Promise<RouterDocument> {
    return (await this.#call('GET', `/v1/agent/routers/${id}/document`)).body as unknown as RouterDocument;
  }

  /** Fetches everything and reports it as being so. */
  async sync(): Promise<void> {
    const routers = (await this.#call('GET', '/v1/agent/routers')).body.items as unknown as {
      id: string;
      generation: number;
    }[];
    for (const { id, generation } of routers) {
      const fault = this.broken.get(id);
      if (fault === undefined) this.#applied.set(id, generation);
      const answer = await this.#call('PUT', `/v1/agent/routers/${id}/status`, {
        id,
        observedGeneration: generation,
        appliedGeneration: this.#applied.get(id) ?? 0,
        version: '0.1.0',
        startedAt: this.#startedAt,
        conditions: [
          {
            type: 'Applied',
            status: fault === undefined ? 'True' : 'False',
            reason: fault === undefined ? 'InForce' : 'ApplyFailed',
            message: fault ?? '',
            observedGeneration: generation,
            lastTransitionTime: this.#now(),
          },
        ],
        health: [],
        counters: [],
        leases: [],
      });
      if (answer.status !== 204) throw new Error(answer.text);
    }
    const document = await this.document();
    const answer = await this.#call('PUT', '/v1/agent/status', {
      id: this.host,
      observedGeneration: document.generation,
      version: '0.1.0',
      startedAt: this.#startedAt,
      conditions: [],
      machines: document.machines.map(({ id, state }) => ({ id, state, message: '' })),
    });
    if (answer.status !== 204) throw new Error(answer.text);
  }
}

/** A zone with one host that is up and a public range. */
export const seedZone = async (
  h: Harness,
  name = 'z1',
  publicPrefix = '203.0.113',
): Promise<{ zone: string; agent: Agent }> => {
  const zone = await h.admin('POST', '/v1/zones', { name, dns: [`${publicPrefix}.1`] });
  const host = await h.admin('POST', '/v1/hosts', { zone: name, name: 'h1' });
  await h.admin('POST', '/v1/public-ip-ranges', {
    zone: name,
    prefix: `${publicPrefix}.0/24`,
    gateway: `${publicPrefix}.1`,
    first: `${publicPrefix}.10`,
    last: `${publicPrefix}.250`,
  });
  const agent = new Agent(h, String(host.body['id']), String(host.body['token']));
  await agent.sync();
  return { zone: String(zone.body['id']), agent };
};

/** Ids of a network with a guest and a public address, all of them in force. */
export const seedNetwork = async (
  h: Harness,
  agent: Agent,
  call: Calls,
  name = 'n1',
): Promise<{ network: string; instance: string; publicIp: string; address: string }> => {
  const ok = (answer: Answer): Record<string, unknown> => {
    if (answer.status !== 201) throw new Error(answer.text);
    return answer.body;
  };
  const network = String(ok(await call('POST', '/v1/networks', { name }))['id']);
  const instance = String(ok(await call('POST', '/v1/instances', { name: `${name}-a`, network }))['id']);
  const ip = ok(await call('POST', '/v1/public-ips', { network }));
  await agent.sync();
  return { network, instance, publicIp: String(ip['id']), address: String(ip['address']) };
};
