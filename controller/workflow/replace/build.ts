import type { HealthCheck, Problem } from 'documents';
import { AgentError } from '../../deliver/agent-error.ts';
import { notReported, unhealthy } from '../../model/readiness.ts';
import { addSuccessor, removeRouter } from '../../store/router-chain.ts';
import { findRow, getRow } from '../../store/rows.ts';
import { done, failed, isOver, type Outcome, type Step, wait, type Work } from '../step.ts';
import { hostHas, hostReport, routerReport } from './reports.ts';
import { retire } from './retirement.ts';
import type { ReplaceState } from './state.ts';

/** Between two questions for its health while a successor is not ready, ms. */
const ASK_EVERY = 500;
const HEALTH_TIMEOUT = 15_000;

/**
 * The successor comes up beside the old router, with the same document, and has to prove that it could serve: its
 * document in force, `Ready`, and its health checks run now. One that does not within the limit never gets traffic.
 */
export const build: Step<ReplaceState> = {
  name: 'build',

  run: async (work) => {
    if (work.state.successor === null)
      await work.change(async (trx, state) => {
        state.successor = await addSuccessor(trx, state.router, state.bundle);
        state.readyBy = work.now() + state.readyWithin;
        state.hostGeneration = (await getRow(trx, 'host', state.host)).generation;
        await work.tell(
          trx,
          `build: router ${state.successor} comes up on ${state.host} beside ${state.router}`,
        );
      });
    const { successor, readyBy } = work.state as { successor: string; readyBy: number };
    const verdict = await ready(work, successor);
    if (verdict.reasons.length === 0) {
      const record = work.state.steps.findLast(({ name }) => name === 'build');
      return done(
        `${successor} is ready after ${work.now() - (record?.startedAt ?? 0)} ms: ${verdict.passed} health checks passed`,
      );
    }
    if (!isOver(work, readyBy)) return wait(work.now() + ASK_EVERY);
    return failed(notReady(successor, work.state, verdict.reasons));
  },

  undo: async (work) => {
    const { successor } = work.state;
    if (successor === null) return done();
    const row = await findRow(work.db, 'router', successor);
    // It had traffic: it goes like any router that has handed over.
    if (row?.role === 'draining' && work.state.handBack !== null)
      return retire(work, { router: successor, since: work.state.handBack.since });
    return discard(work, successor);
  },
};

/** Takes away a successor that never had traffic, or none any more. */
const discard = async (work: Work<ReplaceState>, successor: string): Promise<Outcome> => {
  if (work.state.retirement?.removal === undefined || work.state.retirement?.removal === null)
    await work.change(async (trx, state) => {
      const removal = await removeRouter(trx, successor);
      state.retirement = {
        router: successor,
        since: work.now(),
        copy: null,
        sessions: null,
        removal,
      };
    });
  const { removal } = work.state.retirement as { removal: { host: string; generation: number } | null };
  return removal === null || (await hostHas(work.db, removal))
    ? done(`${successor} is taken away, ${work.state.router} serves as before`)
    : wait();
};

interface Verdict {
  readonly reasons: readonly string[];
  readonly passed: number;
}

const ready = async (work: Work<ReplaceState>, successor: string): Promise<Verdict> => {
  const report = await routerReport(work.db, successor);
  if (report === undefined) return { reasons: ['it was taken away'], passed: 0 };
  const reasons = notReported(successor, {
    ...report,
    hostGeneration: work.state.hostGeneration ?? 0,
    host: await hostReport(work.db, work.state.host),
  });
  if (reasons.length > 0) return { reasons, passed: 0 };
  try {
    const answer = await work.link.requestRouter(successor, {
      method: 'POST',
      path: '/v1/health',
      timeout: HEALTH_TIMEOUT,
    });
    const { items } = (answer.body ?? {}) as { items?: HealthCheck[] };
    if (answer.status !== 200 || !Array.isArray(items))
      return { reasons: [`its health checks answered with status ${answer.status}`], passed: 0 };
    return {
      reasons: unhealthy(items),
      passed: items.filter(({ status }) => status === 'pass').length,
    };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return { reasons: [`its health checks did not answer: ${error.message}`], passed: 0 };
  }
};

const notReady = (
  successor: string,
  { router, readyWithin }: Readonly<ReplaceState>,
  reasons: readonly string[],
): Problem => ({
  pointer: '',
  code: 'successor-not-ready',
  message: `The successor ${successor} was not ready within ${readyWithin / 1000} s: ${reasons.join('; ')}`,
  hint: `${router} serves as before. Mend the cause and replace it again; "selvage events" says what happened meanwhile.`,
});
