/**
 * Taking a replacement back by going forward: a third router takes the successor's place, with the bundle of the old one. As
 * lossless as changing places, whatever is in the chain; and it needs nothing of the old router, which goes on to drain.
 */
import { Refusal } from '../../model/refusal.ts';
import { advanceOperation } from '../../store/operations.ts';
import type { Trx } from '../../store/transaction.ts';
import { changeWorkflow } from '../../store/workflows.ts';
import type { Work } from '../step.ts';
import { beginReplacement } from './begin.ts';
import type { ReplaceState } from './state.ts';

/** Begins it; `operation` tells of it from here on. @throws {Refusal} when the successor cannot be replaced now. */
export const beginForward = async (
  trx: Trx,
  { router, successor, previousBundle, drainDeadline, readyWithin }: ReplaceState,
  given: { readonly workflow: string; readonly operation: string },
): Promise<void> => {
  if (successor === null) throw new TypeError('There is no successor whose place could be taken');
  await beginReplacement(trx, {
    router: successor,
    drainDeadline,
    readyWithin: readyWithin / 1000,
    bundle: previousBundle,
    because: `${given.workflow} is taken back, with the bundle of ${router}`,
    operation: given.operation,
  });
};

/**
 * The traffic is on the successor: ends the operation and lets the next replacement begin, which is the one that takes this
 * one back if that was asked for meanwhile.
 */
export const releaseOrGoForward = async (
  trx: Trx,
  work: Work<ReplaceState>,
  state: ReplaceState,
): Promise<void> => {
  const { id, operation_id: operation } = work.row;
  if (state.forward === null) return work.release(trx);
  await changeWorkflow(trx, id, { claim: null, operation_id: state.forward.operation }, true);
  state.forward = null;
  try {
    await beginForward(trx, state, { workflow: id, operation });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const [problem] = error.problems;
    await advanceOperation(trx, operation, {
      state: 'failed',
      message: error.message,
      ...(problem === undefined ? {} : { problem }),
    });
  }
};
