import test, { type ExecutionContext } from 'ava';
import type { ProbeReading } from 'documents';
import { changeRunRouter, runRouters } from '../../store/upgrade-runs.ts';
import { Agent, type Calls, type Harness, harness, seedNetwork, seedZone } from '../harness.ts';
import { violations } from '../invariants.ts';
import { until } from '../until.ts';
import { type FakeHost, fakeHost } from './fake-host.ts';
import { sealVersion } from './seal-version.ts';

interface RouterRow {
  readonly router: string;
  readonly networkName: string;
  readonly network: string;
  readonly host: string;
  readonly wave: number | null;
  readonly needs: string;
  readonly state: string;
  readonly successor: string | null;
  readonly workflow: string | null;
  readonly rollback: string | null;
  readonly lost: number | null;
  readonly reasons: string[];
  readonly notMeasured: string[];
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly problem: { code: string; message: string } | null;
}

interface Run {
  readonly id: string;
  readonly status: string;
  readonly bundle: string | null;
  readonly operation: string;
  readonly workflow: string;
  readonly progress: {
    total: number;
    done: number;
    failed: number;
    upToDate: number;
    secondsLeft: number | null;
  };
  readonly routers: RouterRow[];
  readonly problem: { code: string; message: string } | null;
}

interface Scene {
  readonly h: Harness;
  /** Of the account that owns the networks. */
  readonly call: Calls;
  readonly fakes: FakeHost[];
  readonly networks: string[];
  readonly old: { id: string; checksum: string };
  readonly upload: (version: string, given?: object) => Promise<{ id: string; checksum: string }>;
  readonly create: (body?: object) => Promise<Run>;
  readonly show: (id: string) => Promise<Run>;
  readonly act: (id: string, what: 'pause' | 'resume' | 'abort') => Promise<number>;
  readonly bundles: () => Promise<(string | null)[]>;
}

interface Window {
  readonly from: number;
  readonly to: number;
}

/** What a probe measures in a time: so many datagrams lost, and of those due only a share sent. */
const measured = ({ from, to }: Window, lost = 0, share = 1): ProbeReading => {
  const part = (rate: number, missing = 0) => {
    const sent = Math.max(0, Math.round(((to - from) / 1000) * rate * share));
    return { sent, lost: Math.min(missing, sent), doubled: 0, p50: 200, p99: 900, longest: 1200 };
  };
  return { datagrams: part(50, lost), connections: part(2), names: part(2) };
};
const well = (window: Window): ProbeReading => measured(window);

/** Networks over two hosts, whose routers run the bundle 1.0, or what their hosts came with. Time goes fifteen times as fast as it does. */
const scene = async (t: ExecutionContext, count = 3, bundled = true): Promise<Scene> => {
  const h = await harness(t);
  const upload = async (version: string, given: object = {}) => {
    const answer = await h.admin('POST', '/v1/router-bundles', {
      content: sealVersion(h.signingKey, version).toString('base64'),
      ...given,
    });
    t.is(answer.status, 201, answer.text);
    return { id: String(answer.body['id']), checksum: String(answer.body['checksum']) };
  };
  const old = bundled ? await upload('1.0') : { id: '', checksum: '' };
  const { zone, agent } = await seedZone(h);
  const second = await h.admin('POST', '/v1/hosts', { zone, name: 'h2' });
  const other = new Agent(h, String(second.body['id']), String(second.body['token']));
  await other.sync();
  const { call } = await h.account('alice');
  const networks: string[] = [];
  for (let index = 0; index < count; index += 1)
    networks.push((await seedNetwork(h, agent, call, `n${index}`)).network);
  const fakes = [await fakeHost(t, h, agent), await fakeHost(t, h, other)];
  for (const fake of fakes) fake.measure = well;
  await until(
    async () => (await h.admin('GET', '/v1/networks')).body.items ?? [],
    (items) => items.every(({ state }) => state === 'implemented'),
  );
  const clock = setInterval(() => h.advance(280), 20);
  const alive = setInterval(() => void Promise.all(fakes.map((fake) => fake.sync())), 500);
  t.teardown(() => {
    clearInterval(clock);
    clearInterval(alive);
  });
  const show = async (id: string) => (await h.admin('GET', `/v1/upgrade-runs/${id}`)).body as unknown as Run;
  return {
    h,
    call,
    fakes,
    networks,
    old,
    upload,
    create: async (body = {}) => {
      const answer = await h.admin('POST', '/v1/upgrade-runs', { baseline: 1, soak: 1, ...body });
      t.is(answer.status, 201, answer.text);
      return answer.body as unknown as Run;
    },
    show,
    act: async (id, what) => (await h.admin('POST', `/v1/upgrade-runs/${id}/${what}`)).status,
    bundles: async () => {
      const { items = [] } = (await h.admin('GET', '/v1/routers?role=active')).body;
      return items.map((router) => (router['bundle'] as { version: string } | null)?.version ?? null).sort();
    },
  };
};

const comesTo = (s: Scene, id: string, ...states: string[]): Promise<Run> =>
  until(
    () => s.show(id),
    ({ status }) => states.includes(status),
  );

/** Engines that die after one, two or three transactions each, until the run is as it is to be. Returns how many it took. */
const livingShortly = async (
  s: Scene,
  id: string,
  ...wanted: (string | ((run: Run) => boolean))[]
): Promise<number> => {
  let lives = 0;
  await s.h.restartWorkflows(1);
  await until(
    async () => {
      if (s.h.workflowsDied()) {
        lives += 1;
        await s.h.restartWorkflows(1 + (lives % 3));
      }
      return s.show(id);
    },
    (run) => wanted.some((want) => (typeof want === 'string' ? run.status === want : want(run))),
  );
  await s.h.restartWorkflows();
  return lives;
};

/** Nothing of the run is left: no probe, no exception for one, no packet that had no way. */
const clean = async (t: ExecutionContext, s: Scene): Promise<void> => {
  t.is((await s.h.store.db.selectFrom('probe').select('id').execute()).length, 0);
  for (const fake of s.fakes) {
    await fake.sync();
    t.is(fake.document()?.probes, undefined);
    t.deepEqual(
      fake.document()?.machines.filter(({ kind }) => kind === 'probe'),
      [],
    );
    for (const id of fake.routers()) t.deepEqual(fake.routerDocument(id)?.egressRules, []);
    t.deepEqual(fake.complaints, []);
  }
  t.deepEqual(await violations(s.h.store.db), []);
};

test.serial('a run upgrades canaries, then batches, measures each, and leaves nothing behind', async (t) => {
  const s = await scene(t, 5);
  await s.upload('2.0', { default: true });
  const plan = await s.h.admin('POST', '/v1/upgrade-runs?dryRun=plan', { canaries: 2, batch: 2 });
  t.is(plan.status, 200, plan.text);
  const planned = plan.body['resource'] as unknown as Run;
  t.deepEqual(
    planned.routers.map(({ needs, wave, state }) => [needs, wave, state]),
    [0, 0, 1, 1, 2].map((wave) => ['patch', wave, 'waiting']),
  );
  t.true((planned.progress.secondsLeft ?? 0) > 10, 'an estimate');
  t.is(new Set(planned.routers.slice(0, 2).map(({ host }) => host)).size, 2, 'canaries are on both hosts');
  t.is((await s.h.admin('GET', '/v1/upgrade-runs')).body.items?.length, 0, 'a plan is no run');

  const begun = await s.create({ canaries: 2, batch: 2, name: 'to 2.0' });
  const exits = await until(
    () =>
      s.fakes.flatMap((fake) =>
        fake
          .routers()
          .flatMap((id) => fake.routerDocument(id)?.egressRules.map(({ sources }) => sources) ?? []),
      ),
    (rules) => rules.length === 5,
  );
  t.true(exits.every((sources) => /^\d+\.\d+\.\d+\.\d+\/32$/.test(sources[0] ?? '')));
  const probes = s.fakes.flatMap((fake) => fake.document()?.probes ?? []);
  t.is(probes.length, 5);
  t.true(
    probes.every(({ target, dns, inside, outside }) => target !== null && dns !== null && inside !== outside),
  );
  // Nobody else gets their addresses while they measure.
  const inside = s.fakes
    .flatMap((fake) => fake.document()?.machines ?? [])
    .find(({ id }) => id === probes[0]?.inside);
  const address = inside?.addresses?.[0]?.split('/')[0];
  const network = (
    await s.h.store.db.selectFrom('probe').selectAll().where('id', '=', String(inside?.id)).execute()
  )[0]?.network_id;
  const taken = await s.h.admin('POST', '/v1/instances', { name: 'x', network, address });
  t.is(taken.status, 409, taken.text);
  t.is(taken.body.problems?.[0]?.code, 'address-taken');

  const done = await comesTo(s, begun.id, 'succeeded', 'failed', 'halted');
  t.is(done.status, 'succeeded', JSON.stringify(done.problem));
  t.deepEqual(
    done.routers.map(({ state, lost }) => [state, lost]),
    Array(5).fill(['passed', 0]),
  );
  t.deepEqual(await s.bundles(), Array(5).fill('2.0'));
  const lastCanary = Math.max(...done.routers.slice(0, 2).map(({ endedAt }) => Date.parse(endedAt ?? '')));
  for (const { startedAt } of done.routers.slice(2)) t.true(Date.parse(startedAt ?? '') >= lastCanary);
  const { progress } = done;
  t.deepEqual([progress.total, progress.done, progress.failed, progress.secondsLeft], [5, 5, 0, null]);
  const operation = (await s.h.admin('GET', `/v1/operations/${begun.operation}?wait=5s`)).body;
  t.is(operation['state'], 'succeeded');
  const report = (await s.h.admin('GET', `/v1/upgrade-runs/${begun.id}/report`)).body as unknown as {
    routers: { before: { datagrams: { sent: number } }; during: object; after: object; health: object[] }[];
  };
  t.is(report.routers.length, 5);
  for (const { before, during, after, health } of report.routers) {
    t.is(before.datagrams.sent, 50);
    t.truthy(during);
    t.truthy(after);
    t.true(health.length > 0);
  }
  t.is((await s.h.admin('GET', `/v1/workflows/${done.workflow}`)).body['status'], 'succeeded');
  await clean(t, s);
  // Nothing to do: a run of routers that are up to date ends by itself.
  const idle = await comesTo(s, (await s.create()).id, 'succeeded');
  t.deepEqual([idle.progress.total, idle.progress.upToDate], [0, 5]);
  t.true(idle.routers.every(({ state, wave }) => state === 'nothing' && wave === null));
});

test.serial(
  'a bad canary halts the run and is rolled back; the rest is untouched, and goes on when told to',
  async (t) => {
    const s = await scene(t);
    const bad = await s.upload('2.0', { default: true });
    for (const fake of s.fakes)
      fake.measure = (asked) => measured(asked, asked.bundle === bad.checksum ? 7 : 0);
    const { id, operation } = await s.create();
    const halted = await comesTo(s, id, 'halted', 'succeeded', 'failed');
    t.is(halted.status, 'halted');
    t.is(halted.problem?.code, 'worse-than-before');
    t.regex(halted.problem?.message ?? '', /(?:[7-9]|1[0-4]) of \d+ datagrams were lost/);
    const back = await until(
      () => s.show(id),
      ({ routers }) => routers[0]?.state === 'rolled-back',
    );
    t.deepEqual(
      back.routers.map(({ state }) => state),
      ['rolled-back', 'waiting', 'waiting'],
    );
    t.truthy(back.routers[0]?.rollback);
    t.deepEqual(await s.bundles(), ['1.0', '1.0', '1.0']);
    const failed = (await s.h.admin('GET', `/v1/operations/${operation}?wait=5s`)).body;
    t.is(failed['state'], 'failed');
    const events = (await s.h.admin('GET', '/v1/events?type=upgrade-run.halted')).body.items ?? [];
    t.is(events.length, 1);
    // Held for long, it measures nothing.
    await until(
      () => s.fakes.flatMap((fake) => fake.document()?.probes ?? []),
      (probes) => probes.length === 0,
    );
    // Whoever knows better goes on: the others are well.
    for (const fake of s.fakes) fake.measure = well;
    const resumed = await s.h.admin('POST', `/v1/upgrade-runs/${id}/resume`);
    t.is(resumed.status, 200, resumed.text);
    const ended = await comesTo(s, id, 'failed', 'succeeded');
    t.is(ended.status, 'failed', 'not every router is upgraded');
    const second = (await s.h.admin('GET', `/v1/operations/${resumed.body['operation']}?wait=5s`)).body;
    t.is(second['state'], 'failed', 'whoever waits for it sees that');
    t.is((second['problem'] as { code: string }).code, 'not-all-upgraded');
    t.is((await s.h.admin('GET', `/v1/workflows/${ended.workflow}`)).body['status'], 'failed');
    t.deepEqual(
      ended.routers.map(({ state }) => state),
      ['rolled-back', 'passed', 'passed'],
    );
    t.deepEqual(await s.bundles(), ['1.0', '2.0', '2.0']);
    for (const what of ['pause', 'resume', 'abort'] as const) t.is(await s.act(id, what), 409, what);
    await clean(t, s);
  },
);

test.serial('a bundle that is refused halts the run; nothing has to be taken back', async (t) => {
  const s = await scene(t);
  const bad = await s.upload('2.0', { default: true });
  for (const fake of s.fakes) fake.refusedBundles.add(bad.checksum);
  const { id } = await s.create();
  const halted = await comesTo(s, id, 'halted', 'succeeded');
  t.is(halted.status, 'halted');
  t.is(halted.routers[0]?.state, 'failed');
  t.is(halted.routers[0]?.rollback, null);
  t.deepEqual(await s.bundles(), ['1.0', '1.0', '1.0']);
  t.is(await s.act(id, 'abort'), 200);
  const ended = await comesTo(s, id, 'aborted');
  t.deepEqual(
    ended.routers.map(({ state }) => state),
    ['failed', 'aborted', 'aborted'],
  );
  await clean(t, s);
});

test.serial(
  'fresh routers are judged and taken back, too: by a fresh one with the bundle before',
  async (t) => {
    const s = await scene(t, 2);
    const bad = await s.upload('2.0', { default: true });
    for (const fake of s.fakes)
      fake.measure = (asked) => measured(asked, asked.bundle === bad.checksum ? 1 : 0);
    const { id } = await s.create({ method: 'replace' });
    const back = await until(
      () => s.show(id),
      ({ routers }) => ['rolled-back', 'failed'].includes(routers[0]?.state ?? ''),
    );
    t.is(back.status, 'halted');
    t.is(back.routers[0]?.state, 'rolled-back', JSON.stringify(back.routers[0]));
    t.deepEqual(await s.bundles(), ['1.0', '1.0']);
    for (const fake of s.fakes) fake.measure = well;
    t.is(await s.act(id, 'abort'), 200);
    await comesTo(s, id, 'aborted');
    // The same without a fault, with limits low enough that one waits for the other.
    const again = await s.create({ method: 'replace', bundle: s.old.id, canaries: 1, perHost: 1 });
    const done = await comesTo(s, again.id, 'succeeded', 'halted', 'failed');
    t.is(done.status, 'succeeded', JSON.stringify(done.problem));
    t.true(done.routers.every(({ successor, router }) => successor !== null && successor !== router));
    t.deepEqual(await s.bundles(), ['1.0', '1.0']);
    await until(
      async () => (await s.h.admin('GET', '/v1/workflows?status=running')).body.items ?? [],
      (items) => items.length === 0,
    );
    await clean(t, s);
  },
);

test.serial(
  'what ran a program that was never uploaded is not taken back to the one that failed',
  async (t) => {
    const s = await scene(t, 1, false);
    const bad = await s.upload('2.0', { default: true });
    for (const fake of s.fakes)
      fake.measure = (asked) => measured(asked, asked.bundle === bad.checksum ? 1 : 0);
    const { id } = await s.create({ method: 'replace' });
    const { routers, status } = await until(
      () => s.show(id),
      (run) => ['rolled-back', 'failed'].includes(run.routers[0]?.state ?? ''),
    );
    t.is(status, 'halted');
    t.like(routers[0], { state: 'failed', rollback: null, problem: { code: 'no-bundle' } });
    t.is((await s.h.admin('GET', '/v1/workflows?type=router.replace')).body.items?.length, 1);
    t.is(await s.act(id, 'abort'), 200);
    await comesTo(s, id, 'aborted');
  },
);

test.serial('paused, no further router is begun; aborted, what is at work is taken back', async (t) => {
  const s = await scene(t, 4);
  await s.upload('2.0', { default: true });
  const { id } = await s.create({ batch: 1 });
  await until(
    () => s.show(id),
    ({ routers }) => routers[0]?.state !== 'waiting',
  );
  t.is(await s.act(id, 'pause'), 200);
  const paused = await until(
    () => s.show(id),
    ({ routers }) => routers[0]?.state === 'passed',
  );
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.deepEqual(
    (await s.show(id)).routers.map(({ state }) => state),
    ['passed', 'waiting', 'waiting', 'waiting'],
  );
  t.is(paused.status, 'paused');
  t.is(await s.act(id, 'resume'), 200);
  // The next one is caught at work: its host does not fetch.
  const host = paused.routers[1]?.host;
  const fake = s.fakes.find((candidate) => candidate.host === host) as FakeHost;
  await until(
    () => s.show(id),
    ({ routers }) => routers[1]?.state === 'measuring',
  );
  fake.paused = true;
  const caught = await until(
    () => s.show(id),
    ({ routers }) => routers[1]?.state === 'working',
  );
  // Whose network it is may not end what the operator began.
  const theirs = await s.call('POST', `/v1/workflows/${caught.routers[1]?.workflow}/abort`);
  t.is(theirs.status, 409, theirs.text);
  t.is(theirs.body.problems?.[0]?.code, 'part-of-run');
  t.true(theirs.text.includes(id), 'which run');
  t.is(await s.act(id, 'abort'), 200);
  t.is((await s.show(id)).status, 'aborting');
  await until(
    () => s.show(id),
    ({ routers }) => routers[1]?.state === 'rolling-back',
  );
  fake.paused = false;
  await fake.sync();
  const ended = await comesTo(s, id, 'aborted');
  t.deepEqual(
    ended.routers.map(({ state }) => state),
    ['passed', 'aborted', 'aborted', 'aborted'],
  );
  t.is((await s.h.admin('GET', `/v1/workflows/${caught.routers[1]?.workflow}`)).body['status'], 'aborted');
  t.deepEqual(await s.bundles(), ['1.0', '1.0', '1.0', '2.0']);
  await clean(t, s);
});

test.serial('what somebody else began is joined, waited for, and judged', async (t) => {
  const s = await scene(t, 2);
  await s.upload('2.0', { default: true });
  const { items = [] } = (await s.h.admin('GET', '/v1/routers?role=active')).body;
  for (const fake of s.fakes) fake.copiesRefused = true;
  const theirs = await s.h.admin('POST', `/v1/routers/${items[0]?.['id']}/replace`, {});
  t.is(theirs.status, 200, theirs.text);
  const { id } = await s.create({ canaries: 2 });
  const joined = await until(
    () => s.show(id),
    ({ routers }) => routers.some(({ state, router }) => router === items[0]?.['id'] && state === 'working'),
  );
  const [workflow] = (await s.h.admin('GET', '/v1/workflows?type=router.replace')).body.items ?? [];
  t.is(joined.routers.find(({ router }) => router === items[0]?.['id'])?.workflow, String(workflow?.['id']));
  const mayAbort = await s.call('POST', `/v1/workflows/${String(workflow?.['id'])}/abort?dryRun=plan`);
  t.is(mayAbort.status, 200, 'what was joined stays its owner’s');
  for (const fake of s.fakes) fake.copiesRefused = false;
  const done = await comesTo(s, id, 'succeeded', 'failed', 'halted');
  t.is(done.status, 'succeeded', JSON.stringify(done.problem));
  t.deepEqual(await s.bundles(), ['2.0', '2.0']);
  t.is((await s.h.admin('GET', '/v1/workflows?type=router.replace')).body.items?.length, 1);
  await clean(t, s);
});

test.serial('killed after every few transactions, the engine still upgrades every router once', async (t) => {
  const s = await scene(t, 2);
  await s.upload('2.0', { default: true });
  const { id } = await s.create({ canaries: 1, batch: 2 });
  const lives = await livingShortly(s, id, 'succeeded', 'halted');
  t.true(lives > 10, `${lives} lives`);
  const done = await s.show(id);
  t.is(done.status, 'succeeded', JSON.stringify(done.problem));
  t.is((await s.h.admin('GET', '/v1/workflows?type=router.patch')).body.items?.length, 2, 'each begun once');
  await until(
    async () => (await s.h.admin('GET', `/v1/workflows/${done.workflow}`)).body['status'],
    (status) => status === 'succeeded',
  );
  await clean(t, s);
});

test.serial('it may die while a bad one is taken back, and while it is aborted', async (t) => {
  const s = await scene(t, 2);
  const bad = await s.upload('2.0', { default: true });
  for (const fake of s.fakes)
    fake.measure = (asked) => measured(asked, asked.bundle === bad.checksum ? 9 : 0);
  const { id } = await s.create();
  await livingShortly(s, id, ({ routers }) => routers[0]?.state === 'rolled-back');
  t.is(await s.act(id, 'abort'), 200);
  await livingShortly(s, id, 'aborted');
  const ended = await s.show(id);
  t.deepEqual(
    ended.routers.map(({ state }) => state),
    ['rolled-back', 'aborted'],
  );
  t.deepEqual(await s.bundles(), ['1.0', '1.0']);
  await clean(t, s);
});

test.serial('of a redundant pair never both are at work, whatever the limits say', async (t) => {
  const s = await scene(t, 2);
  for (const network of s.networks) {
    const switched = await s.h.admin('PATCH', `/v1/networks/${network}?wait=20s`, { redundant: true });
    t.is(switched.status, 200, switched.text);
  }
  await until(
    async () => (await s.h.admin('GET', '/v1/workflows?status=running')).body.items ?? [],
    (items) => items.length === 0,
  );
  await s.upload('2.0', { default: true });
  for (const method of ['needed', 'replace']) {
    const { id } = await s.create({ method, canaries: 2, batch: 4, perHost: 4, perNetwork: 4 });
    const done = await comesTo(s, id, 'succeeded', 'halted', 'failed');
    t.is(done.status, 'succeeded', JSON.stringify(done.problem));
    t.deepEqual(
      done.routers.map(({ state }) => state),
      Array(4).fill('passed'),
    );
    for (const pair of Map.groupBy(done.routers, ({ network }) => network).values()) {
      const [first, second] = pair.toSorted((a, b) => (String(a.startedAt) < String(b.startedAt) ? -1 : 1));
      t.true(String(first?.endedAt) <= String(second?.startedAt), JSON.stringify(pair));
    }
    const { items = [] } = (await s.h.admin('GET', '/v1/routers')).body;
    t.deepEqual(
      items
        .filter(({ role }) => role !== 'draining')
        .map(({ bundle }) => (bundle as { version: string }).version),
      Array(4).fill('2.0'),
    );
  }
  // A standby that is built anew is like the router it stands by for, whatever is the default by now.
  await s.upload('3.0', { default: true });
  const [standby] = (await s.h.admin('GET', '/v1/routers?role=standby')).body.items ?? [];
  const rebuilt = await s.h.admin('POST', `/v1/routers/${standby?.['id']}/replace?wait=20s`, {});
  t.is(rebuilt.status, 200, rebuilt.text);
  const standbys = (await s.h.admin('GET', '/v1/routers?role=standby')).body.items ?? [];
  t.false(standbys.some((router) => router['id'] === standby?.['id']));
  t.deepEqual(
    standbys.map(({ wantedBundle }) => (wantedBundle as { version: string }).version),
    ['2.0', '2.0'],
  );
});

test.serial('without probes health checks judge alone; without answers nothing is called well', async (t) => {
  const s = await scene(t, 2);
  await s.upload('2.0', { default: true });
  const { id } = await s.create({ probe: false, canaries: 2 });
  const done = await comesTo(s, id, 'succeeded', 'halted');
  t.is(done.status, 'succeeded');
  t.is(s.fakes.flatMap((fake) => fake.document()?.probes ?? []).length, 0);
  t.true(done.routers.every(({ lost, notMeasured }) => lost === null && notMeasured.length > 0));
  const third = await s.upload('3.0', { default: true });
  for (const fake of s.fakes)
    fake.measure = (asked) => (asked.bundle === third.checksum ? null : well(asked));
  const blind = await s.create({ canaries: 1 });
  const halted = await comesTo(s, blind.id, 'succeeded', 'halted');
  t.is(halted.status, 'halted');
  t.is(halted.problem?.code, 'not-measured');
  t.regex(halted.problem?.message ?? '', /could be measured before, and not since/);
  t.is(await s.act(blind.id, 'abort'), 200);
  await comesTo(s, blind.id, 'aborted');
  await clean(t, s);
});

/** A probe that is started anew at some time: of what was before nothing is left. */
const startedAnew = (at: number | null, asked: Window): ProbeReading =>
  measured({ from: Math.max(asked.from, at ?? 0), to: asked.to });

test.serial(
  'a hand-over that nobody saw is not called well: the run halts, and it is taken back',
  async (t) => {
    const s = await scene(t, 2);
    const next = await s.upload('2.0', { default: true });
    // It was started anew when the hand-over was over: it measures again, and knows nothing of that.
    const anew = new Map<string, number>();
    for (const fake of s.fakes)
      fake.measure = (asked) => {
        if (asked.bundle === next.checksum && !anew.has(asked.id)) anew.set(asked.id, asked.to);
        return startedAnew(anew.get(asked.id) ?? null, asked);
      };
    const { id } = await s.create({ rate: 1000 });
    const halted = await until(
      () => s.show(id),
      ({ routers }) => ['rolled-back', 'failed', 'passed'].includes(routers[0]?.state ?? ''),
    );
    t.is(halted.status, 'halted');
    t.is(halted.problem?.code, 'not-measured');
    t.regex(halted.problem?.message ?? '', /only 0 of about \d+ datagrams were sent while it was upgraded/);
    t.is(halted.routers[0]?.state, 'rolled-back');
    t.deepEqual(halted.routers[0]?.notMeasured, halted.routers[0]?.reasons);
    t.deepEqual(
      halted.routers.map(({ state }) => state),
      ['rolled-back', 'waiting'],
    );
    t.deepEqual(await s.bundles(), ['1.0', '1.0']);
    t.is(await s.act(id, 'abort'), 200);
    await comesTo(s, id, 'aborted');
    // One that gets little processor time is as blind, and says why.
    for (const fake of s.fakes) fake.measure = (asked) => measured(asked, 0, 0.3);
    // Asked for more, so that the shortest hand-over has some to miss.
    const starved = await comesTo(s, (await s.create({ rate: 1000 })).id, 'halted', 'succeeded');
    t.is(starved.status, 'halted');
    t.is(starved.problem?.code, 'not-measured');
    t.regex(starved.problem?.message ?? '', /too little processor time/);
    t.is(await s.act(starved.id, 'abort'), 200);
    await comesTo(s, starved.id, 'aborted');
    await clean(t, s);
  },
);

test.serial(
  'a probe that is started anew while a router soaks measures for longer; the hand-over was seen',
  async (t) => {
    const s = await scene(t, 1);
    const next = await s.upload('2.0', { default: true });
    const asked: Window[] = [];
    let anew: number | null = null;
    for (const fake of s.fakes)
      fake.measure = (window) => {
        if (window.bundle !== next.checksum) return well(window);
        asked.push(window);
        // At the end of the first time it is asked for what is after.
        if (asked.length === 2) anew = window.to;
        return startedAnew(anew, window);
      };
    const { id } = await s.create();
    const done = await comesTo(s, id, 'succeeded', 'halted');
    t.is(done.status, 'succeeded', JSON.stringify(done.problem));
    const report = (await s.h.admin('GET', `/v1/upgrade-runs/${id}/report`)).body as unknown as {
      routers: { during: ProbeReading; after: ProbeReading }[];
    };
    const [during, first, second] = asked;
    t.is(during?.to, first?.from, 'the hand-over, then what is after it');
    t.is(second?.from, first?.from);
    t.true((second?.to ?? 0) > (first?.to ?? 0), 'longer');
    t.true((report.routers[0]?.during.datagrams.sent ?? 0) > 0);
    t.true((report.routers[0]?.after.datagrams.sent ?? 0) >= 25);
    await clean(t, s);
  },
);

test.serial('a router that fails unexpectedly holds nobody up: it is taken back, or failed', async (t) => {
  const s = await scene(t, 4);
  await s.upload('2.0', { default: true });
  const { id } = await s.create({ canaries: 3, perHost: 3 });
  const broken = (state: string, index: number, change: object): Promise<boolean> =>
    until(
      () =>
        s.h.store.transaction(async (trx) => {
          const row = (await runRouters(trx, [id]))[index];
          if (row?.state !== state) return false;
          await changeRunRouter(trx, row, null, change);
          return true;
        }),
      (changed) => changed,
    );
  // What is recorded of them makes no sense any more.
  await Promise.all([broken('working', 0, { workflow: null }), broken('soaking', 1, { workedAt: null })]);
  const after = await until(
    () => s.show(id),
    ({ routers }) =>
      routers.slice(0, 3).every(({ state }) => ['passed', 'failed', 'rolled-back'].includes(state)),
  );
  t.deepEqual(
    after.routers.map(({ state }) => state),
    ['failed', 'rolled-back', 'passed', 'waiting'],
  );
  t.is(after.status, 'halted');
  for (const index of [0, 1]) {
    t.is(after.routers[index]?.problem?.code, 'unexpected');
    t.regex(after.routers[index]?.problem?.message ?? '', /TypeError: rtr-/);
  }
  t.is(await s.act(id, 'resume'), 200);
  const ended = await comesTo(s, id, 'failed', 'succeeded');
  t.deepEqual(
    ended.routers.map(({ state }) => state),
    ['failed', 'rolled-back', 'passed', 'passed'],
  );
  t.is(ended.status, 'failed');
  // What it was told to do about the one that failed works: resuming does not try it again, another run does.
  const again = await s.create({ select: { routers: [String(ended.routers[1]?.router)] } });
  t.is((await comesTo(s, again.id, 'succeeded', 'halted')).status, 'succeeded');
  await clean(t, s);
});

test.serial('what cannot be asked for is refused with all that is wrong', async (t) => {
  const s = await scene(t, 2);
  const ask = (body: object) => s.h.admin('POST', '/v1/upgrade-runs', body);
  const pointers = (answer: Awaited<ReturnType<typeof ask>>) =>
    answer.body.problems?.map(({ pointer, code }) => `${pointer} ${code}`) ?? [];
  const unknown = await ask({
    select: { routers: ['rtr-000000000000'], zones: ['nowhere'], hosts: ['h1', 'h9'], accounts: ['bob'] },
    bundle: 'bdl-000000000000',
  });
  t.is(unknown.status, 404);
  t.deepEqual(pointers(unknown), [
    '/select/zones/0 not-found',
    '/select/accounts/0 not-found',
    '/select/hosts/1 not-found',
    '/select/routers/0 not-found',
    '/bundle not-found',
  ]);
  const none = await ask({ select: { versions: ['9.9'] } });
  t.deepEqual([none.status, pointers(none)], [422, ['/select nothing-selected']]);
  const many = await ask({ canaries: 3 });
  t.deepEqual([many.status, pointers(many)], [422, ['/canaries too-many-canaries']]);
  const shape = await ask({ batch: 0, soak: 9999 });
  t.is(shape.status, 422);
  t.is(shape.body.problems?.length, 2);
  const { call } = await s.h.account('carol');
  t.is((await call('POST', '/v1/upgrade-runs', {})).status, 403);
  t.is((await call('GET', '/v1/upgrade-runs')).status, 403);
  await s.upload('2.0', { default: true });
  const one = await s.create({ select: { networks: [s.networks[0]] } });
  t.is(one.progress.total, 1);
  const twice = await ask({});
  t.deepEqual([twice.status, pointers(twice)], [409, ['/select in-another-run']]);
  t.is(
    (await s.h.admin('POST', `/v1/workflows/${one.workflow}/abort`)).status,
    200,
    'a run is a workflow, too',
  );
  await comesTo(s, one.id, 'aborted');
  await clean(t, s);
});
