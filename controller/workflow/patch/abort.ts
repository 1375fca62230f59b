import type { Problem } from 'documents';
import { Refusal } from '../../model/refusal.ts';
import { advanceOperation, startOperation } from '../../store/operations.ts';
import type { Trx } from '../../store/transaction.ts';
import { changeWorkflow, type WorkflowRow } from '../../store/workflows.ts';
import { ABORTED } from '../engine.ts';
import type { PatchState } from './state.ts';

/**
 * Has a patch taken back, from any step. Returns the operation that ends when the router runs what it ran before.
 * @throws {Refusal} 409 when it has ended.
 */
export const abortPatch = async (trx: Trx, row: WorkflowRow): Promise<string> => {
  if (row.status === 'aborting') return row.operation_id;
  const { router } = JSON.parse(row.state) as PatchState;
  if (row.status !== 'running') {
    const message = `The workflow ${row.id} has ended: it ${row.status}`;
    throw new Refusal(409, 'conflict', message, [
      {
        pointer: '',
        code: 'not-abortable',
        message,
        hint: `Patch it to the bundle it is to run: selvage router patch ${router} --bundle ID.`,
      },
    ]);
  }
  const problem: Problem = {
    pointer: '',
    code: ABORTED,
    message: 'It was aborted on request',
    hint: `${router} runs what it ran before.`,
  };
  await advanceOperation(trx, row.operation_id, { state: 'failed', message: problem.message, problem });
  const operation = (await startOperation(trx, {
    account: row.account_id,
    type: `${row.type}-abort`,
    resource: row.id,
    waitsFor: [{ workflow: row.id }],
    message: `The patch of ${router} is taken back from its step ${row.step}`,
  })) as string;
  await changeWorkflow(
    trx,
    row.id,
    { status: 'aborting', operation_id: operation, problem: JSON.stringify(problem), next_attempt_at: null },
    true,
  );
  return operation;
};
