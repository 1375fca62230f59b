/** The engine is killed after any transaction of a replacement, whatever that does just then; the next one goes on. */
import test, { type ExecutionContext } from 'ava';
import { violations } from '../invariants.ts';
import { until } from '../until.ts';
import { type CrashRound, hurry, killedEverywhere, livingShortly, placeOf, repeat } from './crash.ts';
import {
  chainOf,
  ended,
  healthy,
  holdAt,
  letGo,
  replaceScene,
  type Scene,
  steps,
  type Workflow,
} from './replace-scene.ts';

const scene = async (t: ExecutionContext, factor = 10): Promise<Scene> => {
  t.timeout(170_000);
  const s = await replaceScene(t);
  hurry(t, s.h, factor);
  // That its host is heard of.
  repeat(t, 500, () => s.fake.sync());
  return s;
};

const sweep = (t: ExecutionContext, s: Scene, round: CrashRound<Workflow>): Promise<Set<string>> =>
  killedEverywhere(t, s.h, s.workflow, round);

const operationOf = async (s: Scene, id: string): Promise<unknown> =>
  (await s.call('GET', `/v1/operations/${id}?wait=5s`)).body['state'];

/** While a dead daemon is waited for time passes as fast as can be: half a minute, or ten where it may have sessions. */
const passSilence = async (s: Scene): Promise<void> => {
  const rows = await s.h.store.db
    .selectFrom('workflow')
    .select(['step', 'state'])
    .where('status', 'in', ['running', 'aborting'])
    .execute();
  for (const { step, state } of rows) {
    const { silences, release } = JSON.parse(state) as { silences: object; release: object | null };
    if (Object.keys(silences).length > 0 && release === null)
      s.h.advance(step === 'retire' ? 150_000 : 10_000);
  }
};

/** A router that keeps a session for as long as the test likes, and its successor, which serves. */
const chained = async (s: Scene): Promise<{ first: string; workflow: string }> => {
  const first = await s.serving();
  s.fake.sessions.set(first, { local: 1, translated: 0, holders: [] });
  const workflow = await s.replace(first, { drainDeadline: null });
  await until(
    () => s.workflow(workflow),
    ({ sessions }) => sessions?.local === 1,
  );
  return { first, workflow };
};

/** There are just these routers, oldest first, and no packet was without a way. */
const inChain = async (t: ExecutionContext, s: Scene, ...routers: string[]): Promise<void> => {
  await until(
    () => [s.fake.routers().length, chainOf(s).join()],
    ([count, chain]) => count === routers.length && chain === routers.join(),
  );
  t.is(await s.serving(), String(routers.at(-1)));
  t.deepEqual(s.fake.complaints, []);
  t.deepEqual(await violations(s.h.store.db), []);
};

const lastsNot = async (
  t: ExecutionContext,
  s: Scene,
  { first, workflow }: { first: string; workflow: string },
): Promise<void> => {
  s.fake.sessions.delete(first);
  t.is((await ended(s, workflow)).status, 'succeeded');
  await healthy(t, s, await s.serving());
};

test('a replacement goes on', async (t) => {
  const s = await scene(t);
  const places = await sweep(t, s, {
    begin: async () => s.replace(await s.serving()),
    judge: async (done) => {
      t.is(done.status, 'succeeded', JSON.stringify(done));
      t.is(await operationOf(s, done.operation), 'succeeded');
      await healthy(t, s, String(done.successor));
    },
  });
  for (const step of steps) t.true(places.has(`running ${step}`), step);
  for (const stage of ['down', 'forget']) t.true(places.has(`running retire ${stage}`), stage);
});

test('one that is aborted before the next engine begins is taken back, or is over', async (t) => {
  const s = await scene(t);
  const aborted = new Set<string>();
  let answer: Awaited<ReturnType<Scene['call']>> | undefined;
  await sweep(t, s, {
    prepare: async () => {
      answer = undefined;
    },
    begin: async () => s.replace(await s.serving()),
    whileDead: async (id) => {
      const place = await placeOf(s.h, id);
      answer = await s.call('POST', `/v1/workflows/${id}/abort`);
      if (answer.status === 200) aborted.add(place);
      // From here on the old router leaves, or has left.
      else t.regex(place, /^(running retire|succeeded)/);
    },
    judge: async (done) => {
      const isBack = answer?.status === 200;
      t.is(done.status, isBack ? 'aborted' : 'succeeded', JSON.stringify(done));
      if (isBack) t.is(await operationOf(s, String(answer?.body['operation'])), 'succeeded');
      await healthy(t, s, isBack ? done.router : String(done.successor));
    },
  });
  t.deepEqual(
    [...aborted],
    steps.map((step) => `running ${step}`),
  );
});

test('taking back goes on, from the last step to the first', async (t) => {
  const s = await scene(t);
  let held = '';
  const places = await sweep(t, s, {
    prepare: async () => {
      held = await holdAt(s, 'retire');
    },
    begin: async () => {
      const answer = await s.call('POST', `/v1/workflows/${held}/abort`);
      t.is(answer.status, 200, answer.text);
      await letGo(s);
      return held;
    },
    judge: async (done) => {
      t.is(done.status, 'aborted', JSON.stringify(done));
      await healthy(t, s, done.router);
    },
  });
  for (const step of steps.filter((name) => name !== 'precopy' && name !== 'retire'))
    t.true(places.has(`aborting ${step}`), step);
});

test('a router that leaves from the middle of a chain goes on leaving, at any stage', async (t) => {
  const s = await scene(t);
  const oldest = await chained(s);
  const places = await sweep(t, s, {
    begin: async () => s.replace(await s.serving(), { drainDeadline: null }),
    judge: async (done) => {
      t.is(done.status, 'succeeded', JSON.stringify(done));
      await inChain(t, s, oldest.first, String(done.successor));
    },
  });
  for (const stage of ['wires', 'hear', 'up', 'down', 'forget'])
    t.true(places.has(`running retire ${stage}`), stage);
  await lastsNot(t, s, oldest);
});

test('a router whose daemon is dead is left out all the same, and keeps the one before it', async (t) => {
  const s = await scene(t);
  repeat(t, 100, () => passSilence(s));
  const oldest = await chained(s);
  s.fake.mayLose = true;
  const places = await sweep(t, s, {
    begin: async () => {
      const serving = await s.serving();
      s.fake.hung.set(serving, false);
      return s.replace(serving, { drainDeadline: null });
    },
    judge: async (done) => {
      t.is(done.status, 'succeeded', JSON.stringify(done));
      t.regex(done.steps.at(-1)?.message ?? '', /what ended in it is lost/);
      await inChain(t, s, oldest.first, String(done.successor));
      s.fake.hung.delete(done.router);
    },
  });
  for (const stage of ['wires', 'hear', 'up', 'down'])
    t.true(places.has(`running drain ${stage}`), [...places].join());
  t.true(places.has('running retire forget'), [...places].join());
  await lastsNot(t, s, oldest);
});

test('what cannot be taken back because the old router is dead goes forward', async (t) => {
  const s = await scene(t);
  repeat(t, 100, () => passSilence(s));
  s.fake.mayLose = true;
  let held = '';
  const places = await sweep(t, s, {
    prepare: async () => {
      held = await holdAt(s, 'retire');
    },
    begin: async () => {
      s.fake.hung.set((await s.workflow(held)).router, false);
      const answer = await s.call('POST', `/v1/workflows/${held}/abort`);
      t.is(answer.status, 200, answer.text);
      await letGo(s);
      return held;
    },
    judge: async (done) => {
      t.is(done.status, 'succeeded', JSON.stringify(done));
      await healthy(t, s, String(done.successor));
      s.fake.hung.delete(done.router);
    },
  });
  t.true(places.has('aborting flip') && places.has('running flip'), [...places].join());
});

test('engines that each live for one transaction or two still replace, in a chain and out of it', async (t) => {
  const s = await scene(t);
  const replaced = async (): Promise<Workflow> => {
    await s.h.restartWorkflows(0);
    const id = await s.replace(await s.serving(), { drainDeadline: null });
    const lives = await livingShortly(
      s.h,
      (n) => 1 + (n % 2),
      () => s.workflow(id),
      ({ status }) => status !== 'running',
    );
    t.true(lives > 10, `${lives} lives`);
    const done = await s.workflow(id);
    t.is(done.status, 'succeeded', JSON.stringify(done));
    return done;
  };
  await healthy(t, s, String((await replaced()).successor));
  const oldest = await chained(s);
  await inChain(t, s, oldest.first, String((await replaced()).successor));
  await lastsNot(t, s, oldest);
});

test('engines that live shortly find that a neighbour cannot be told, and later that it can', async (t) => {
  const s = await scene(t, 40);
  const oldest = await chained(s);
  const second = await s.serving();
  s.fake.sessions.set(second, { local: 1, translated: 0, holders: [] });
  const id = await s.replace(second, { drainDeadline: null });
  const { successor: third } = await until(
    () => s.workflow(id),
    ({ sessions }) => sessions?.local === 1,
  );
  s.fake.hung.set(oldest.first, false);
  s.fake.sessions.delete(second);
  const shortly = (n: number): number => 1 + (n % 3);
  const row = () =>
    s.h.store.db
      .selectFrom('workflow')
      .select(['claim', 'status', 'state'])
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
  let left = false;
  await livingShortly(s.h, shortly, row, ({ claim, state }) => {
    const { release } = JSON.parse(state) as { release: object | null };
    left ||= release !== null;
    // It began, and has given up.
    return left && claim === null && release === null;
  });
  t.is((await row()).status, 'running');
  s.fake.hung.clear();
  await s.fake.sync();
  await livingShortly(s.h, shortly, row, ({ status }) => status !== 'running');
  t.is((await row()).status, 'succeeded');
  await inChain(t, s, oldest.first, String(third));
  await lastsNot(t, s, oldest);
});

test('control: killed, it stays where it is; and what was done without a note of it is seen', async (t) => {
  const s = await scene(t);
  // Its first transaction is that it began, its second the successor.
  await s.h.restartWorkflows(2);
  const id = await s.replace(await s.serving());
  await until(
    () => s.h.workflowsDied(),
    (died) => died,
  );
  await s.h.restartWorkflows(0);
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.is(await placeOf(s.h, id), 'running build');
  const { successor } = await s.workflow(id);
  t.truthy(successor);
  await s.h.store.transaction(async (trx) => {
    const { state } = await trx
      .selectFrom('workflow')
      .select('state')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    const forgetful = JSON.stringify({ ...(JSON.parse(state) as object), successor: null });
    await trx.updateTable('workflow').set({ state: forgetful }).where('id', '=', id).execute();
  });
  await s.h.restartWorkflows();
  const done = await ended(s, id);
  t.not(done.successor, successor);
  await s.fake.sync();
  t.true(s.fake.routers().includes(String(successor)), 'the first one is left over');
});
