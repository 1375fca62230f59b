import type { Problem } from 'documents';
import { hostState } from '../../model/host-state.ts';
import { Refusal } from '../../model/refusal.ts';
import { recordEvent } from '../../store/events.ts';
import { advanceOperation } from '../../store/operations.ts';
import { getRow } from '../../store/rows.ts';
import { pendingOf, type Trx } from '../../store/transaction.ts';
import {
  beginWorkflow,
  changeWorkflow,
  claimant,
  openWorkflows,
  type WorkflowRow,
} from '../../store/workflows.ts';
import { newReplaceState, type ReplaceState } from './state.ts';

/** How long the old router may keep sessions alive if the request does not say, seconds. */
export const DRAIN_DEADLINE = 600;
/** How long a successor may take to be ready if the request does not say, seconds. */
export const READY_WITHIN = 60;
/** More routers than this on one network at a time are not begun: each keeps memory, and a hop for old packets. */
const CHAIN = 16;

/** What a replacement of a router of the network holds until its traffic is on the new one. */
export const replaceClaim = (network: string): string => `router.replace ${network}`;

export interface ReplaceRequest {
  readonly router: string;
  /** Seconds; null: none. */
  readonly drainDeadline: number | null;
  /** Seconds. */
  readonly readyWithin: number;
  /** Id of the bundle that the successor is to run; null or left out: what routers are to run then. */
  readonly bundle?: string | null;
  /** Why, for the event; left out: nobody said. */
  readonly because?: string;
  /** Id of a running operation that tells of it; left out: one is begun. */
  readonly operation?: string;
}

/**
 * A second request for what is under way: the stricter deadline counts for both.
 * @throws {Refusal} 409 when it asks for another bundle, and the successor is made already.
 */
const join = async (trx: Trx, underWay: WorkflowRow, request: ReplaceRequest): Promise<WorkflowRow> => {
  const state = JSON.parse(underWay.state) as ReplaceState;
  const bundle = request.bundle ?? null;
  if (bundle !== null && bundle !== state.bundle) {
    if (state.successor !== null) {
      const message = `The router ${state.router} is being replaced by ${underWay.id}, with another bundle`;
      const hint = `Wait until it is done, or take it back: selvage workflow abort ${underWay.id}.`;
      throw new Refusal(409, 'conflict', message, [
        { pointer: '/bundle', code: 'other-bundle', message, hint },
      ]);
    }
    state.bundle = bundle;
  }
  const { drainDeadline } = request;
  if (drainDeadline !== null && (state.drainDeadline === null || drainDeadline < state.drainDeadline)) {
    state.drainDeadline = drainDeadline;
    await advanceOperation(trx, underWay.operation_id, {
      message: `It was asked for again: the old router goes ${drainDeadline} s after the hand-over at the latest`,
    });
  }
  const text = JSON.stringify(state);
  if (text !== underWay.state) await changeWorkflow(trx, underWay.id, { state: text }, true);
  return { ...underWay, state: text };
};

/**
 * Begins to replace a router; a replacement of its network that is under way is joined.
 * @throws {Refusal} 409 when it cannot be replaced now.
 */
export const beginReplacement = async (trx: Trx, request: ReplaceRequest): Promise<WorkflowRow> => {
  const router = await getRow(trx, 'router', request.router);
  const underWay = await claimant(trx, replaceClaim(router.network_id));
  if (underWay !== undefined && underWay.status === 'running') return join(trx, underWay, request);
  const network = await getRow(trx, 'network', router.network_id);
  const host = await getRow(trx, 'host', router.host_id);
  const routers = await trx
    .selectFrom('router')
    .select(['id', 'role'])
    .where('network_id', '=', network.id)
    .where('role', '!=', 'standby')
    .execute();
  const active = routers.find(({ role }) => role === 'active');
  const problems: Problem[] = [];
  const add = (code: string, message: string, hint: string): void => {
    problems.push({ pointer: '', code, message, hint });
  };
  if (underWay !== undefined)
    add(
      'being-aborted',
      `The replacement ${underWay.id} is being taken back`,
      `Wait for it: selvage workflow show ${underWay.id}.`,
    );
  else if (router.role !== 'active')
    add('not-active', `The router ${router.id} is ${router.role}`, `Replace ${active?.id}, which serves.`);
  if (network.state !== 'implemented')
    add(
      'not-implemented',
      `The network ${network.name} is ${network.state}`,
      'Wait until it is implemented: its router has to have served before it can hand over.',
    );
  const patch = (await openWorkflows(trx, [network.id])).find(
    ({ type, state }) =>
      type === 'router.patch' && (JSON.parse(state) as { readonly router: string }).router === router.id,
  );
  if (patch !== undefined)
    add(
      'being-patched',
      `The router ${router.id} is being patched by ${patch.id}`,
      `Wait for it, or take it back: selvage workflow abort ${patch.id}.`,
    );
  if (hostState(host.last_seen_at, pendingOf(trx).now) !== 'up')
    add('host-down', `The host ${host.name} is not heard of`, 'Start its agent first.');
  if (routers.length >= CHAIN)
    add(
      'too-many-routers',
      `${routers.length} routers of the network still have sessions`,
      'Wait until the oldest is gone; "selvage workflow list" says which sessions keep it.',
    );
  if (problems.length > 0) throw new Refusal(409, 'conflict', (problems[0] as Problem).message, problems);
  const workflow = await beginWorkflow(trx, {
    account: network.account_id,
    type: 'router.replace',
    subject: network.id,
    claim: replaceClaim(network.id),
    step: 'build',
    state: newReplaceState({
      router: router.id,
      host: router.host_id,
      network: network.id,
      drainDeadline: request.drainDeadline,
      readyWithin: request.readyWithin * 1000,
      bundle: request.bundle ?? null,
      previousBundle: router.bundle_id,
    }),
    resource: router.id,
    ...(request.operation === undefined ? {} : { operation: request.operation }),
    message: `The router ${router.id} of the network ${network.name} is to be replaced`,
  });
  await recordEvent(trx, {
    account: network.account_id,
    type: 'router.replace-begun',
    resource: router.id,
    message: `The router ${router.id} of the network ${network.name} is to be replaced (${workflow.id})${request.because === undefined ? '' : `: ${request.because}`}`,
  });
  return workflow;
};
