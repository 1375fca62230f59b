import { done, type Step } from '../step.ts';
import { retire as goOn } from './retirement.ts';
import type { ReplaceState } from './state.ts';

/** The old router goes when no session ends in it any more, or at its deadline. */
export const retire: Step<ReplaceState> = {
  name: 'retire',

  run: (work) => goOn(work, { router: work.state.router, since: work.state.drain?.at ?? work.now() }),

  undo: async (work) => {
    // What is not gone yet stays; the API refuses to take back what is.
    if (work.state.retirement !== null)
      await work.change(async (_trx, state) => {
        state.retirement = null;
      });
    return done();
  },
};
