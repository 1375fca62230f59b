/** The engine is killed after any transaction of a patch; the next one goes on, and the router's program is exchanged once. */
import test, { type ExecutionContext } from 'ava';
import { violations } from '../invariants.ts';
import { until } from '../until.ts';
import { type CrashRound, killedEverywhere, livingShortly, placeOf, repeat } from './crash.ts';
import { patchScene, type PatchScene, STEPS, wanted, type Workflow } from './patching-host.ts';

const sweep = (t: ExecutionContext, s: PatchScene, round: CrashRound<Workflow>): Promise<Set<string>> =>
  killedEverywhere(t, s.h, s.workflow, round);

/** The bundle of the two that is not to be run now, by its place. */
const other = async (s: PatchScene): Promise<0 | 1> => ((await wanted(s)) === s.bundles[0] ? 1 : 0);
const VERSIONS = ['1.0.0', '2.0.0'] as const;

/** The router is to run that bundle, does so, and was brought to run just these since `from`. */
const runs = async (
  t: ExecutionContext,
  s: PatchScene,
  bundle: 0 | 1,
  exchanged: number[],
): Promise<void> => {
  t.is(await wanted(s), s.bundles[bundle]);
  await until(s.running, (version) => version === VERSIONS[bundle]);
  t.deepEqual(
    s.host.exchanges.splice(0),
    exchanged.map((index) => s.checksums[index as 0 | 1]),
  );
  t.deepEqual(await violations(s.h.store.db), []);
};

const scene = async (t: ExecutionContext): Promise<PatchScene> => {
  const s = await patchScene(t);
  s.host.exchanges.length = 0;
  return s;
};

test('a patch goes on', async (t) => {
  const s = await scene(t);
  let to: 0 | 1 = 1;
  const places = await sweep(t, s, {
    prepare: async () => {
      to = await other(s);
    },
    begin: async () => (await s.begin({ bundle: s.bundles[to] })).id,
    judge: async (done) => {
      t.is(done.status, 'succeeded', JSON.stringify(done));
      await runs(t, s, to, [to]);
    },
  });
  for (const step of STEPS) t.true(places.has(`running ${step}`), step);
});

test('one whose bundle does not prove itself is taken back', async (t) => {
  const s = await scene(t);
  s.host.bad.add(s.checksums[1]);
  const places = await sweep(t, s, {
    begin: async () => (await s.begin()).id,
    judge: async (done) => {
      t.is(done.status, 'failed', JSON.stringify(done));
      t.is(done.problem?.code, 'bundle-refused');
      await runs(t, s, 0, []);
    },
  });
  t.true(places.has('aborting switch') && places.has('aborting deliver'), [...places].join());
});

test('one whose router is never ready is taken back when its time is over', async (t) => {
  const s = await scene(t);
  s.host.unready.add(s.checksums[1]);
  // Its minute and a half passes as fast as can be, and nothing else does.
  repeat(t, 50, async () => {
    const open = s.h.store.db.selectFrom('workflow').select('id').where('status', '=', 'running');
    if ((await open.where('step', '=', 'confirm').execute()).length > 0) s.h.advance(20_000);
  });
  const places = await sweep(t, s, {
    begin: async () => (await s.begin()).id,
    judge: async (done) => {
      t.is(done.status, 'failed', JSON.stringify(done));
      t.is(done.problem?.code, 'patch-late');
      await runs(t, s, 0, [1, 0]);
    },
  });
  t.true(places.has('aborting confirm'), [...places].join());
});

test('one that is aborted before the next engine begins is taken back, or is over', async (t) => {
  const s = await scene(t);
  const aborted = new Set<string>();
  let to: 0 | 1 = 1;
  let isBack = false;
  await sweep(t, s, {
    prepare: async () => {
      to = await other(s);
      isBack = false;
    },
    begin: async () => (await s.begin({ bundle: s.bundles[to] })).id,
    whileDead: async (id) => {
      const place = await placeOf(s.h, id);
      isBack = (await s.call('POST', `/v1/workflows/${id}/abort`)).status === 200;
      t.is(isBack, place.startsWith('running'), place);
      if (isBack) aborted.add(place);
    },
    judge: async (done) => {
      t.is(done.status, isBack ? 'aborted' : 'succeeded', JSON.stringify(done));
      const from = to === 1 ? 0 : 1;
      const exchanges = s.host.exchanges.length;
      // It may be taken back before its host heard of it.
      await runs(t, s, isBack ? from : to, isBack ? (exchanges === 0 ? [] : [to, from]) : [to]);
    },
  });
  t.deepEqual(
    [...aborted],
    STEPS.map((step) => `running ${step}`),
  );
});

test('taking back goes on', async (t) => {
  const s = await scene(t);
  let held = '';
  const places = await sweep(t, s, {
    prepare: async () => {
      s.host.stopsBefore = 'confirm';
      held = (await s.begin()).id;
      await s.at(held, 'confirm');
    },
    begin: async () => {
      t.is((await s.call('POST', `/v1/workflows/${held}/abort`)).status, 200);
      s.host.stopsBefore = null;
      return held;
    },
    judge: async (done) => {
      t.is(done.status, 'aborted', JSON.stringify(done));
      await runs(t, s, 0, [1, 0]);
    },
  });
  t.true(places.has('aborting deliver'), [...places].join());
});

test('engines that each live for one transaction still patch', async (t) => {
  const s = await scene(t);
  await s.h.restartWorkflows(0);
  const { id } = await s.begin();
  const lives = await livingShortly(
    s.h,
    () => 1,
    () => s.workflow(id),
    ({ status }) => status !== 'running',
  );
  t.true(lives > 5, `${lives} lives`);
  t.is((await s.workflow(id)).status, 'succeeded');
  await runs(t, s, 1, [1]);
});

test('control: what was done without a note of it is seen', async (t) => {
  const s = await scene(t);
  // Its first transaction is that it began, its second that the host is told.
  await s.h.restartWorkflows(2);
  const { id } = await s.begin();
  await until(
    () => s.h.workflowsDied(),
    (died) => died,
  );
  await s.h.restartWorkflows(0);
  t.is(await placeOf(s.h, id), 'running deliver');
  await s.h.store.transaction(async (trx) => {
    const { state } = await trx
      .selectFrom('workflow')
      .select('state')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    const forgetful = JSON.stringify({ ...(JSON.parse(state) as object), delivered: null });
    await trx.updateTable('workflow').set({ state: forgetful }).where('id', '=', id).execute();
  });
  await s.call('POST', `/v1/workflows/${id}/abort`);
  await s.h.restartWorkflows();
  t.is((await s.ended(id)).status, 'aborted');
  t.is(await wanted(s), s.bundles[1], 'nobody knows what it ran before');
});
