import { removeRouter } from '../../store/router-chain.ts';
import { findRow } from '../../store/rows.ts';
import { hostHas } from '../replace/reports.ts';
import { done, type Step, wait } from '../step.ts';
import type { RebuildState } from './state.ts';

/** The standby before it goes: nothing was ever sent to it. */
export const remove: Step<RebuildState> = {
  name: 'remove',

  run: async (work) => {
    const { router } = work.state;
    if (router === null) return done();
    if (work.state.removal === null) {
      const row = await findRow(work.db, 'router', router);
      if (row?.role !== 'standby') return done();
      await work.change(async (trx, state) => {
        // Read again: it may have taken over since, and then it is no longer named.
        if (state.router !== null) state.removal = await removeRouter(trx, state.router);
      });
    }
    const { removal } = work.state;
    return removal === null || (await hostHas(work.db, removal)) ? done(`${router} is taken away`) : wait();
  },

  // The API refuses to take back what is gone.
  undo: async () => done(),
};
