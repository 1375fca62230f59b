import type { Problem } from 'documents';
import { hostState } from '../../model/host-state.ts';
import { Refusal } from '../../model/refusal.ts';
import { recordEvent } from '../../store/events.ts';
import { getRow } from '../../store/rows.ts';
import { activeOf } from '../../store/standby.ts';
import { pendingOf, type Trx } from '../../store/transaction.ts';
import { beginWorkflow, claimant, type WorkflowRow } from '../../store/workflows.ts';
import { newRebuildState } from './state.ts';

/** How long a standby may take to be ready, and as long again to be synced, if the request does not say, seconds. */
export const STANDBY_READY_WITHIN = 60;

/** What the rebuilding of a network's standby holds while it lasts. */
export const rebuildClaim = (network: string): string => `router.rebuild-standby ${network}`;

export interface RebuildRequest {
  readonly network: string;
  /** The standby that is to go once the new one is synced; null: there is none. */
  readonly router: string | null;
  /** A standby that is there already and has only to become ready; null: a new one is made. */
  readonly standby?: string | null;
  /** Seconds. */
  readonly readyWithin?: number;
  /** Why, for people: `it died`. */
  readonly reason: string;
}

/**
 * Begins to build a standby for a network; a workflow of this kind that is under way is joined.
 * @throws {Refusal} 409 when it cannot be built now.
 */
export const beginRebuild = async (trx: Trx, request: RebuildRequest): Promise<WorkflowRow> => {
  const underWay = await claimant(trx, rebuildClaim(request.network));
  if (underWay !== undefined && underWay.status === 'running') return underWay;
  const network = await getRow(trx, 'network', request.network);
  const active = await activeOf(trx, network.id);
  const problems: Problem[] = [];
  const add = (code: string, message: string, hint: string): void => {
    problems.push({ pointer: '', code, message, hint });
  };
  if (underWay !== undefined)
    add(
      'being-aborted',
      `The workflow ${underWay.id} is being taken back`,
      `Wait for it: selvage workflow show ${underWay.id}.`,
    );
  if (network.redundant !== 1)
    add(
      'not-redundant',
      `The network ${network.name} is to have no standby`,
      `Switch it on: selvage network update ${network.id} --redundant true.`,
    );
  if (active === undefined)
    add(
      'no-router',
      `The network ${network.name} has no router`,
      'Its first guest brings it one, and a standby.',
    );
  else {
    const host = await getRow(trx, 'host', active.host_id);
    if (hostState(host.last_seen_at, pendingOf(trx).now) === 'down')
      add('host-down', `The host ${host.name} is not heard of`, 'Start its agent first.');
  }
  if (problems.length > 0 || active === undefined)
    throw new Refusal(409, 'conflict', (problems[0] as Problem).message, problems);
  const message = `A standby for the router ${active.id} of the network ${network.name} is to be built: ${request.reason}`;
  const workflow = await beginWorkflow(trx, {
    account: network.account_id,
    type: 'router.rebuild-standby',
    subject: network.id,
    claim: rebuildClaim(network.id),
    step: 'build',
    state: newRebuildState({
      network: network.id,
      host: active.host_id,
      router: request.router,
      successor: request.standby ?? null,
      readyWithin: (request.readyWithin ?? STANDBY_READY_WITHIN) * 1000,
    }),
    resource: request.router ?? network.id,
    message,
  });
  await recordEvent(trx, {
    account: network.account_id,
    type: 'router.rebuild-standby-begun',
    resource: network.id,
    message: `${message} (${workflow.id})`,
  });
  return workflow;
};
