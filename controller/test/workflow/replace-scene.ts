/** What tests of replacements share: a network with one router on a fake host, and ways to hold a replacement in a step. */
import type { ExecutionContext } from 'ava';
import { type Calls, type Harness, harness, seedNetwork, seedZone } from '../harness.ts';
import { violations } from '../invariants.ts';
import { until } from '../until.ts';
import { type FakeHost, fakeHost } from './fake-host.ts';
import { sealVersion } from './seal-version.ts';

export interface Scene {
  readonly h: Harness;
  readonly call: Calls;
  readonly fake: FakeHost;
  readonly network: string;
  readonly publicIp: string;
  /** Id of the router that serves. */
  readonly serving: () => Promise<string>;
  readonly workflow: (id: string) => Promise<Workflow>;
  readonly replace: (router: string, body?: object) => Promise<string>;
}

export interface Workflow {
  readonly id: string;
  readonly status: string;
  readonly step: string;
  readonly router: string;
  readonly successor: string | null;
  readonly operation: string;
  readonly steps: { name: string; endedAt: string | null; undoneAt: string | null; message: string }[];
  readonly sessions: { local: number } | null;
  readonly problem?: { code: string; message: string; hint: string };
}

/** Uploads a bundle that routers are to run from then on. Returns its id. */
export const upload = async (h: Harness, version: string): Promise<string> => {
  const content = sealVersion(h.signingKey, version).toString('base64');
  const answer = await h.admin('POST', '/v1/router-bundles', { content, default: true });
  return String(answer.body['id']);
};

/** `version`: of the bundle that routers are to run; null: none was ever uploaded. */
export const replaceScene = async (t: ExecutionContext, version: string | null = null): Promise<Scene> => {
  const h = await harness(t);
  if (version !== null) await upload(h, version);
  const { agent } = await seedZone(h);
  const { call } = await h.account('alice');
  const { network, publicIp } = await seedNetwork(h, agent, call);
  const fake = await fakeHost(t, h, agent);
  const serving = async () => String((await call('GET', `/v1/networks/${network}`)).body['router']);
  const workflow = async (id: string) =>
    (await call('GET', `/v1/workflows/${id}`)).body as unknown as Workflow;
  await until(
    async () => (await call('GET', `/v1/networks/${network}`)).body['state'],
    (state) => state === 'implemented',
  );
  return {
    h,
    call,
    fake,
    network,
    publicIp,
    serving,
    workflow,
    replace: async (router, body = {}) => {
      const answer = await call('POST', `/v1/routers/${router}/replace`, body);
      t.is(answer.status, 200, answer.text);
      const found = await call('GET', `/v1/workflows?operation=${answer.body['operation']}`);
      return String(found.body.items?.[0]?.['id']);
    },
  };
};

export const ended = (s: Scene, id: string, longest?: number): Promise<Workflow> =>
  until(
    () => s.workflow(id),
    ({ status }) => !['running', 'aborting'].includes(status),
    longest,
  );

/** One router, nothing left of any other, and no moment at which a packet had no way. */
export const healthy = async (t: ExecutionContext, s: Scene, router: string): Promise<void> => {
  t.is(await s.serving(), router);
  await until(
    () => s.fake.routers(),
    (routers) => routers.length === 1,
  );
  t.deepEqual(s.fake.routers(), [router]);
  t.is(s.fake.document()?.links, undefined);
  t.false('handover' in (s.fake.routerDocument(router) ?? { handover: null }));
  t.deepEqual(
    s.fake
      .document()
      ?.ports.filter(({ role }) => role === 'router')
      .map(({ active }) => active),
    [true, true],
  );
  t.deepEqual(s.fake.complaints, []);
  t.deepEqual(await violations(s.h.store.db), []);
};

export const steps = ['build', 'precopy', 'drain', 'flip', 'retire'] as const;

/** Keeps a replacement in a step, and says how to let it go on. */
export const holdAt = async (s: Scene, step: (typeof steps)[number]): Promise<string> => {
  const old = await s.serving();
  if (step === 'build') s.fake.successors = 'silent';
  if (step === 'precopy') s.fake.copiesRefused = true;
  if (step === 'retire') s.fake.sessions.set(old, { local: 2, translated: 0, holders: [] });
  if (step === 'drain' || step === 'flip') {
    const stop = s.h.store.onChange(({ routers, hosts }) => {
      // The old router's document, or the host's after the last of the old one's, is not fetched.
      const handsOver = routers.some(({ id }) => id === old);
      const flips = hosts.length > 0 && (s.fake.routerDocument(old)?.handover?.newer.length ?? 0) > 0;
      if ((step === 'drain' && handsOver) || (step === 'flip' && flips)) {
        s.fake.paused = true;
        stop();
      }
    });
  }
  const id = await s.replace(old, { drainDeadline: null });
  await until(
    () => s.workflow(id),
    (workflow) =>
      workflow.step === step &&
      (step !== 'build' || s.fake.routers().length === 2) &&
      (step !== 'precopy' || (workflow.steps.at(-1)?.message ?? '').startsWith('tried')) &&
      ((step !== 'drain' && step !== 'flip') || s.fake.paused) &&
      (step !== 'retire' || workflow.sessions?.local === 2),
  );
  return id;
};

/** Undoes what holds a replacement in any step. */
export const letGo = async (s: Scene): Promise<void> => {
  s.fake.successors = 'well';
  s.fake.copiesRefused = false;
  s.fake.paused = false;
  s.fake.sessions.clear();
  s.h.advance(1000);
  await s.fake.sync();
};

/** The chain as the documents in force have it, oldest first; who is only heard is no part of it. */
export const chainOf = (s: Scene): string[] => {
  const sent = (links: readonly { id: string; receiveOnly?: boolean }[] = []): string[] =>
    links.flatMap(({ id, receiveOnly }) => (receiveOnly === true ? [] : [id]));
  const routers = s.fake.routers().map((id) => ({ id, handover: s.fake.routerDocument(id)?.handover }));
  const chain = routers.filter(({ handover }) => sent(handover?.older).length === 0);
  for (let last = chain.at(-1); chain.length <= routers.length; last = chain.at(-1)) {
    const up = sent(last?.handover?.newer);
    const next = routers.find(({ handover }) => sent(handover?.older).some((id) => up.includes(id)));
    if (next === undefined) break;
    chain.push(next);
  }
  return chain.map(({ id }) => id);
};
