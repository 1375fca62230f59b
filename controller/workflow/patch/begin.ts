import type { Problem } from 'documents';
import { hostState } from '../../model/host-state.ts';
import { Refusal } from '../../model/refusal.ts';
import { recordEvent } from '../../store/events.ts';
import { getRow } from '../../store/rows.ts';
import { pendingOf, type Trx } from '../../store/transaction.ts';
import { beginWorkflow, claimant, type WorkflowRow } from '../../store/workflows.ts';
import { replaceClaim } from '../replace/begin.ts';
import { newPatchState, type PatchState } from './state.ts';

/** How long a host may take until a router runs the new bundle, its fetching included, seconds. */
export const PATCH_WITHIN = 90;

/** What a patch of a router holds until it has ended. */
export const patchClaim = (router: string): string => `router.patch ${router}`;

export interface PatchRequest {
  readonly router: string;
  /** Id of the bundle. */
  readonly bundle: string;
}

/**
 * Begins to have a router run another bundle; a patch to the same that is under way is joined.
 * @throws {Refusal} 409 when it cannot be patched now.
 */
export const beginPatch = async (trx: Trx, request: PatchRequest): Promise<WorkflowRow> => {
  const router = await getRow(trx, 'router', request.router);
  const underWay = await claimant(trx, patchClaim(router.id));
  if (underWay?.status === 'running' && bundleOf(underWay) === request.bundle) return underWay;
  const network = await getRow(trx, 'network', router.network_id);
  const host = await getRow(trx, 'host', router.host_id);
  const bundle = await getRow(trx, 'router_bundle', request.bundle);
  const replacement = await claimant(trx, replaceClaim(network.id));
  const problems: Problem[] = [];
  const add = (code: string, message: string, hint: string): void => {
    problems.push({ pointer: '', code, message, hint });
  };
  if (underWay !== undefined)
    add(
      'being-patched',
      `The router ${router.id} is being patched by ${underWay.id}`,
      `Wait for it, or take it back: selvage workflow abort ${underWay.id}.`,
    );
  if (replacement !== undefined && router.role !== 'standby')
    add(
      'being-replaced',
      `The router ${router.id} is being replaced by ${replacement.id}`,
      'Wait for it: the router that comes has the default bundle.',
    );
  else if (router.role === 'draining' || router.role === 'successor')
    add(
      'not-serving',
      `The router ${router.id} is ${router.role}`,
      'Patch the router that serves its network.',
    );
  if (hostState(host.last_seen_at, pendingOf(trx).now) !== 'up')
    add('host-down', `The host ${host.name} is not heard of`, 'Start its agent first.');
  if (problems.length > 0) throw new Refusal(409, 'conflict', (problems[0] as Problem).message, problems);
  const message = `The router ${router.id} of the network ${network.name} is to run the bundle ${bundle.bundle_version}`;
  const workflow = await beginWorkflow(trx, {
    account: network.account_id,
    type: 'router.patch',
    subject: network.id,
    claim: patchClaim(router.id),
    step: 'deliver',
    state: newPatchState({
      router: router.id,
      host: router.host_id,
      network: network.id,
      bundle: { id: bundle.id, version: bundle.bundle_version, checksum: bundle.checksum },
      within: PATCH_WITHIN * 1000,
    }),
    resource: router.id,
    message,
  });
  await recordEvent(trx, {
    account: network.account_id,
    type: 'router.patch-begun',
    resource: router.id,
    message: `${message} (${workflow.id})`,
  });
  return workflow;
};

const bundleOf = (row: WorkflowRow): string => (JSON.parse(row.state) as PatchState).bundle.id;
