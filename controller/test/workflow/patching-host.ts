/** What tests of patches share: a network whose router is patched by a host that says what it does with bundles. */
import { createHash } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import type { Machine, MachineStatus } from 'documents';
import { type Calls, type Harness, harness, seedNetwork, seedZone } from '../harness.ts';
import { until } from '../until.ts';
import { sealVersion } from './seal-version.ts';

export const STEPS = ['deliver', 'switch', 'confirm'] as const;

export interface Workflow {
  readonly id: string;
  readonly status: string;
  readonly step: string;
  readonly operation: string;
  readonly steps: { name: string; endedAt: string | null; undoneAt: string | null; message: string }[];
  readonly problem?: { code: string; message: string };
}

/** A host whose router runs what its document says, does not take it, or takes it and never gets ready. */
export class PatchingHost {
  /** Checksums of bundles that do not prove themselves. */
  readonly bad = new Set<string>();
  /** Checksums of bundles that run and never say they are ready. */
  readonly unready = new Set<string>();
  /** Checksums of the bundles that the router was brought to run, one after another. */
  readonly exchanges: string[] = [];
  /** Stops before it does this: fetches, exchanges, has the router report. */
  stopsBefore: (typeof STEPS)[number] | null = null;
  readonly #h: Harness;
  readonly #call: Calls;
  readonly #host: string;
  readonly #startedAt: number;
  readonly #token: string;
  #running: MachineStatus['bundle'];
  #refused: MachineStatus['refusedBundle'];
  #seen = 0;

  constructor(t: ExecutionContext, h: Harness, host: { readonly host: string; readonly token: string }) {
    this.#h = h;
    this.#host = host.host;
    this.#token = host.token;
    this.#call = h.as(host.token);
    this.#startedAt = h.store.now() + 1;
    let closed = false;
    const run = async (): Promise<void> => {
      while (!closed) {
        await this.#report();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const running = run();
    t.teardown(async () => {
      closed = true;
      await running;
    });
  }

  async #report(): Promise<void> {
    if (this.stopsBefore === 'deliver') return;
    const document = (await this.#call('GET', '/v1/agent/document')).body as unknown as {
      generation: number;
      machines: Machine[];
    };
    const router = document.machines.find(({ kind }) => kind === 'router');
    this.#seen = document.generation;
    if (this.stopsBefore !== 'switch') await this.#bring(router?.bundle);
    await this.#call('PUT', '/v1/agent/status', {
      id: this.#host,
      observedGeneration: this.#seen,
      version: '0.1.0',
      startedAt: this.#startedAt,
      conditions: [],
      image: 'namespace/1 node/24.0.0',
      machines: document.machines.map(({ id, state, kind }) => ({
        id,
        state,
        message: '',
        ...(kind !== 'router' ? {} : { image: 'namespace/1 node/24.0.0' }),
        ...(kind !== 'router' || this.#running === undefined ? {} : { bundle: this.#running }),
        ...(kind !== 'router' || this.#refused === undefined ? {} : { refusedBundle: this.#refused }),
      })),
    });
    if (this.stopsBefore === 'confirm') return;
    const { items = [] } = (await this.#call('GET', '/v1/agent/routers')).body;
    for (const item of items) {
      const ready = this.#running === undefined || !this.unready.has(this.#running.checksum);
      await this.#call('PUT', `/v1/agent/routers/${String(item['id'])}/status`, {
        id: item['id'],
        observedGeneration: item['generation'],
        appliedGeneration: item['generation'],
        version: '0.1.0',
        ...(this.#running === undefined ? {} : { bundle: this.#running }),
        startedAt: this.#startedAt,
        conditions: [
          {
            type: 'Ready',
            status: ready ? 'True' : 'False',
            reason: ready ? 'InForce' : 'NotYet',
            message: ready ? '' : 'dnsmasq does not run',
            observedGeneration: item['generation'],
            lastTransitionTime: 1,
          },
        ],
        health: [],
        counters: [],
        leases: [],
      });
    }
  }

  async #bring(wanted: Machine['bundle']): Promise<void> {
    if (wanted === undefined || wanted.checksum === this.#running?.checksum) {
      this.#refused = undefined;
      return;
    }
    const response = await this.#h.app.inject({
      method: 'GET',
      url: `/v1/agent/bundles/${wanted.checksum}`,
      headers: { authorization: `Bearer ${this.#token}` },
    });
    const checksum = createHash('sha256').update(response.rawPayload).digest('hex');
    if (checksum !== wanted.checksum) throw new Error(`fetched ${checksum} instead of ${wanted.checksum}`);
    if (this.bad.has(checksum)) this.#refused = { checksum, message: 'the kernel would change: -add rule' };
    else {
      this.#refused = undefined;
      this.#running = wanted;
      this.exchanges.push(checksum);
    }
  }
}

/** A network with one router that runs 1.0.0, on such a host; 2.0.0 is what routers are to run by now. */
export const patchScene = async (t: ExecutionContext) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const upload = (version: string, given: object = {}) =>
    h.admin('POST', '/v1/router-bundles', {
      content: sealVersion(h.signingKey, version).toString('base64'),
      ...given,
    });
  const first = await upload('1.0.0');
  const { call } = await h.account('alice');
  const { network } = await seedNetwork(h, agent, call);
  const host = new PatchingHost(t, h, agent);
  const router = String((await call('GET', `/v1/networks/${network}`)).body['router']);
  const show = async () => (await call('GET', `/v1/routers/${router}`)).body;
  const running = async () => ((await show())['bundle'] as { version: string } | null)?.version;
  await until(running, (version) => version === '1.0.0');
  const second = await upload('2.0.0', { default: true });
  const workflow = async (id: string) =>
    (await call('GET', `/v1/workflows/${id}`)).body as unknown as Workflow;
  const begin = async (body: object = {}): Promise<Workflow> => {
    const answer = await h.admin('POST', `/v1/routers/${router}/patch`, body);
    t.is(answer.status, 200, answer.text);
    const found = await call('GET', `/v1/workflows?operation=${String(answer.body['operation'])}`);
    return found.body.items?.[0] as unknown as Workflow;
  };
  const ended = (id: string) =>
    until(
      () => workflow(id),
      ({ status }) => !['running', 'aborting'].includes(status),
    );
  const at = (id: string, step: string) =>
    until(
      () => workflow(id),
      (seen) => seen.step === step || !['running'].includes(seen.status),
    );
  return {
    h,
    call,
    host,
    network,
    router,
    show,
    running,
    upload,
    workflow,
    begin,
    ended,
    at,
    bundles: [String(first.body['id']), String(second.body['id'])] as const,
    checksums: [String(first.body['checksum']), String(second.body['checksum'])] as const,
  };
};

export type PatchScene = Awaited<ReturnType<typeof patchScene>>;

/** Id of the bundle that the router is to run. */
export const wanted = async (s: PatchScene): Promise<unknown> =>
  ((await s.show())['wantedBundle'] as { id: string } | null)?.id;
