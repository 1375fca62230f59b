/** Pausing, going on with, and aborting a run. */
import { Refusal } from '../../model/refusal.ts';
import { recordEvent } from '../../store/events.ts';
import { startOperation } from '../../store/operations.ts';
import { getRow } from '../../store/rows.ts';
import type { Trx } from '../../store/transaction.ts';
import { changeRun, type RunRow } from '../../store/upgrade-runs.ts';
import { changeWorkflow } from '../../store/workflows.ts';
import { takeBack } from '../take-back.ts';
import type { UpgradeState } from './state.ts';

const refuse = (code: string, message: string, hint: string): Refusal =>
  new Refusal(409, 'conflict', message, [{ pointer: '', code, message, hint }]);

const tell = (trx: Trx, run: RunRow, what: string): Promise<boolean> =>
  recordEvent(trx, {
    account: null,
    type: `upgrade-run.${what}`,
    resource: run.id,
    message: `The run ${run.id} was ${what}`,
  });

/** No further router is begun; those at work go on to their verdict. @throws {Refusal} 409 when it does not run. */
export const pauseRun = async (trx: Trx, run: RunRow): Promise<void> => {
  if (run.status === 'paused') return;
  if (run.status !== 'running')
    throw refuse(
      'not-running',
      `The run ${run.id} is ${run.status}`,
      'Only a run that is running can be paused.',
    );
  await changeRun(trx, run.id, 'paused');
  await changeWorkflow(trx, run.workflow_id, {}, true);
  await tell(trx, run, 'paused');
};

/**
 * Goes on with a run that was paused or has halted; routers that went wrong are left as they are. Returns the operation
 * that ends with it. @throws {Refusal} 409 when it is neither.
 */
export const resumeRun = async (trx: Trx, run: RunRow): Promise<string> => {
  if (run.status !== 'running' && run.status !== 'paused' && run.status !== 'halted')
    throw refuse(
      'not-held',
      `The run ${run.id} is ${run.status}`,
      'Only a run that is paused or halted can go on.',
    );
  const workflow = await getRow(trx, 'workflow', run.workflow_id);
  if (run.status === 'running') return workflow.operation_id;
  await changeRun(trx, run.id, 'running', null);
  // Its first operation ended when it halted.
  const operation =
    run.status === 'paused'
      ? workflow.operation_id
      : ((await startOperation(trx, {
          account: workflow.account_id,
          type: workflow.type,
          resource: run.id,
          waitsFor: [{ workflow: workflow.id }],
          message: 'It goes on with the routers that are left',
        })) as string);
  const { probes } = JSON.parse(workflow.state) as UpgradeState;
  // Held runs give their probes up, so it begins with them.
  const step = workflow.step === 'upgrade' && probes === null ? 'prepare' : workflow.step;
  await changeWorkflow(trx, workflow.id, { operation_id: operation, step, next_attempt_at: null }, true);
  await tell(trx, run, 'resumed');
  return operation;
};

/**
 * Ends a run: what is at work is taken back, what is done stays. Returns the operation that ends when nothing of it is
 * left. @throws {Refusal} 409 when it has ended.
 */
export const abortRun = async (trx: Trx, run: RunRow): Promise<string> => {
  const workflow = run.ended_at === null ? await getRow(trx, 'workflow', run.workflow_id) : null;
  if (workflow?.status === 'aborting') return workflow.operation_id;
  if (workflow?.status !== 'running')
    throw refuse(
      'not-abortable',
      `The run ${run.id} has ended: it ${run.status}`,
      'Nothing of it is left to end.',
    );
  const operation = await takeBack(trx, workflow, {
    message: `The run ${run.id} is ended`,
    hint: 'Routers that were upgraded before stay so; begin another run to bring them elsewhere.',
    resource: run.id,
  });
  await changeRun(trx, run.id, 'aborting');
  await tell(trx, run, 'aborted');
  return operation;
};
