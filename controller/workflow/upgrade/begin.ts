import { planOrder } from '../../model/upgrade-plan.ts';
import { recordEvent } from '../../store/events.ts';
import type { FoundRouter } from '../../store/router-candidates.ts';
import { getRow, insertRow, updateRow } from '../../store/rows.ts';
import type { Trx } from '../../store/transaction.ts';
import { newDetail, type RunOptions, type RunRow } from '../../store/upgrade-runs.ts';
import { beginWorkflow } from '../../store/workflows.ts';
import { newUpgradeState } from './state.ts';

export interface UpgradeRequest {
  readonly account: string;
  readonly name: string | null;
  readonly options: RunOptions;
  /** Id of the bundle routers are to run; null: there is none. */
  readonly bundle: string | null;
  readonly routers: readonly FoundRouter[];
}

/** Begins a run: its rows say in which order what is done, and its workflow does it. */
export const beginUpgradeRun = async (trx: Trx, request: UpgradeRequest): Promise<RunRow> => {
  const { account, name, options, bundle } = request;
  const places = planOrder(request.routers, options);
  const work = places.filter(({ wave }) => wave !== null).length;
  const run = await insertRow(trx, 'upgrade_run', 'run', {
    account_id: account,
    name,
    status: 'running',
    options: JSON.stringify(options),
    bundle_id: bundle,
    workflow_id: '',
    problem: null,
    ended_at: null,
  });
  for (const { candidate, position, wave } of places)
    await trx
      .insertInto('upgrade_run_router')
      .values({
        run_id: run.id,
        router_id: candidate.router,
        position,
        wave: wave ?? -1,
        network_id: candidate.network,
        network_name: candidate.networkName,
        host_id: candidate.host,
        role: candidate.role,
        needs: candidate.needs,
        because: candidate.because,
        state: wave === null ? 'nothing' : 'waiting',
        detail: JSON.stringify({ ...newDetail, previousBundle: candidate.bundle }),
      })
      .execute();
  const message = `${work} of ${places.length} routers are to be upgraded`;
  const workflow = await beginWorkflow(trx, {
    account,
    type: 'upgrade-run',
    subject: run.id,
    claim: `upgrade-run ${run.id}`,
    step: 'prepare',
    state: newUpgradeState(run.id),
    resource: run.id,
    message,
  });
  await updateRow(trx, 'upgrade_run', run.id, { workflow_id: workflow.id });
  await recordEvent(trx, {
    account: null,
    type: 'upgrade-run.begun',
    resource: run.id,
    message: `${message} (${workflow.id})`,
  });
  return getRow(trx, 'upgrade_run', run.id);
};
