import type { Trx } from '../../store/transaction.ts';
import { changeWorkflow, claimant, type WorkflowRow } from '../../store/workflows.ts';
import { notAbortable, takeBack } from '../take-back.ts';
import { replaceClaim } from './begin.ts';
import type { ReplaceState } from './state.ts';

/**
 * Has a replacement taken back, from any step. Returns the operation that ends when the old router serves again.
 * @throws {Refusal} 409 when the old router is on its way out already, or others have come into the chain since.
 */
export const abortReplacement = async (trx: Trx, row: WorkflowRow): Promise<string> => {
  const state = JSON.parse(row.state) as ReplaceState;
  if (row.status === 'aborting') return row.operation_id;
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
  if (state.retirement !== null && (state.release !== null || state.retirement.removal !== null))
    throw notAbortable(
      `The router ${state.router} is being taken away already`,
      `Replace ${state.successor} instead: that builds a fresh router, without losing a packet.`,
    );
  const claim = replaceClaim(state.network);
  if (state.drain !== null) await checkAlone(trx, row, state);
  if (row.claim === null) await changeWorkflow(trx, row.id, { claim });
  return takeBack(trx, row, {
    message: `The replacement of ${state.router} is taken back from its step ${row.step}`,
    hint: `${state.router} serves as before.`,
  });
};

/** After the hand-over the two change places in the chain, which they can only while nobody else is in it. */
const checkAlone = async (trx: Trx, row: WorkflowRow, state: ReplaceState): Promise<void> => {
  const other = await claimant(trx, replaceClaim(state.network));
  if (other !== undefined && other.id !== row.id)
    throw notAbortable(
      `The successor ${state.successor} is being replaced itself, by ${other.id}`,
      `Abort ${other.id} first.`,
    );
  const others = await trx
    .selectFrom('router')
    .select('id')
    .where('network_id', '=', state.network)
    .where('id', 'not in', [state.router, state.successor ?? state.router])
    .where('role', '!=', 'standby')
    .orderBy('ordinal')
    .execute();
  if (others.length > 0)
    throw notAbortable(
      `The hand-over to ${state.successor} is done, and ${others.map(({ id }) => id).join(', ')} still drains behind ${state.router}`,
      `Replace ${state.successor} instead: that builds a fresh router, without losing a packet. Or wait until ${others[0]?.id} is gone.`,
    );
};
