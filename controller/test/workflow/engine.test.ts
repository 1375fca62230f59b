/** The engine on a workflow whose only step does what it is told: what it notes of failures, and when it forgets them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AgentError } from '../../deliver/agent-error.ts';
import { getRow, insertRow } from '../../store/rows.ts';
import { openStore, type Store } from '../../store/store.ts';
import { beginWorkflow, changeWorkflow } from '../../store/workflows.ts';
import { startWorkflows } from '../../workflow/engine.ts';
import {
  done,
  type Outcome,
  type WorkflowLink,
  type WorkflowState,
  wait,
  type Work,
} from '../../workflow/step.ts';
import { until } from '../until.ts';

type Turn = (work: Work<WorkflowState>) => Promise<Outcome>;

interface Scene {
  readonly store: Store;
  readonly id: string;
  /** Transactions of the engine. */
  readonly commits: () => number;
  /** Has the step asked once more, and resolves when it was and the engine waits again, or has ended. */
  readonly ask: (turn: Turn) => Promise<void>;
  readonly seen: () => Promise<{ status: string; at: number | null; attempts: number; message: string }>;
}

const link = new Proxy({} as WorkflowLink, {
  get: () => () => Promise.reject(new Error('nobody is asked here')),
});

const scene = async (t: ExecutionContext): Promise<Scene> => {
  const directory = mkdtempSync(join(tmpdir(), 'svt-engine-'));
  const store = await openStore({ directory });
  let commits = 0;
  let asked = 0;
  let turn: Turn = async () => wait();
  const counted: Store = {
    ...store,
    transaction: async (work) => {
      const result = await store.transaction(work);
      commits += 1;
      return result;
    },
  };
  const run: Turn = async (work) => {
    asked += 1;
    return turn(work);
  };
  const silent = () => {};
  const workflows = startWorkflows({
    store: counted,
    link,
    log: { debug: silent, info: silent, warn: silent, error: silent },
    types: [{ type: 'test', steps: [{ name: 'only', run, undo: run }] }],
    // It is asked when the test says so, never by itself.
    tickEvery: 1_000_000,
  });
  t.teardown(async () => {
    await workflows.stop();
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const id = await store.transaction(async (trx) => {
    const account = await insertRow(trx, 'account', 'acc', { name: 'a', role: 'user' });
    const state: WorkflowState = { steps: [], attempts: 0 };
    const given = { account: account.id, type: 'test', subject: 'net-1', claim: 'c', step: 'only' };
    return (await beginWorkflow(trx, { ...given, state, resource: 'net-1', message: 'begun' })).id;
  });
  /** Nothing is at work any more. */
  const settled = async (): Promise<void> => {
    for (let still = 0, before = commits; still < 5; still += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (commits !== before) [still, before] = [-1, commits];
    }
  };
  await until(
    () => asked,
    (times) => times === 1,
  );
  await settled();
  return {
    store,
    id,
    commits: () => commits,
    ask: async (next) => {
      const before = asked;
      turn = next;
      await store.transaction((trx) => changeWorkflow(trx, id, {}, true));
      await until(
        () => asked,
        (times) => times > before,
      );
      await settled();
    },
    seen: async () => {
      const row = await getRow(store.db, 'workflow', id);
      const { attempts, steps } = JSON.parse(row.state) as WorkflowState;
      return { status: row.status, at: row.next_attempt_at, attempts, message: steps.at(-1)?.message ?? '' };
    },
  };
};

const fails: Turn = () => Promise.reject(new AgentError('AGENT_REFUSED', 'the router does not answer'));
const waits: Turn = async () => wait();

test('a step that has not failed is not said to be tried again, and costs no transaction to say so', async (t) => {
  const s = await scene(t);
  t.deepEqual(await s.seen(), { status: 'running', at: null, attempts: 0, message: '' });
  t.is(s.commits(), 1, 'that it began');
  for (let look = 0; look < 3; look += 1) await s.ask(waits);
  t.is(s.commits(), 1);
});

test('a step that failed says so until it gets on, and then counts anew', async (t) => {
  const s = await scene(t);
  for (const attempts of [1, 2, 3]) {
    const before = s.store.now();
    await s.ask(fails);
    const seen = await s.seen();
    t.is(seen.attempts, attempts);
    t.true((seen.at ?? 0) >= before + 250 * 2 ** attempts, String(seen.at));
    t.is(seen.message, `tried ${attempts} times: the router does not answer`);
  }
  const before = s.commits();
  await s.ask(waits);
  t.deepEqual(await s.seen(), { status: 'running', at: null, attempts: 0, message: '' });
  t.is(s.commits(), before + 1);
  await s.ask(waits);
  t.is(s.commits(), before + 1, 'there is nothing left to forget');
  await s.ask(fails);
  t.is((await s.seen()).attempts, 1);
  await s.ask(async () => done());
  t.deepEqual(await s.seen(), { status: 'succeeded', at: null, attempts: 0, message: '' });
});

test('what a step says of itself stays beside its failures', async (t) => {
  const s = await scene(t);
  await s.ask(async (work) => {
    await work.change(async (_trx, state) => {
      const [record] = state.steps;
      if (record !== undefined) record.message = '2 sessions left';
    });
    return wait();
  });
  for (let look = 0; look < 2; look += 1) await s.ask(fails);
  t.is((await s.seen()).message, '2 sessions left; tried 2 times: the router does not answer');
  await s.ask(waits);
  t.is((await s.seen()).message, '2 sessions left');
});

test('the same while it is taken back', async (t) => {
  const s = await scene(t);
  await s.store.transaction((trx) => changeWorkflow(trx, s.id, { status: 'aborting' }));
  await s.ask(fails);
  const { at, ...failed } = await s.seen();
  t.true(at !== null);
  t.deepEqual(failed, {
    status: 'aborting',
    attempts: 1,
    message: 'tried 1 times: the router does not answer',
  });
  await s.ask(waits);
  t.deepEqual(await s.seen(), { status: 'aborting', at: null, attempts: 0, message: '' });
});
