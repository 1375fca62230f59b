/**
 * One router of a run, from its first measurement to its verdict, or back. Each function looks at where the router is and
 * takes it one step on, in one transaction with the note of it; it returns when to look again (ms), or null to look at once.
 */
import type { HealthCheck, Problem, ProbeReading } from 'documents';
import { AgentError } from '../../deliver/agent-error.ts';
import { Refusal } from '../../model/refusal.ts';
import { isBlind, judge, type Measuring, notSeen } from '../../model/upgrade-verdict.ts';
import { recordEvent } from '../../store/events.ts';
import { advanceOperation } from '../../store/operations.ts';
import { findRouters } from '../../store/router-candidates.ts';
import { findRow, getRow } from '../../store/rows.ts';
import type { Trx } from '../../store/transaction.ts';
import {
  changeRun,
  changeRunRouter,
  optionsOf,
  type RunRouter,
  type RunRow,
  runRouters,
} from '../../store/upgrade-runs.ts';
import type { Work } from '../step.ts';
import { abortChild, beginChild, childState, NO_BUNDLE, noBundle, presentRouter } from './children.ts';
import { readProbe } from './probing.ts';
import type { UpgradeState } from './state.ts';

/** A workflow tells when it has ended; this is for one that was missed, ms. */
const LOOK_AGAIN = 1000;
/** After its machines are there a probe needs this long until what it measures is the router, ms. */
const WARM_UP = 1000;
/** What was sent last is given this long to come back, ms. */
const LAST_ANSWER = 1100;
/** How long what a host does not answer is asked again, and a workflow that cannot begin is begun again, ms. */
const ASK_FOR = 15_000;
const BEGIN_FOR = 60_000;
const RETRY = 1000;
const HEALTH_TIMEOUT = 15_000;
/** A host keeps what it measured for ten minutes, ms. */
const KEPT = 8 * 60_000;

export interface Upgrading {
  readonly work: Work<UpgradeState>;
  readonly run: RunRow;
  readonly row: RunRouter;
}

const problemOf = (error: unknown, code: string, hint: string): Problem => {
  if (error instanceof Refusal && error.problems[0] !== undefined) return error.problems[0];
  return { pointer: '', code, message: (error as Error).message, hint };
};

/** Takes a router one step on. */
export const upgradeRouter = async (upgrading: Upgrading): Promise<number | null> => {
  switch (upgrading.row.state) {
    case 'measuring':
      return measure(upgrading);
    case 'working':
      return watch(upgrading);
    case 'soaking':
      return conclude(upgrading);
    case 'rolling-back':
      return upgrading.row.detail.rollback === null ? rollBack(upgrading) : watchRollback(upgrading);
    default:
      return null;
  }
};

/** A router's turn has come. */
export const begin = async (trx: Trx, row: RunRouter, now: number): Promise<void> =>
  changeRunRouter(trx, row, 'measuring', { startedAt: now });

/** What it is like before anything is done. Probes have measured for a while, so that mostly it can be read at once. */
const measure = async ({ work, run, row }: Upgrading): Promise<number | null> => {
  const { baseline } = optionsOf(run);
  const { probe, startedAt, retry } = row.detail;
  const ready = work.state.probes?.readyAt ?? null;
  if (probe === null || ready === null || row.detail.before !== null) return start({ work, run, row });
  const length = baseline * 1000;
  const from = Math.max(ready + WARM_UP, (startedAt ?? work.now()) - length - LAST_ANSWER);
  const due = from + length + LAST_ANSWER;
  if (work.now() < due) return due;
  if (retry !== null && work.now() < retry.at) return retry.at;
  try {
    const before = await readProbe(work, probe, from, from + length);
    return await start({ work, run, row }, before);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const since = retry?.since ?? work.now();
    // What cannot be measured is not judged by.
    if (work.now() >= since + ASK_FOR) return start({ work, run, row });
    return again({ work, run, row }, since);
  }
};

const again = async ({ work, row }: Upgrading, since: number, wait = RETRY): Promise<number> => {
  const at = work.now() + wait;
  await work.change((trx) => changeRunRouter(trx, row, null, { retry: { at, since } }));
  return at;
};

/** The code of workflows that ended because their network lost its routers. */
const GONE = 'resource-gone';

/** Its network was removed, or shut down: there is nothing to upgrade, and nobody to blame. */
const gone = async (trx: Trx, { work, row }: Upgrading): Promise<void> => {
  await changeRunRouter(trx, row, 'skipped', { endedAt: work.now(), retry: null });
  await work.tell(trx, `${row.router_id} of ${row.network_name} is gone`);
};

/** Begins its workflow. */
const start = async (upgrading: Upgrading, before?: ProbeReading): Promise<number | null> => {
  const { work, run, row } = upgrading;
  const options = optionsOf(run);
  const { retry } = row.detail;
  if (before === undefined && retry !== null && work.now() < retry.at) return retry.at;
  try {
    await work.change(async (trx, state) => {
      const id = await presentRouter(trx, row);
      const [router] = id === undefined ? [] : await findRouters(trx, { routers: [id] }, run.bundle_id);
      const rest = { retry: null, ...(before === undefined ? {} : { before }) };
      const first = row.detail.workflow === null;
      const fresh = first && options.method === 'replace';
      if (router === undefined || (router.needs === 'nothing' && !fresh)) {
        await changeRunRouter(trx, row, first ? 'skipped' : 'passed', {
          ...rest,
          endedAt: work.now(),
          problem: null,
          successor: id ?? null,
        });
        await work.tell(
          trx,
          `${row.router_id} ${router === undefined ? 'is gone' : 'needs nothing any more'}`,
        );
        return;
      }
      const method = fresh || router.needs === 'replace' ? 'replace' : 'patch';
      const { workflow, joined } = await beginChild(trx, router, options, method, run.bundle_id);
      await changeRunRouter(trx, row, 'working', {
        ...rest,
        workflow: { id: workflow.id, joined, began: work.now() },
        workedAt: null,
        during: null,
        previousBundle: router.bundle,
      });
      state.children = [...new Set([...state.children, workflow.id])];
    });
    return null;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const since = retry?.since ?? work.now();
    if (work.now() < since + BEGIN_FOR) {
      if (before !== undefined) await work.change((trx) => changeRunRouter(trx, row, null, { before }));
      return again(upgrading, since);
    }
    const hint = `Mend the cause, and begin another run for it: selvage upgrade-run create --router ${row.router_id}. Resumed, this one goes on with the others.`;
    await work.change(async (trx) => {
      const problem = problemOf(error, 'not-begun', hint);
      await fail(upgrading, trx, problem, 'failed');
    });
    return null;
  }
};

/** Waits until its workflow has done what users notice. */
const watch = async (upgrading: Upgrading): Promise<number | null> => {
  const { work, row } = upgrading;
  const child = row.detail.workflow;
  if (child === null) throw new TypeError(`${row.router_id} is at work without a workflow`);
  const state = await childState(work.db, child.id);
  if (state.kind === 'open') return work.now() + LOOK_AGAIN;
  if (state.kind === 'done') {
    const successor = state.successor ?? row.router_id;
    await work.change(async (trx, held) => {
      await changeRunRouter(trx, row, 'soaking', { workedAt: work.now(), successor });
      held.children = held.children.filter((id) => id !== child.id);
    });
    return null;
  }
  await work.change(async (trx, held) => {
    held.children = held.children.filter((id) => id !== child.id);
    if (state.code === GONE) return gone(trx, upgrading);
    // Somebody else's that came to nothing is no verdict on this router.
    if (child.joined) {
      await changeRunRouter(trx, row, 'measuring', { workflow: null });
      return;
    }
    const message = `${row.router_id} was not upgraded: ${state.message}`;
    const hint = `Nothing is left to take back: see "selvage workflow show ${child.id}".`;
    await fail(upgrading, trx, { pointer: '', code: state.code, message, hint }, 'failed');
  });
  return null;
};

/** Reads what was measured meanwhile and since, asks for its health, and judges. */
const conclude = async (upgrading: Upgrading): Promise<number | null> => {
  const { work, run, row } = upgrading;
  const options = optionsOf(run);
  const { probe, before, workflow, workedAt, retry, successor } = row.detail;
  if (workflow === null || workedAt === null)
    throw new TypeError(`${row.router_id} soaks and has done nothing`);
  const soak = options.soak * 1000;
  const soaked = workedAt + soak;
  const ask = async <Value>(question: () => Promise<Value>): Promise<Value | null> => {
    try {
      return await question();
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return null;
    }
  };
  const read = (from: number, to: number): Promise<ProbeReading | null> =>
    probe === null ? Promise.resolve(null) : ask(() => readProbe(work, probe, from, to));
  // Read as soon as it can be: whatever becomes of the probe while it soaks, the hand-over was seen.
  let { during } = row.detail;
  if (before !== null && during === null) {
    if (work.now() < workedAt + LAST_ANSWER) return workedAt + LAST_ANSWER;
    during = await read(workflow.began, workedAt);
    if (during !== null) await work.change((trx) => changeRunRouter(trx, row, null, { during }));
  }
  // A host keeps measurements for a while only: after a long pause of ours the last seconds tell how it is.
  const end = work.now() > soaked + KEPT ? work.now() - LAST_ANSWER : soaked;
  const due = before === null ? end : end + LAST_ANSWER;
  if (work.now() < due) return due;
  if (retry !== null && work.now() < retry.at) return retry.at;
  const lastChance = retry !== null && work.now() >= retry.since + ASK_FOR;
  // Asked again, as long as there is to be measured: what showed too little is measured for longer.
  const until = retry === null ? end : work.now() - LAST_ANSWER;
  const [after, health] = await Promise.all([
    before === null ? null : read(end - soak, until),
    ask(() => healthOf(work, successor ?? row.router_id)),
  ]);
  const measuring: Measuring = {
    before: options.baseline * 1000,
    during: Math.min(workedAt - workflow.began, KEPT),
    after: soak,
    rate: options.rate,
  };
  const missing =
    health === null ||
    (before !== null && (during === null || notSeen(before, 'after', after, measuring).length > 0));
  if (missing && !lastChance) return again(upgrading, retry?.since ?? work.now());
  const verdict = judge({ before, during, after }, health, options.limits, measuring);
  await work.change(async (trx) => {
    if ((await presentRouter(trx, row)) === undefined) return gone(trx, upgrading);
    await changeRunRouter(trx, row, null, { during, after, health, verdict, retry: null });
    if (!verdict.ok) {
      const blind = isBlind(verdict);
      const what = blind ? 'was not seen well enough to be judged' : 'is worse than before';
      const message = `${row.router_id} of ${row.network_name} ${what}: ${verdict.reasons.join('; ')}`;
      const hint = `What was measured: selvage upgrade-run report ${run.id}.${blind ? ' Without probes health checks alone judge: "--no-probe" of another run.' : ''}`;
      const code = blind ? 'not-measured' : 'worse-than-before';
      await fail(upgrading, trx, { pointer: '', code, message, hint }, 'rolling-back');
      return;
    }
    // What somebody else began may have brought it elsewhere than where it is to go; and a new standby has what the active router runs.
    const { type } = await getRow(trx, 'workflow', workflow.id);
    const id = await presentRouter(trx, row);
    const [router] = id === undefined ? [] : await findRouters(trx, { routers: [id] }, run.bundle_id);
    if (
      router !== undefined &&
      ((workflow.joined && router.needs !== 'nothing') ||
        (type === 'router.rebuild-standby' && router.needs === 'patch'))
    ) {
      await changeRunRouter(trx, row, 'measuring', {});
      return;
    }
    await changeRunRouter(trx, row, 'passed', { endedAt: work.now() });
    await work.tell(trx, `${row.router_id} of ${row.network_name} is upgraded: ${toldLoss(during, after)}`);
  });
  return null;
};

const toldLoss = (during: ProbeReading | null, after: ProbeReading | null): string => {
  if (during === null || after === null) return 'it is well';
  const kinds = ['datagrams', 'connections', 'names'] as const;
  return kinds
    .filter((kind) => during[kind].sent + after[kind].sent > 0)
    .map(
      (kind) =>
        `${during[kind].lost + after[kind].lost} of ${during[kind].sent + after[kind].sent} ${kind} lost`,
    )
    .join(', ');
};

const healthOf = async (work: Work<UpgradeState>, router: string): Promise<HealthCheck[]> => {
  const answer = await work.link.requestRouter(router, {
    method: 'POST',
    path: '/v1/health',
    timeout: HEALTH_TIMEOUT,
  });
  const { items } = (answer.body ?? {}) as { items?: HealthCheck[] };
  if (answer.status !== 200 || !Array.isArray(items))
    throw new AgentError('AGENT_REFUSED', `Its health checks answered with status ${answer.status}`);
  return items;
};

/** A router went wrong: no other one is begun. What was somebody else's doing is not taken back. */
const fail = async (
  { work, run, row }: Upgrading,
  trx: Trx,
  problem: Problem,
  state: 'failed' | 'rolling-back',
): Promise<void> => {
  const takenBack = state === 'rolling-back' && row.detail.workflow?.joined !== true;
  await changeRunRouter(trx, row, takenBack ? 'rolling-back' : 'failed', {
    problem,
    retry: null,
    ...(takenBack ? {} : { endedAt: work.now() }),
  });
  if (work.row.status !== 'running') return;
  await changeRun(trx, run.id, 'halted', problem);
  await advanceOperation(trx, work.row.operation_id, { state: 'failed', problem, message: problem.message });
  await recordEvent(trx, {
    account: null,
    type: 'upgrade-run.halted',
    level: 'error',
    resource: run.id,
    message: `The run ${run.id} halted: ${problem.message}`,
  });
};

/**
 * A step of a router failed unexpectedly so often that it is given up. Nobody knows how the router is, so what was begun is
 * taken back; where that is what fails, or nothing was begun, the router has failed. The others go on.
 */
export const giveUp = async (upgrading: Upgrading, error: unknown): Promise<void> => {
  const { work, run, row } = upgrading;
  await work.change(async (trx, state) => {
    const present = (await runRouters(trx, [run.id])).find(({ router_id }) => router_id === row.router_id);
    // What failed came after something that did not.
    if (present?.state !== row.state) return;
    const begun = row.state === 'working' || row.state === 'soaking';
    const child = row.detail.workflow?.id;
    if (!begun) state.children = state.children.filter((id) => id !== child);
    const message = `${row.router_id} of ${row.network_name} could not be upgraded, being at "${row.state}": ${String(error)}`;
    const hint = `Look how it is ("selvage router show"), then begin another run for it: selvage upgrade-run create --router ${row.router_id}.`;
    const problem: Problem = { pointer: '', code: 'unexpected', message, hint };
    await fail({ work, run, row: present }, trx, problem, begun ? 'rolling-back' : 'failed');
  });
};

/** Takes an upgrade back: by ending it where it can still be, else by going to what it ran before. */
const rollBack = async (upgrading: Upgrading): Promise<number | null> => {
  const { work, run, row } = upgrading;
  const child = row.detail.workflow;
  if (child === null) throw new TypeError(`${row.router_id} is taken back and was not begun`);
  const { retry, previousBundle } = row.detail;
  if (retry !== null && work.now() < retry.at) return retry.at;
  const note = (kind: 'abort' | 'patch' | 'replace') => async (trx: Trx, state: UpgradeState, id: string) => {
    await changeRunRouter(trx, row, null, { rollback: { id, kind }, retry: null });
    state.children = [...new Set([...state.children, id])];
  };
  try {
    await work.change(async (trx, state) => {
      const workflow = await findRow(trx, 'workflow', child.id);
      if (workflow === undefined || workflow.status !== 'running')
        throw new Refusal(409, 'ended', 'It has ended');
      await abortChild(trx, workflow);
      await note('abort')(trx, state, child.id);
    });
    return null;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
  try {
    await work.change(async (trx, state) => {
      const workflow = await findRow(trx, 'workflow', child.id);
      const id = await presentRouter(trx, row);
      const [router] = id === undefined ? [] : await findRouters(trx, { routers: [id] }, previousBundle);
      if (router === undefined) {
        await changeRunRouter(trx, row, 'rolled-back', { endedAt: work.now(), retry: null });
        return;
      }
      const kind = workflow?.type === 'router.patch' ? 'patch' : 'replace';
      // A new router without a bundle named would have the default: what it is taken back from. A standby has the active one's.
      if (previousBundle === null && router.role !== 'standby') throw noBundle(router.router);
      const begun = await beginChild(trx, router, optionsOf(run), kind, previousBundle);
      await note(kind)(trx, state, begun.workflow.id);
    });
    return null;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const since = retry?.since ?? work.now();
    const passes = error.problems[0]?.code !== NO_BUNDLE;
    if (passes && work.now() < since + BEGIN_FOR) return again(upgrading, since);
    await work.change((trx) =>
      changeRunRouter(trx, row, 'failed', {
        endedAt: work.now(),
        retry: null,
        problem: problemOf(error, 'not-taken-back', 'Take it back by hand.'),
      }),
    );
    return null;
  }
};

/** Waits until it is as before. */
const watchRollback = async ({ work, row }: Upgrading): Promise<number | null> => {
  const { rollback } = row.detail;
  if (rollback === null) throw new TypeError(`${row.router_id} is not being taken back`);
  const state = await childState(work.db, rollback.id);
  if (state.kind === 'open') return work.now() + LOOK_AGAIN;
  const isBack = rollback.kind === 'abort' ? state.kind === 'undone' : state.kind === 'done';
  await work.change(async (trx, held) => {
    held.children = held.children.filter((id) => id !== rollback.id);
    const ended = work.row.status === 'running' ? 'rolled-back' : 'aborted';
    await changeRunRouter(trx, row, isBack ? ended : 'failed', { endedAt: work.now() });
    await work.tell(
      trx,
      isBack
        ? `${row.router_id} of ${row.network_name} is as before`
        : `${row.router_id} of ${row.network_name} could not be taken back: ${state.kind === 'undone' ? state.message : 'it went on'}`,
    );
  });
  return null;
};

/** Ends what is done to a router because the run is aborted. What is done already stays. */
export const abandonRouter = async (upgrading: Upgrading): Promise<number | null> => {
  const { work, row } = upgrading;
  const leave = async (): Promise<null> => {
    await work.change((trx) => changeRunRouter(trx, row, 'aborted', { endedAt: work.now() }));
    return null;
  };
  const child = row.detail.workflow;
  switch (row.state) {
    case 'waiting':
    case 'measuring':
    case 'soaking':
      return leave();
    case 'rolling-back':
      return upgradeRouter(upgrading);
    case 'working': {
      if (child === null || child.joined) return leave();
      const state = await childState(work.db, child.id);
      if (state.kind !== 'open') return leave();
      try {
        await work.change(async (trx) => {
          const workflow = await findRow(trx, 'workflow', child.id);
          if (workflow !== undefined) await abortChild(trx, workflow);
          await changeRunRouter(trx, row, 'rolling-back', { rollback: { id: child.id, kind: 'abort' } });
        });
        return null;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        // Too late: it goes on to its own end.
        return work.now() + LOOK_AGAIN;
      }
    }
    default:
      return null;
  }
};
