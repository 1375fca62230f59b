import type { Problem } from 'documents';
import { Refusal } from '../model/refusal.ts';
import { advanceOperation, startOperation } from '../store/operations.ts';
import type { Trx } from '../store/transaction.ts';
import { changeWorkflow, type WorkflowRow } from '../store/workflows.ts';
import { ABORTED } from './engine.ts';

/** Why a workflow cannot be taken back, and what to do instead. */
export const notAbortable = (message: string, hint: string): Refusal =>
  new Refusal(409, 'conflict', message, [{ pointer: '', code: 'not-abortable', message, hint }]);

/**
 * Has a running workflow taken back because somebody asked for it: its operation fails, and the one returned ends when
 * everything is undone. `message`: first step of that one; `hint`: how things are then;
 * `resource`: what it is said to be about, the workflow if not given.
 */
export const takeBack = async (
  trx: Trx,
  row: WorkflowRow,
  given: { readonly message: string; readonly hint: string; readonly resource?: string },
): Promise<string> => {
  const { message, hint, resource = row.id } = given;
  const problem: Problem = { pointer: '', code: ABORTED, message: 'It was aborted on request', hint };
  await advanceOperation(trx, row.operation_id, { state: 'failed', message: problem.message, problem });
  const operation = (await startOperation(trx, {
    account: row.account_id,
    type: `${row.type}-abort`,
    resource,
    waitsFor: [{ workflow: row.id }],
    message,
  })) as string;
  await changeWorkflow(
    trx,
    row.id,
    { status: 'aborting', operation_id: operation, problem: JSON.stringify(problem), next_attempt_at: null },
    true,
  );
  return operation;
};
