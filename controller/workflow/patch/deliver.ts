import { findRow, getRow } from '../../store/rows.ts';
import { done, failed, type Step, wait } from '../step.ts';
import { setBundle } from './bundle-of-router.ts';
import { gone } from './problems.ts';
import { machineReport } from './reports.ts';
import type { PatchState } from './state.ts';

/** The router's host is told which bundle it is to run. Taken back by naming the one before. */
export const deliver: Step<PatchState> = {
  name: 'deliver',

  run: async (work) => {
    const { router, bundle, within } = work.state;
    if (work.state.delivered === null) {
      if ((await findRow(work.db, 'router', router)) === undefined) return failed(gone(router));
      await work.change(async (trx, state) => {
        const row = await getRow(trx, 'router', router);
        const generation =
          row.bundle_id === bundle.id
            ? (await getRow(trx, 'host', state.host)).generation
            : await setBundle(trx, state, bundle.id);
        const ran = (await machineReport(trx, state.host, router))?.machine?.bundle?.checksum ?? null;
        state.delivered = { before: row.bundle_id, ran, generation };
        state.until = work.now() + within;
        await work.tell(trx, `deliver: the host ${state.host} is to have ${router} run ${bundle.version}`);
      });
    }
    return done(`the bundle ${bundle.version} (${bundle.checksum.slice(0, 12)}) is in the host's document`);
  },

  undo: async (work) => {
    const { router, host, bundle, delivered } = work.state;
    if (delivered === null || (await findRow(work.db, 'router', router)) === undefined) return done();
    if (work.state.takenBack === null)
      await work.change(async (trx, state) => {
        state.takenBack = await setBundle(trx, state, delivered.before);
      });
    const report = await machineReport(work.db, host, router);
    if (report === null || report.generation < (work.state.takenBack ?? 0)) return wait();
    // Its host goes back to the bundle before as it went to the new one; only when it has is nothing left of this.
    const { machine } = report;
    // A host may have come with the very same file, by no id.
    const asked = delivered.before === bundle.id || delivered.ran === bundle.checksum;
    if (machine !== undefined && !asked) {
      if (machine.refusedBundle?.checksum === bundle.checksum) return wait();
      if (machine.bundle?.checksum === bundle.checksum && machine.refusedBundle === undefined) return wait();
    }
    return done(`${router} runs ${machine?.bundle?.version ?? 'what it ran before'}`);
  },
};
