import type { Problem } from 'documents';
import { Refusal } from '../../model/refusal.ts';
import { advanceOperation, startOperation } from '../../store/operations.ts';
import type { Trx } from '../../store/transaction.ts';
import { changeWorkflow, type WorkflowRow } from '../../store/workflows.ts';
import { ABORTED } from '../engine.ts';
import type { RebuildState } from './state.ts';

const refuse = (message: string, hint: string): Refusal =>
  new Refusal(409, 'conflict', message, [{ pointer: '', code: 'not-abortable', message, hint }]);

/**
 * Has the building of a standby taken back. Returns the operation that ends when the new one is gone.
 * @throws {Refusal} 409 when it has ended, or the standby before is on its way out.
 */
export const abortRebuild = async (trx: Trx, row: WorkflowRow): Promise<string> => {
  const state = JSON.parse(row.state) as RebuildState;
  if (row.status === 'aborting') return row.operation_id;
  if (row.status !== 'running')
    throw refuse(
      `The workflow ${row.id} has ended: it ${row.status}`,
      'Replace the standby that is there now.',
    );
  if (state.removal !== null)
    throw refuse(
      `The standby ${state.router} is being taken away already`,
      `Replace ${state.successor}, if it is not to stay.`,
    );
  const problem: Problem = {
    pointer: '',
    code: ABORTED,
    message: 'It was aborted on request',
    hint: 'The active router serves as before.',
  };
  await advanceOperation(trx, row.operation_id, { state: 'failed', message: problem.message, problem });
  const operation = (await startOperation(trx, {
    account: row.account_id,
    type: `${row.type}-abort`,
    resource: row.id,
    waitsFor: [{ workflow: row.id }],
    message: `The building of a standby is taken back from its step ${row.step}`,
  })) as string;
  await changeWorkflow(
    trx,
    row.id,
    { status: 'aborting', operation_id: operation, problem: JSON.stringify(problem), next_attempt_at: null },
    true,
  );
  return operation;
};
