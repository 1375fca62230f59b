import { findRow } from '../../store/rows.ts';
import { done, failed, isOver, type Step, wait } from '../step.ts';
import { gone, late, refused } from './problems.ts';
import { machineReport } from './reports.ts';
import type { PatchState } from './state.ts';

/** Between two looks while its host may not have reported again yet, ms. */
const LOOK_AGAIN = 1000;

/**
 * The host fetches and checks the bundle, has the new daemon prove itself beside the one that runs, and lets it take its
 * place; one that fails is taken back there, by itself.
 */
export const exchange: Step<PatchState> = {
  name: 'switch',

  run: async (work) => {
    const { router, host, bundle, delivered, until } = work.state;
    if ((await findRow(work.db, 'router', router)) === undefined) return failed(gone(router));
    const report = await machineReport(work.db, host, router);
    const isNew = report !== null && report.generation >= (delivered?.generation ?? 0);
    const machine = isNew ? report.machine : undefined;
    if (machine?.refusedBundle?.checksum === bundle.checksum)
      return failed(refused(work.state, machine.refusedBundle.message));
    if (machine?.bundle?.checksum === bundle.checksum) return done(`${router} runs ${bundle.version}`);
    if (until !== null && isOver(work, until))
      return failed(
        late(work.state, isNew ? (machine?.message ?? 'its machine is gone') : `${host} was not heard of`),
      );
    return wait(until === null ? undefined : Math.max(until, work.now() + LOOK_AGAIN));
  },

  undo: async () => done(),
};
