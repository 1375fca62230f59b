import { moveTraffic } from '../../store/router-chain.ts';
import { getRow } from '../../store/rows.ts';
import { done, type Step, wait } from '../step.ts';
import { hostHas } from './reports.ts';
import { forwardIfDead } from './rescue.ts';
import { type ReplaceState, successorOf } from './state.ts';

/**
 * The successor becomes the active router: its host points the network's MACs and flooding to its ports. When that
 * happens does not matter for any packet; until then they take the way over the old one.
 */
export const flip: Step<ReplaceState> = {
  name: 'flip',

  run: async (work) => {
    const successor = successorOf(work.state);
    if (work.state.flip === null)
      await work.change(async (trx, state) => {
        state.flip = await moveTraffic(trx, { router: state.router, becomes: 'draining' }, successor);
      });
    return work.state.flip !== null && (await hostHas(work.db, work.state.flip))
      ? done(`frames for the network come to ${successor}`)
      : wait();
  },

  undo: async (work) => {
    const { flip: flipped, successor, router } = work.state;
    if (flipped === null || successor === null) return done();
    if (work.state.flipBack === null) {
      const outcome = await forwardIfDead(work);
      if (outcome !== null) return outcome;
      await work.change(async (trx, state) => {
        const { role } = await getRow(trx, 'router', successor);
        state.flipBack =
          role === 'active'
            ? await moveTraffic(trx, { router: successor, becomes: 'successor' }, router)
            : flipped;
      });
    }
    return work.state.flipBack !== null && (await hostHas(work.db, work.state.flipBack))
      ? done(`frames for the network come to ${router} again`)
      : wait();
  },
};
