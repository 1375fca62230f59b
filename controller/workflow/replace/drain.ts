import type { Condition, Problem } from 'documents';
import { AgentError } from '../../deliver/agent-error.ts';
import { applyFailure } from '../../deliver/apply-failure.ts';
import { exchangePlaces, setNeighbours } from '../../store/router-chain.ts';
import { findRow, getRow, updateRow } from '../../store/rows.ts';
import { done, failed, type Outcome, type Step, wait, type Work } from '../step.ts';
import { hasApplied, type RouterReport, routerReport } from './reports.ts';
import { type ReplaceState, successorOf } from './state.ts';

/** Why a hand-over is taken back when the old router could not do it. */
const REFUSED = 'hand-over-failed';

/** How long a successor that traffic is taken from may take to hand back, ms. One that cannot is given up. */
const HAND_BACK = 15_000;
const ALIVE_TIMEOUT = 3000;

/**
 * The hand-over: the old router's document gets its successor as neighbour, and from the moment that is in force (one
 * transaction in its kernel) every connection it does not have is the successor's.
 */
export const drain: Step<ReplaceState> = {
  name: 'drain',

  run: async (work) => {
    const successor = successorOf(work.state);
    if (work.state.drain === null)
      await work.change(async (trx, state) => {
        const generation = await setNeighbours(trx, state.router, { newer: successor });
        state.drain = { generation, at: null };
      });
    const { router } = work.state;
    const { generation, at } = work.state.drain as { generation: number; at: number | null };
    if (at === null) {
      const report = await routerReport(work.db, router);
      if ((report?.status?.appliedGeneration ?? 0) < generation) {
        const failure = failureOf(report);
        return failure !== undefined && (report?.status?.observedGeneration ?? 0) >= generation
          ? failed(notHandedOver(router, failure.message))
          : wait();
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

/** The old router is to ask the successor first: from then on it does not matter which of them a packet comes to. */
const begin = async (work: Work<ReplaceState>, successor: string): Promise<Outcome> => {
  const old = await getRow(work.db, 'router', work.state.router);
  // A hand-over that was refused gave the successor nothing to hand back, and one that is dead cannot.
  const refused = work.row.problem !== null && (JSON.parse(work.row.problem) as Problem).code === REFUSED;
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
  const inForce = (report?.status?.appliedGeneration ?? 0) >= old;
  // One that could not hand over may be unable to apply anything; then what it had before is in force still.
  const stuck =
    work.state.handBack?.successor === 0 &&
    (report?.status?.observedGeneration ?? 0) >= old &&
    failureOf(report) !== undefined;
  if (!inForce && !stuck) return wait();
  if (work.state.handBack?.successor === null)
    await work.change(async (trx, state) => {
      const generation = await setNeighbours(trx, successor, { older: null, newer: router });
      await exchangePlaces(trx, router, successor);
      await updateRow(trx, 'router', successor, { role: 'draining' });
      state.handBack = { old, successor: generation, since: work.now() };
    });
  const generation = work.state.handBack?.successor ?? 0;
  // Zero: it is not asked to hand anything back.
  if (generation === 0) return done(`${router} takes everything again`);
  if (await hasApplied(work.db, successor, generation))
    return done(`${successor} hands what is new back to ${router}`);
  const handedBackAt = work.state.handBack?.since ?? since;
  if (work.now() < handedBackAt + HAND_BACK) return wait(handedBackAt + HAND_BACK);
  await work.change(async (trx, state) => {
    const alone = await setNeighbours(trx, router, { older: null });
    await updateRow(trx, 'router', successor, { role: 'successor' });
    state.handBack = { old: alone, successor: 0, since };
  });
  return wait(work.now());
};

const failureOf = (report: RouterReport | undefined): Condition | undefined =>
  report === undefined || report.status === null ? undefined : applyFailure(report.status);

/** Whether a router's daemon is alive. */
const answers = async (work: Work<ReplaceState>, router: string): Promise<boolean> => {
  if ((await findRow(work.db, 'router', router)) === undefined) return false;
  try {
    await work.link.requestRouter(router, { method: 'GET', path: '/v1/status', timeout: ALIVE_TIMEOUT });
    return true;
  } catch (error) {
    if (error instanceof AgentError && error.code === 'HOST_NOT_CONNECTED') throw error;
    if (error instanceof AgentError) return false;
    throw error;
  }
};

const notHandedOver = (router: string, why: string): Problem => ({
  pointer: '',
  code: REFUSED,
  message: `The router ${router} could not hand over: ${why}`,
  hint: `It goes on serving. "selvage router diff ${router}" shows what would change; mend that and replace it again.`,
});
