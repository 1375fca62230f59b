import type { Trx } from '../../store/transaction.ts';
import type { WorkflowRow } from '../../store/workflows.ts';
import { notAbortable, takeBack } from '../take-back.ts';
import type { PatchState } from './state.ts';

/**
 * Has a patch taken back, from any step. Returns the operation that ends when the router runs what it ran before.
 * @throws {Refusal} 409 when it has ended.
 */
export const abortPatch = async (trx: Trx, row: WorkflowRow): Promise<string> => {
  if (row.status === 'aborting') return row.operation_id;
  const { router } = JSON.parse(row.state) as PatchState;
  if (row.status !== 'running')
    throw notAbortable(
      `The workflow ${row.id} has ended: it ${row.status}`,
      `Patch it to the bundle it is to run: selvage router patch ${router} --bundle ID.`,
    );
  return takeBack(trx, row, {
    message: `The patch of ${router} is taken back from its step ${row.step}`,
    hint: `${router} runs what it ran before.`,
  });
};
