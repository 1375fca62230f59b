/** Rows of workflows: begun, moved on, ended. Every change raises the version and is told to the engine. */
import type { Problem } from 'documents';
import type { Selectable } from 'kysely';
import { newId } from './id.ts';
import { advanceOperation, startOperation } from './operations.ts';
import type { WorkflowTable } from './schema.ts';
import { type Db, pendingOf, type Trx } from './transaction.ts';

export type WorkflowRow = Selectable<WorkflowTable>;

export interface NewWorkflow {
  readonly account: string;
  readonly type: string;
  readonly subject: string;
  /** No second one with the same claim may begin while this one holds it. */
  readonly claim: string;
  readonly step: string;
  readonly state: object;
  /** Id of what the operation is about. */
  readonly resource: string;
  /** First step of the operation. */
  readonly message: string;
  /** Id of a running operation that tells of it, too; left out: one is begun. */
  readonly operation?: string;
}

/** Begins a workflow, and the operation that tells of it unless there is one. */
export const beginWorkflow = async (trx: Trx, workflow: NewWorkflow): Promise<WorkflowRow> => {
  const { now, workflows } = pendingOf(trx);
  const id = newId('wf');
  const { operation: given, message } = workflow;
  if (given !== undefined) await advanceOperation(trx, given, { message });
  const operation =
    given ??
    (await startOperation(trx, {
      account: workflow.account,
      type: workflow.type,
      resource: workflow.resource,
      waitsFor: [{ workflow: id }],
      message,
    }));
  workflows.add(id);
  return trx
    .insertInto('workflow')
    .values({
      id,
      created_at: now,
      account_id: workflow.account,
      type: workflow.type,
      subject: workflow.subject,
      claim: workflow.claim,
      step: workflow.step,
      status: 'running',
      state: JSON.stringify(workflow.state),
      problem: null,
      updated_at: now,
      next_attempt_at: now,
      ended_at: null,
      operation_id: operation as string,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
};

/** The workflow that holds a claim, if any. */
export const claimant = (db: Db, claim: string): Promise<WorkflowRow | undefined> =>
  db.selectFrom('workflow').selectAll().where('claim', '=', claim).executeTakeFirst();

/** Workflows on these subjects that have not ended. */
export const openWorkflows = async (db: Db, subjects: readonly string[]): Promise<WorkflowRow[]> =>
  subjects.length === 0
    ? []
    : db
        .selectFrom('workflow')
        .selectAll()
        .where('subject', 'in', [...new Set(subjects)])
        .where('status', 'in', ['running', 'aborting'])
        .orderBy('created_at')
        .orderBy('id')
        .execute();

/** A workflow that has not ended and keeps this id in its state, if any. */
export const workflowWith = async (db: Db, id: string): Promise<string | undefined> =>
  (
    await db
      .selectFrom('workflow')
      .select('id')
      .where('status', 'in', ['running', 'aborting'])
      .where('state', 'like', `%"${id}"%`)
      .executeTakeFirst()
  )?.id;

/** Changes a workflow. `wake` tells the engine of it. */
export const changeWorkflow = async (
  trx: Trx,
  id: string,
  values: Partial<
    Pick<
      WorkflowRow,
      'claim' | 'step' | 'status' | 'state' | 'problem' | 'next_attempt_at' | 'ended_at' | 'operation_id'
    >
  >,
  wake = false,
): Promise<void> => {
  const { now, workflows } = pendingOf(trx);
  await trx
    .updateTable('workflow')
    .set((eb) => ({ ...values, updated_at: now, version: eb('version', '+', 1) }))
    .where('id', '=', id)
    .execute();
  if (wake) workflows.add(id);
};

/** Ends every workflow (of these types) on a subject that is going away, and what waits for them. */
export const endWorkflowsOf = async (
  trx: Trx,
  subject: string,
  why: string,
  types?: readonly string[],
): Promise<void> => {
  const { now } = pendingOf(trx);
  const problem: Problem = {
    pointer: '',
    code: 'resource-gone',
    message: why,
    hint: 'Nothing is left to do. If it was not you who removed it, look at its events.',
  };
  for (const row of await openWorkflows(trx, [subject])) {
    if (types?.includes(row.type) === false) continue;
    await changeWorkflow(
      trx,
      row.id,
      {
        status: 'aborted',
        claim: null,
        problem: JSON.stringify(problem),
        next_attempt_at: null,
        ended_at: now,
      },
      true,
    );
    await advanceOperation(trx, row.operation_id, { state: 'failed', message: why, problem });
  }
};
