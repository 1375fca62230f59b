import { AgentError } from '../../deliver/agent-error.ts';
import { done, failed, type Step } from '../step.ts';
import { copyState, describeCopied } from './copy-state.ts';
import { copyRescued, rescueIfDead } from './rescue.ts';
import { type ReplaceState, successorOf } from './state.ts';

/** How long a copy may fail before the replacement is given up, ms: a daemon that starts again needs some. */
const REFUSED_FOR = 60_000;

/**
 * The successor learns connections, neighbours and leases while the old router still serves. Correct hand-over does not
 * hang on the connections, which the old one keeps; it does on the neighbours, which a standby cannot learn by itself.
 */
export const precopy: Step<ReplaceState> = {
  name: 'precopy',

  run: async (work) => {
    const { host, router } = work.state;
    const outcome = await rescueIfDead(work);
    if (outcome !== null) return outcome;
    if (work.state.rescue !== null) return done((await copyRescued(work)) ?? 'nothing can be copied');
    try {
      const copied = await copyState(work.link, host, router, successorOf(work.state));
      await work.change(async (_trx, state) => {
        state.copied = copied;
      });
      return done(describeCopied(copied));
    } catch (error) {
      const begun = work.state.steps.findLast(({ name }) => name === 'precopy')?.startedAt ?? work.now();
      const refused = error instanceof AgentError && error.code !== 'HOST_NOT_CONNECTED';
      if (!refused || work.now() < begun + REFUSED_FOR) throw error;
      return failed({
        pointer: '',
        code: 'copy-refused',
        message: `State could not be copied from ${router} to ${work.state.successor}: ${error.message}`,
        hint: `${router} serves as before. See the agent's log on ${host}, and replace it again.`,
      });
    }
  },

  undo: async () => done(),
};
