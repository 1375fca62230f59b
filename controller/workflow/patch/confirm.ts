import { findRow } from '../../store/rows.ts';
import { routerReport } from '../replace/reports.ts';
import { done, failed, isOver, type Step, wait } from '../step.ts';
import { gone, late, refused } from './problems.ts';
import { machineReport } from './reports.ts';
import type { PatchState } from './state.ts';

/** Between two looks while it may not have reported again yet, ms. */
const LOOK_AGAIN = 1000;

/** The new daemon itself says that it is ready, with the newest document in force. */
export const confirm: Step<PatchState> = {
  name: 'confirm',

  run: async (work) => {
    const { router, host, bundle, until } = work.state;
    if ((await findRow(work.db, 'router', router)) === undefined) return failed(gone(router));
    const report = await routerReport(work.db, router);
    const machine = (await machineReport(work.db, host, router))?.machine;
    if (machine?.refusedBundle?.checksum === bundle.checksum)
      return failed(refused(work.state, machine.refusedBundle.message));
    const missing = unconfirmed(report, bundle.checksum);
    if (missing === null) {
      const record = work.state.steps.findLast(({ name }) => name === 'deliver');
      return done(
        `${router} is ready with ${bundle.version} and generation ${report?.generation}, ${work.now() - (record?.startedAt ?? work.now())} ms after it was asked to`,
      );
    }
    if (until !== null && isOver(work, until)) return failed(late(work.state, missing));
    return wait(until === null ? undefined : Math.max(until, work.now() + LOOK_AGAIN));
  },

  undo: async () => done(),
};

const unconfirmed = (report: Awaited<ReturnType<typeof routerReport>>, checksum: string): string | null => {
  const status = report?.status ?? null;
  if (report === undefined || status === null) return 'its daemon has not reported';
  // A report of the daemon before.
  if (status.bundle !== undefined && status.bundle.checksum !== checksum)
    return 'the new daemon has not reported yet';
  if (status.appliedGeneration < report.generation)
    return `it has generation ${status.appliedGeneration} of ${report.generation} in force`;
  const ready = status.conditions.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True') return null;
  return ready === undefined ? 'it does not say that it is ready' : ready.message || ready.reason;
};
