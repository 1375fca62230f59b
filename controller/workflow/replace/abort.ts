import type { Problem } from 'documents';
import { advanceOperation, startOperation } from '../../store/operations.ts';
import type { Trx } from '../../store/transaction.ts';
import { changeWorkflow, claimant, type WorkflowRow } from '../../store/workflows.ts';
import { ABORTED } from '../engine.ts';
import { notAbortable, takeBack } from '../take-back.ts';
import { replaceClaim } from './begin.ts';
import { beginForward } from './forward.ts';
import type { ReplaceState } from './state.ts';

/**
 * Has a replacement taken back, from any step. Returns the operation that ends when the old router serves again; where the
 * two cannot change places any more and it `mayGoForward`, when a third one serves that runs what the old one was to run.
 * @throws {Refusal} 409 when it has ended, has nothing to go back to, or its successor is being replaced itself.
 */
export const abortReplacement = async (
  trx: Trx,
  row: WorkflowRow,
  { mayGoForward = false }: { readonly mayGoForward?: boolean } = {},
): Promise<string> => {
  const state = JSON.parse(row.state) as ReplaceState;
  if (row.status === 'aborting' || state.forward !== null) return row.operation_id;
  if (row.status !== 'running')
    throw notAbortable(
      `The workflow ${row.id} has ended: it ${row.status}`,
      'Replace the router that serves now, if it is not to stay.',
    );
  if (state.rescue !== null)
    throw notAbortable(
      `The router ${state.router} is replaced without its help: ${state.rescue}`,
      `Let it go on: there is nothing to go back to. "selvage workflow show ${row.id}" says how far it is.`,
    );
  const claim = replaceClaim(state.network);
  if (state.drain !== null) {
    const other = await claimant(trx, claim);
    if (other !== undefined && other.id !== row.id)
      throw notAbortable(
        `The successor ${state.successor} is being replaced itself, by ${other.id}`,
        `Abort ${other.id} first.`,
      );
    const obstacle = await obstacleOf(trx, state);
    if (obstacle !== null) {
      if (!mayGoForward) throw noWayBack(state, obstacle);
      return goForward(trx, row, state, obstacle);
    }
  }
  if (row.claim === null) await changeWorkflow(trx, row.id, { claim });
  return takeBack(trx, row, {
    message: `The replacement of ${state.router} is taken back from its step ${row.step}`,
    hint: `${state.router} serves as before.`,
  });
};

const noWayBack = ({ successor }: ReplaceState, why: string) =>
  notAbortable(why, `Replace ${successor} instead: that builds a fresh router, without losing a packet.`);

/** Why the two cannot change places in the chain after the hand-over; null: they can. */
const obstacleOf = async (trx: Trx, state: ReplaceState): Promise<string | null> => {
  if (state.retirement !== null && (state.release !== null || state.retirement.removal !== null))
    return `${state.router} is being taken away already`;
  const others = await trx
    .selectFrom('router')
    .select('id')
    .where('network_id', '=', state.network)
    .where('id', 'not in', [state.router, state.successor ?? state.router])
    .where('role', '!=', 'standby')
    .orderBy('ordinal')
    .execute();
  return others.length === 0
    ? null
    : `${others.map(({ id }) => id).join(', ')} still drains behind ${state.router}`;
};

/** At once where the successor has all it takes to be replaced, else as soon as it has. */
const goForward = async (
  trx: Trx,
  row: WorkflowRow,
  state: ReplaceState,
  obstacle: string,
): Promise<string> => {
  if (state.previousBundle === null)
    throw noWayBack(
      state,
      `${obstacle}, and what it ran was never uploaded, so no other router can be given it`,
    );
  const operation = (await startOperation(trx, {
    account: row.account_id,
    type: `${row.type}-abort`,
    resource: row.id,
    waitsFor: [{ workflow: row.id }],
    message: `${obstacle}: a fresh router with the bundle of ${state.router} takes the place of ${state.successor} instead`,
  })) as string;
  if (row.claim !== replaceClaim(state.network)) {
    await beginForward(trx, state, { workflow: row.id, operation });
    return operation;
  }
  const problem: Problem = {
    pointer: '',
    code: ABORTED,
    message: 'It was aborted on request',
    hint: `"selvage operation show ${operation}" says how far that is.`,
  };
  await advanceOperation(trx, row.operation_id, { state: 'failed', message: problem.message, problem });
  state.forward = { operation: row.operation_id };
  await changeWorkflow(trx, row.id, { state: JSON.stringify(state), operation_id: operation }, true);
  return operation;
};
