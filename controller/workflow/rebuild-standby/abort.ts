import type { Trx } from '../../store/transaction.ts';
import type { WorkflowRow } from '../../store/workflows.ts';
import { notAbortable, takeBack } from '../take-back.ts';
import type { RebuildState } from './state.ts';

/**
 * Has the building of a standby taken back. Returns the operation that ends when the new one is gone.
 * @throws {Refusal} 409 when it has ended, or the standby before is on its way out.
 */
export const abortRebuild = async (trx: Trx, row: WorkflowRow): Promise<string> => {
  const state = JSON.parse(row.state) as RebuildState;
  if (row.status === 'aborting') return row.operation_id;
  if (row.status !== 'running')
    throw notAbortable(
      `The workflow ${row.id} has ended: it ${row.status}`,
      'Replace the standby that is there now.',
    );
  if (state.removal !== null)
    throw notAbortable(
      `The standby ${state.router} is being taken away already`,
      `Replace ${state.successor}, if it is not to stay.`,
    );
  return takeBack(trx, row, {
    message: `The building of a standby is taken back from its step ${row.step}`,
    hint: 'The active router serves as before.',
  });
};
