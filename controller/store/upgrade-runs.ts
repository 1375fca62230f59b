/** Rows of upgrade runs: a run, and each of its routers with all that was measured of it. */
import type { HealthCheck, Problem, ProbeReading } from 'documents';
import type { Selectable } from 'kysely';
import type { Limits } from '../model/upgrade-plan.ts';
import type { RouterVerdict, VerdictLimits } from '../model/upgrade-verdict.ts';
import { getRow, updateRow } from './rows.ts';
import type { UpgradeRunRouterTable, UpgradeRunTable } from './schema.ts';
import { type Db, pendingOf, type Trx } from './transaction.ts';

export type RunRow = Selectable<UpgradeRunTable>;
export type RunStatus = RunRow['status'];

/** Which routers: those that match one of every list that is given. */
export interface RunSelection {
  readonly routers?: readonly string[];
  readonly versions?: readonly string[];
  readonly zones?: readonly string[];
  readonly hosts?: readonly string[];
  readonly accounts?: readonly string[];
  readonly networks?: readonly string[];
}

/** What a run was asked for, with everything that was left out filled in. Times in seconds. */
export interface RunOptions extends Limits {
  readonly select: RunSelection;
  /** `needed`: what each needs. `replace`: a fresh router for each, whatever it needs. */
  readonly method: 'needed' | 'replace';
  readonly baseline: number;
  readonly soak: number;
  readonly limits: VerdictLimits;
  readonly drainDeadline: number | null;
  readonly readyWithin: number;
  readonly probe: boolean;
  /** Datagrams a second through each network. */
  readonly rate: number;
}

/** What became of one router. Times in ms since the epoch. */
export interface RunRouterDetail {
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** Where it is measured; null: not at all. */
  readonly probe: { readonly host: string; readonly id: string } | null;
  readonly health: readonly HealthCheck[] | null;
  readonly before: ProbeReading | null;
  readonly during: ProbeReading | null;
  readonly after: ProbeReading | null;
  /** The workflow that upgrades it; joined: somebody else's, which was under way. */
  readonly workflow: { readonly id: string; readonly joined: boolean; readonly began: number } | null;
  /** When it had done what users notice. */
  readonly workedAt: number | null;
  /** What it ran; null: what its host came with. */
  readonly previousBundle: string | null;
  /** The router that serves in its place; itself when it was patched. */
  readonly successor: string | null;
  readonly verdict: RouterVerdict | null;
  readonly problem: Problem | null;
  /** The workflow that takes it back. */
  readonly rollback: { readonly id: string; readonly kind: 'abort' | 'patch' | 'replace' } | null;
  /** When what was refused is tried again, and since when it is. */
  readonly retry: { readonly at: number; readonly since: number } | null;
}

export const newDetail: RunRouterDetail = {
  startedAt: null,
  endedAt: null,
  probe: null,
  health: null,
  before: null,
  during: null,
  after: null,
  workflow: null,
  workedAt: null,
  previousBundle: null,
  successor: null,
  verdict: null,
  problem: null,
  rollback: null,
  retry: null,
};

export type RunRouter = Omit<Selectable<UpgradeRunRouterTable>, 'detail'> & {
  readonly detail: RunRouterDetail;
};

export const optionsOf = (run: RunRow): RunOptions => JSON.parse(run.options) as RunOptions;

/** The routers of these runs, in order. */
export const runRouters = async (db: Db, runs: readonly string[]): Promise<RunRouter[]> => {
  if (runs.length === 0) return [];
  const rows = await db
    .selectFrom('upgrade_run_router')
    .selectAll()
    .where('run_id', 'in', [...runs])
    .orderBy('run_id')
    .orderBy('position')
    .execute();
  return rows.map((row) => ({ ...row, detail: JSON.parse(row.detail) as RunRouterDetail }));
};

/** Changes what became of one router. What is left out stays. */
export const changeRunRouter = async (
  trx: Trx,
  row: Pick<RunRouter, 'run_id' | 'router_id'>,
  state: RunRouter['state'] | null,
  detail: Partial<RunRouterDetail>,
): Promise<void> => {
  const held = await trx
    .selectFrom('upgrade_run_router')
    .select('detail')
    .where('run_id', '=', row.run_id)
    .where('router_id', '=', row.router_id)
    .executeTakeFirstOrThrow();
  await trx
    .updateTable('upgrade_run_router')
    .set({
      detail: JSON.stringify({ ...(JSON.parse(held.detail) as RunRouterDetail), ...detail }),
      ...(state === null ? {} : { state }),
    })
    .where('run_id', '=', row.run_id)
    .where('router_id', '=', row.router_id)
    .execute();
  await updateRow(trx, 'upgrade_run', row.run_id, {});
};

/** Ends a run, or moves it between running and being held. */
export const changeRun = async (
  trx: Trx,
  id: string,
  status: RunStatus,
  problem?: Problem | null,
): Promise<void> => {
  const { status: before } = await getRow(trx, 'upgrade_run', id);
  const ended = ['succeeded', 'failed', 'aborted'].includes(status);
  if (before === status && problem === undefined) return;
  await updateRow(trx, 'upgrade_run', id, {
    status,
    ...(problem === undefined ? {} : { problem: problem === null ? null : JSON.stringify(problem) }),
    ...(ended ? { ended_at: pendingOf(trx).now } : {}),
  });
};

/** A run that has not ended and brings routers to a bundle, or may take one back to it, if any. */
export const runWithBundle = async (db: Db, bundle: string): Promise<string | undefined> =>
  (
    await db
      .selectFrom('upgrade_run as run')
      .innerJoin('upgrade_run_router as row', 'row.run_id', 'run.id')
      .select('run.id')
      .where('run.ended_at', 'is', null)
      .where((eb) =>
        eb.or([eb('run.bundle_id', '=', bundle), eb('row.detail', 'like', `%"previousBundle":"${bundle}"%`)]),
      )
      .limit(1)
      .executeTakeFirst()
  )?.id;

/** A run that has not ended and began this workflow, to upgrade a router or to take it back, if any. */
export const runThatBegan = async (db: Db, workflow: string): Promise<string | undefined> => {
  const rows = await db
    .selectFrom('upgrade_run as run')
    .innerJoin('upgrade_run_router as row', 'row.run_id', 'run.id')
    .select(['run.id', 'row.detail'])
    .where('run.ended_at', 'is', null)
    .where('row.detail', 'like', `%"id":"${workflow}"%`)
    .execute();
  return rows.find(({ detail }) => {
    const { workflow: child, rollback } = JSON.parse(detail) as RunRouterDetail;
    return (child?.id === workflow && !child.joined) || rollback?.id === workflow;
  })?.id;
};

/** Those of these routers that a run still has to do with, and which. */
export const routersInRuns = async (
  db: Db,
  routers: readonly string[],
): Promise<{ readonly router: string; readonly run: string }[]> => {
  if (routers.length === 0) return [];
  const rows = await db
    .selectFrom('upgrade_run_router as row')
    .innerJoin('upgrade_run as run', 'run.id', 'row.run_id')
    .select(['row.router_id', 'row.run_id'])
    .where('run.ended_at', 'is', null)
    .where('row.state', 'in', ['waiting', 'measuring', 'working', 'soaking', 'rolling-back'])
    .execute();
  const asked = new Set(routers);
  return rows
    .filter(({ router_id }) => asked.has(router_id))
    .map(({ router_id, run_id }) => ({ router: router_id, run: run_id }));
};
