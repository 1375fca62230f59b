/** Engines of workflows that are killed after any of their transactions (`Harness.restartWorkflows`), again and again. */
import type { ExecutionContext } from 'ava';
import type { Harness } from '../harness.ts';
import { until } from '../until.ts';

/** What of a workflow is asked here. */
export interface Ended {
  readonly id: string;
  readonly status: string;
}

export interface CrashRound<Workflow extends Ended> {
  /** Before the engine that is to die begins. */
  readonly prepare?: () => Promise<void>;
  /** Asks for the work, of an engine that is to die. Returns the id of the workflow that does it. */
  readonly begin: () => Promise<string>;
  /** While nothing runs, after the engine died and before the next one begins. */
  readonly whileDead?: (id: string) => Promise<void>;
  /** After the workflow has ended. */
  readonly judge: (workflow: Workflow) => Promise<void>;
}

/** Does something again and again until the test ends, `every` ms; what it fails of is told then. */
export const repeat = (t: ExecutionContext, every: number, task: () => Promise<void>): void => {
  let over = false;
  const repeating = (async () => {
    while (!over) {
      await task();
      await new Promise((resolve) => setTimeout(resolve, every));
    }
  })();
  repeating.catch(() => {});
  t.teardown(() => {
    over = true;
    return repeating;
  });
};

/** Lets the clock run `factor` times as fast as it does, until the test ends. */
export const hurry = (t: ExecutionContext, h: Harness, factor: number): void => {
  const clock = setInterval(() => h.advance(20 * (factor - 1)), 20);
  t.teardown(() => clearInterval(clock));
};

const isOpen = ({ status }: Ended): boolean => status === 'running' || status === 'aborting';

/** Where a workflow is: its status, its step, and the stage of it, if there are any. */
export const placeOf = async (h: Harness, id: string): Promise<string> => {
  const row = await h.store.db
    .selectFrom('workflow')
    .select(['status', 'step', 'state'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  const { release = null } = JSON.parse(row.state) as { release?: { stage: string } | null };
  return [row.status, row.step, ...(release === null ? [] : [release.stage])].join(' ');
};

/** Asked of the store: it is asked so often that the API would take most of the time. */
const isOver = async (h: Harness, id: string): Promise<boolean> =>
  !isOpen(
    await h.store.db
      .selectFrom('workflow')
      .select(['id', 'status'])
      .where('id', '=', id)
      .executeTakeFirstOrThrow(),
  );

/** More transactions than any of these workflows needs. */
const MOST = 80;

/**
 * Has the same work done over and over: by an engine that dies after its first transaction, then by one that dies after the
 * second, and so on until one does not live to be killed; another engine goes on each time. Returns where they died.
 */
export const killedEverywhere = async <Workflow extends Ended>(
  t: ExecutionContext,
  h: Harness,
  show: (id: string) => Promise<Workflow>,
  round: CrashRound<Workflow>,
): Promise<Set<string>> => {
  const places = new Set<string>();
  let died = true;
  let commits = 0;
  while (died) {
    commits += 1;
    if (commits > MOST) throw new Error(`it is not done after ${MOST} transactions`);
    await round.prepare?.();
    await h.restartWorkflows(commits);
    const id = await round.begin();
    await until(
      async () => h.workflowsDied() || (await isOver(h, id)),
      (over) => over,
    );
    died = h.workflowsDied();
    if (died) {
      // What is under way in it comes to nothing: this waits for it.
      await h.restartWorkflows(0);
      places.add(await placeOf(h, id));
      await round.whileDead?.(id);
    }
    await h.restartWorkflows();
    await until(
      () => isOver(h, id),
      (over) => over,
    );
    await round.judge(await show(id));
  }
  t.log(`killed after each of ${commits - 1} transactions: ${[...places].join(', ')}`);
  return places;
};

/**
 * Engines that die one after another, each after as many transactions as `commits` says of the `n`-th, until what is looked
 * at holds. Returns how many there were; one that lives is running then.
 */
export const livingShortly = async <Value>(
  h: Harness,
  commits: (n: number) => number,
  look: () => Promise<Value>,
  holds: (value: Value) => boolean,
): Promise<number> => {
  let lives = 1;
  await h.restartWorkflows(commits(lives));
  await until(async () => {
    if (h.workflowsDied()) {
      lives += 1;
      await h.restartWorkflows(commits(lives));
    }
    return look();
  }, holds);
  await h.restartWorkflows();
  return lives;
};
