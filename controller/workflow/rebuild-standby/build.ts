import type { HealthCheck } from 'documents';
import { AgentError } from '../../deliver/agent-error.ts';
import { notReported, unhealthy } from '../../model/readiness.ts';
import { removeRouter } from '../../store/router-chain.ts';
import { findRow, getRow } from '../../store/rows.ts';
import { addStandby } from '../../store/standby.ts';
import { hostHas, hostReport, routerReport } from '../replace/reports.ts';
import { done, failed, isOver, type Step, wait, type Work } from '../step.ts';
import type { RebuildState } from './state.ts';

/** Between two questions for its health while it is not ready, ms. */
const ASK_EVERY = 500;
const HEALTH_TIMEOUT = 15_000;

/** The new standby comes up with the active router's document, and proves that it could serve. */
export const build: Step<RebuildState> = {
  name: 'build',

  run: async (work) => {
    if (work.state.readyBy === null)
      await work.change(async (trx, state) => {
        state.successor ??= await addStandby(trx, state.network);
        state.readyBy = work.now() + state.readyWithin;
        state.hostGeneration = (await getRow(trx, 'host', state.host)).generation;
        await work.tell(trx, `build: router ${state.successor} comes up on ${state.host} to stand by`);
      });
    const { successor, readyBy } = work.state as { successor: string; readyBy: number };
    const reasons = await notReady(work, successor);
    if (reasons.length === 0) return done(`${successor} has its document in force and is healthy`);
    if (!isOver(work, readyBy)) return wait(work.now() + ASK_EVERY);
    return failed({
      pointer: '',
      code: 'standby-not-ready',
      message: `The standby ${successor} was not ready within ${work.state.readyWithin / 1000} s: ${reasons.join('; ')}`,
      hint: 'The active router serves as before. Another standby is built by itself after a while; "selvage router replace" on it, or switching "redundant" off and on, does so at once.',
    });
  },

  undo: async (work) => {
    const { successor } = work.state;
    if (successor === null) return done();
    if (work.state.removal === null) {
      const row = await findRow(work.db, 'router', successor);
      // It may have taken over meanwhile.
      if (row?.role !== 'standby') return done();
      await work.change(async (trx, state) => {
        state.removal = await removeRouter(trx, successor);
      });
    }
    const { removal } = work.state;
    return removal === null || (await hostHas(work.db, removal))
      ? done(`${successor} is taken away`)
      : wait();
  },
};

/** Why it could not take over as far as is known; empty when it could. */
const notReady = async (work: Work<RebuildState>, standby: string): Promise<string[]> => {
  const report = await routerReport(work.db, standby);
  if (report === undefined) return ['it was taken away'];
  const reasons = notReported(standby, {
    ...report,
    hostGeneration: work.state.hostGeneration ?? 0,
    host: await hostReport(work.db, work.state.host),
  });
  if (reasons.length > 0) return reasons;
  try {
    const answer = await work.link.requestRouter(standby, {
      method: 'POST',
      path: '/v1/health',
      timeout: HEALTH_TIMEOUT,
    });
    const { items } = (answer.body ?? {}) as { items?: HealthCheck[] };
    return answer.status === 200 && Array.isArray(items)
      ? unhealthy(items)
      : [`its health checks answered with status ${answer.status}`];
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return [`its health checks did not answer: ${error.message}`];
  }
};
