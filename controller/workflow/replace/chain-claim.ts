/**
 * Who may change the chain of a network's routers just now: one workflow at a time, so that each change finds the neighbours
 * it began with. Kept with the workflow (claim, or state while it holds the claim of the replacement itself), in the same
 * transaction as the change that it is for.
 */
import type { Trx } from '../../store/transaction.ts';
import { changeWorkflow, claimant } from '../../store/workflows.ts';
import type { Work } from '../step.ts';
import { replaceClaim } from './begin.ts';
import type { ReplaceState } from './state.ts';

export const chainClaim = (network: string): string => `router.chain ${network}`;

/** Whether the workflow has the chain for itself from now on, or had it already. */
export const takeChain = async (
  trx: Trx,
  { row: { id } }: Pick<Work<ReplaceState>, 'row'>,
  state: ReplaceState,
): Promise<boolean> => {
  const chain = await claimant(trx, chainClaim(state.network));
  if (chain !== undefined && chain.id !== id) return false;
  const replacing = await claimant(trx, replaceClaim(state.network));
  if (replacing !== undefined && replacing.id !== id && holdsChain(replacing.state)) return false;
  if (chain === undefined && replacing?.id !== id)
    await changeWorkflow(trx, id, { claim: chainClaim(state.network) });
  state.holdsChain = true;
  return true;
};

/** Lets others change the chain. */
export const leaveChain = async (
  trx: Trx,
  { row: { id } }: Pick<Work<ReplaceState>, 'row'>,
  state: ReplaceState,
): Promise<void> => {
  if (!state.holdsChain) return;
  state.holdsChain = false;
  const chain = await claimant(trx, chainClaim(state.network));
  // Whoever waits for it asks again within a second.
  if (chain?.id === id) await changeWorkflow(trx, id, { claim: null });
};

const holdsChain = (state: string): boolean =>
  (JSON.parse(state) as Partial<ReplaceState>).holdsChain === true;
