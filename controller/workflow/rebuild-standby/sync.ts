import { activeOf } from '../../store/standby.ts';
import { hostReport } from '../replace/reports.ts';
import { done, failed, isOver, type Step, wait } from '../step.ts';
import type { RebuildState } from './state.ts';

/** Between two looks while its host may not have reported again yet, ms. */
const ASK_AGAIN = 1000;

/** The new standby knows every connection of the active router, whichever that is by now; its host says so. */
export const sync: Step<RebuildState> = {
  name: 'sync',

  run: async (work) => {
    const { successor, network, host } = work.state;
    if (work.state.syncedBy === null)
      await work.change(async (_trx, state) => {
        state.syncedBy = work.now() + state.readyWithin;
      });
    const active = await activeOf(work.db, network);
    const report = await hostReport(work.db, host);
    const pair = report?.standbys?.find(({ standby }) => standby === successor);
    if (pair?.state === 'synced' && pair.router === active?.id)
      return done(`${successor} knows the connections of ${active.id}, and follows them`);
    const { syncedBy } = work.state as { syncedBy: number };
    if (!isOver(work, syncedBy)) return wait(Math.max(syncedBy, work.now() + ASK_AGAIN));
    const why =
      pair === undefined
        ? 'its host does not say how far it is'
        : pair.router !== active?.id
          ? `it still follows ${pair.router}`
          : `it is ${pair.state}${pair.message === '' ? '' : `: ${pair.message}`}`;
    return failed({
      pointer: '',
      code: 'standby-not-synced',
      message: `The standby ${successor} did not know what ${active?.id} knows within ${work.state.readyWithin / 1000} s: ${why}`,
      hint: 'The active router serves as before. Another standby is built by itself after a while; see the log of the agent on its host.',
    });
  },

  undo: async () => done(),
};
