/** The workflows a run begins for its routers, and how they are taken back. */
import { Refusal } from '../../model/refusal.ts';
import type { FoundRouter } from '../../store/router-candidates.ts';
import { findRow } from '../../store/rows.ts';
import type { Db, Trx } from '../../store/transaction.ts';
import type { RunOptions, RunRouter } from '../../store/upgrade-runs.ts';
import { claimant, openWorkflows, type WorkflowRow } from '../../store/workflows.ts';
import { abortPatch } from '../patch/abort.ts';
import { beginPatch } from '../patch/begin.ts';
import { abortRebuild } from '../rebuild-standby/abort.ts';
import { beginRebuild, rebuildClaim } from '../rebuild-standby/begin.ts';
import { abortReplacement } from '../replace/abort.ts';
import { beginReplacement, replaceClaim } from '../replace/begin.ts';
import { chainClaim } from '../replace/chain-claim.ts';

export interface Begun {
  readonly workflow: WorkflowRow;
  /** It was under way already: somebody else's. */
  readonly joined: boolean;
}

/**
 * Begins what brings a router to a bundle, or joins what somebody else is doing to it: whoever replaces it brings it up
 * to date, too.
 * @throws {Refusal} when it cannot be begun now.
 */
export const beginChild = async (
  trx: Trx,
  router: FoundRouter,
  options: Pick<RunOptions, 'drainDeadline' | 'readyWithin'>,
  method: 'patch' | 'replace',
  bundle: string | null,
): Promise<Begun> => {
  const claim = router.role === 'standby' ? rebuildClaim(router.network) : replaceClaim(router.network);
  const underWay = await claimant(trx, claim);
  if (underWay !== undefined && underWay.status === 'running') return { workflow: underWay, joined: true };
  const before = new Set((await openWorkflows(trx, [router.network])).map(({ id }) => id));
  const workflow = await begin(trx, router, options, method, bundle);
  return { workflow, joined: before.has(workflow.id) };
};

const begin = async (
  trx: Trx,
  router: FoundRouter,
  { drainDeadline, readyWithin }: Pick<RunOptions, 'drainDeadline' | 'readyWithin'>,
  method: 'patch' | 'replace',
  bundle: string | null,
): Promise<WorkflowRow> => {
  if (method === 'patch') {
    if (bundle === null) throw noBundle(router.router);
    return beginPatch(trx, { router: router.router, bundle });
  }
  if (router.role === 'standby')
    return beginRebuild(trx, {
      network: router.network,
      router: router.router,
      readyWithin,
      reason: 'an upgrade run renews it',
    });
  return beginReplacement(trx, { router: router.router, drainDeadline, readyWithin, bundle });
};

export const NO_BUNDLE = 'no-bundle';

/** What a router ran before was never uploaded, so nothing can be told to bring it back to that. */
export const noBundle = (router: string): Refusal => {
  const message = `It is not known what ${router} ran before as a bundle`;
  const hint = `Patch it to one that is: selvage router patch ${router} --bundle ID.`;
  return new Refusal(409, 'conflict', message, [{ pointer: '', code: NO_BUNDLE, message, hint }]);
};

/** Has a workflow taken back. @throws {Refusal} when it is too late for that. */
export const abortChild = async (trx: Trx, workflow: WorkflowRow): Promise<void> => {
  if (workflow.type === 'router.patch') await abortPatch(trx, workflow);
  else if (workflow.type === 'router.rebuild-standby') await abortRebuild(trx, workflow);
  else await abortReplacement(trx, workflow);
};

export type ChildState =
  /** It is at work. */
  | { readonly kind: 'open' }
  /** Users have what was asked for; what is left of it goes on by itself. */
  | { readonly kind: 'done'; readonly successor: string | null }
  /** It was taken back, by itself or on request. */
  | { readonly kind: 'undone'; readonly message: string; readonly code: string };

/** How far a workflow got. */
export const childState = async (db: Db, id: string): Promise<ChildState> => {
  const row = await findRow(db, 'workflow', id);
  if (row === undefined)
    return { kind: 'undone', code: 'workflow-gone', message: `There is no workflow ${id}` };
  const { successor = null } = JSON.parse(row.state) as { successor?: string | null };
  // A claim is given up when the next workflow of its kind may begin: a replaced router may drain for long after that,
  // and has the chain for itself while it leaves.
  const released = row.claim === null || row.claim === chainClaim(row.subject);
  if (row.status === 'succeeded' || (row.status === 'running' && released))
    return { kind: 'done', successor };
  if (row.status === 'running' || row.status === 'aborting') return { kind: 'open' };
  const problem =
    row.problem === null ? null : (JSON.parse(row.problem) as { code: string; message: string });
  return {
    kind: 'undone',
    code: problem?.code ?? row.status,
    message: problem?.message ?? `The workflow ${id} ${row.status}`,
  };
};

/** The router that stands where the one of a run stood. */
export const presentRouter = async (db: Db, row: RunRouter): Promise<string | undefined> => {
  const routers = await db
    .selectFrom('router')
    .select(['id', 'role'])
    .where('network_id', '=', row.network_id)
    .orderBy('ordinal', 'desc')
    .execute();
  const same = routers.filter(({ role }) => role === row.role);
  return (same.find(({ id }) => id === row.router_id) ?? same[0])?.id;
};
