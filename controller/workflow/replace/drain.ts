import type { Condition, Problem } from 'documents';
import { AgentError } from '../../deliver/agent-error.ts';
import { applyFailure } from '../../deliver/apply-failure.ts';
import { setNeighbours } from '../../store/router-chain.ts';
import { getRow, updateRow } from '../../store/rows.ts';
import { done, failed, isOver, type Outcome, RESUMED, type Step, wait, type Work } from '../step.ts';
import { copyState } from './copy-state.ts';
import { answers, daemonState, isStuck } from './daemon.ts';
import { release } from './release.ts';
import { forwards, isForwarding, type RouterReport, routerReport } from './reports.ts';
import { beginRescue, copyRescued, forwardIfDead, rescueIfDead } from './rescue.ts';
import { type ReplaceState, successorOf } from './state.ts';

/** Why a hand-over is taken back when the old router could not do it. */
const REFUSED = 'hand-over-failed';

/** How long each may take to apply its part of handing back until it is asked whether its daemon is alive, ms. */
const HAND_BACK = 15_000;
/** The same for the hand-over itself, ms. */
const ASK_AFTER = 5000;
/** Between two looks at one that is silent or slow, ms. */
const ASK_AGAIN = 1000;

/**
 * The hand-over: the old router's document gets its successor as neighbour, and from the moment that is in force (one
 * transaction in its kernel) every connection it does not have is the successor's.
 */
export const drain: Step<ReplaceState> = {
  name: 'drain',

  run: async (work) => {
    const successor = successorOf(work.state);
    if (work.state.rescue !== null) return leftOut(work, successor);
    if (work.state.drain === null)
      await work.change(async (trx, state) => {
        const generation = await setNeighbours(trx, state.router, { newer: successor });
        state.drain = { generation, at: null };
      });
    const { router } = work.state;
    const { generation, at } = work.state.drain as { generation: number; at: number | null };
    if (at === null) {
      const report = await routerReport(work.db, router);
      if (forwards(report) < generation) {
        const failure = failureOf(report);
        return failure !== undefined && (report?.status?.observedGeneration ?? 0) >= generation
          ? failed(notHandedOver(router, failure.message))
          : overdue(work);
      }
      await work.change(async (_trx, state) => {
        state.drain = { generation, at: work.now() };
      });
    }
    return done(`${router} hands what is new to ${successor}`);
  },

  undo: async (work) => {
    const { state } = work;
    if (state.drain === null || state.successor === null) return done();
    if (state.handBack === null) return begin(work, state.successor);
    return goOn(work, state.successor);
  },
};

/** The old router has not said that it handed over: one whose daemon is dead, or that takes for ever, is not waited for. */
const overdue = async (work: Work<ReplaceState>): Promise<Outcome> => {
  const begun = work.state.steps.findLast(({ name }) => name === 'drain')?.startedAt ?? work.now();
  if (work.now() < begun + ASK_AFTER) return wait(begun + ASK_AFTER);
  try {
    const outcome = await rescueIfDead(work);
    if (outcome !== null) return outcome;
  } catch (error) {
    // It may have handed over long ago, and its host had nobody to tell.
    if (error instanceof AgentError) work.scratch.set(RESUMED, work.now());
    throw error;
  }
  if (work.state.rescue === null && (await isStuck(work, work.state.router, begun)))
    await beginRescue(work, 'it did not hand over in time');
  return wait(work.state.rescue === null ? work.now() + ASK_AFTER : work.now());
};

/** The successor no longer asks the old router, which cannot hand over; nor do those before it send to it. */
const leftOut = async (work: Work<ReplaceState>, successor: string): Promise<Outcome> => {
  const { router } = work.state;
  // Begun here the rescue has what the old router told before, and there may be more by now.
  if (work.state.release === null) await copyRescued(work);
  const outcome = await release(work, { router, newer: successor }, 'down');
  return outcome.kind === 'done' ? done(`${successor} goes on without ${router}`) : outcome;
};

/** The old router is to ask the successor first: from then on it does not matter which of them a packet comes to. */
const begin = async (work: Work<ReplaceState>, successor: string): Promise<Outcome> => {
  const old = await getRow(work.db, 'router', work.state.router);
  // A hand-over that was refused gave the successor nothing to hand back, and one that is dead cannot.
  const refused = work.row.problem !== null && (JSON.parse(work.row.problem) as Problem).code === REFUSED;
  if (!refused) {
    const outcome = await forwardIfDead(work);
    if (outcome !== null) return outcome;
  }
  const alone = !refused && old.older_id === null && (await answers(work, successor));
  await work.change(async (trx, state) => {
    const generation = await setNeighbours(trx, state.router, {
      ...(alone ? { older: successor } : {}),
      newer: null,
    });
    state.handBack = { old: generation, successor: alone ? null : 0, since: work.now() };
  });
  return goOn(work, successor);
};

const goOn = async (work: Work<ReplaceState>, successor: string): Promise<Outcome> => {
  const { router } = work.state;
  const { old, since } = work.state.handBack as { old: number; since: number };
  const report = await routerReport(work.db, router);
  const inForce = forwards(report) >= old;
  // One that could not hand over may be unable to apply anything; then what it had before is in force still.
  const stuck =
    work.state.handBack?.successor === 0 &&
    (report?.status?.observedGeneration ?? 0) >= old &&
    failureOf(report) !== undefined;
  if (!inForce && !stuck) {
    if (work.now() < since + HAND_BACK) return wait(since + HAND_BACK);
    return (await forwardIfDead(work)) ?? wait(work.now() + ASK_AFTER);
  }
  if (work.state.handBack?.successor === null)
    await work.change(async (trx, state) => {
      const generation = await setNeighbours(trx, successor, { older: null, newer: router });
      await updateRow(trx, 'router', successor, { role: 'draining' });
      state.handBack = { old, successor: generation, since: work.now() };
    });
  const generation = work.state.handBack?.successor ?? 0;
  // Zero: it is not asked to hand anything back.
  if (generation === 0) {
    await giveBack(work, successor);
    return done(`${router} takes everything again`);
  }
  if (await isForwarding(work.db, successor, generation))
    return done(`${successor} hands what is new back to ${router}`);
  const handedBackAt = work.state.handBack?.since ?? since;
  if (!isOver(work, handedBackAt + HAND_BACK))
    return wait(Math.max(handedBackAt + HAND_BACK, work.now() + ASK_AGAIN));
  const daemon = await daemonState(work, successor);
  if (daemon === 'silent' || (daemon === 'alive' && !(await isStuck(work, successor, handedBackAt))))
    return wait(work.now() + ASK_AGAIN);
  await work.change(async (trx, state) => {
    const alone = await setNeighbours(trx, router, { older: null });
    await updateRow(trx, 'router', successor, { role: 'successor' });
    state.handBack = { old: alone, successor: 0, since };
  });
  return wait(work.now());
};

/**
 * A hand-over that was refused may have been in force in part, and the successor have connections then. What can be copied
 * is; a successor that cannot be copied from has nothing that could be waited for.
 */
const giveBack = async ({ link, state }: Work<ReplaceState>, successor: string): Promise<void> => {
  try {
    await copyState(link, state.host, successor, state.router);
  } catch (error) {
    if (!(error instanceof AgentError) || error.code === 'HOST_NOT_CONNECTED') throw error;
  }
};

const failureOf = (report: RouterReport | undefined): Condition | undefined =>
  report === undefined || report.status === null ? undefined : applyFailure(report.status);

const notHandedOver = (router: string, why: string): Problem => ({
  pointer: '',
  code: REFUSED,
  message: `The router ${router} could not hand over: ${why}`,
  hint: `It goes on serving. "selvage router diff ${router}" shows what would change; mend that and replace it again.`,
});
