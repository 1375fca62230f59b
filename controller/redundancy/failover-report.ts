/** What a host did by itself when a router died becomes what is wanted. */
import type { Failover, Problem } from 'documents';
import { recordEvent } from '../store/events.ts';
import { advanceOperation, type WaitsFor } from '../store/operations.ts';
import { setNeighbours } from '../store/router-chain.ts';
import { findRow, getRow } from '../store/rows.ts';
import { standbysOf, takePlace } from '../store/standby.ts';
import { touchHost } from '../store/touch.ts';
import { pendingOf, type Trx } from '../store/transaction.ts';
import { changeWorkflow, openWorkflows, type WorkflowRow } from '../store/workflows.ts';
import { beginRebuild } from '../workflow/rebuild-standby/begin.ts';
import type { RebuildState } from '../workflow/rebuild-standby/state.ts';
import type { ReplaceState } from '../workflow/replace/state.ts';
import { goOnInPlace, type TakenPlace } from './take-over-work.ts';

/**
 * Takes what a host reports of failovers, in the transaction of its report. A report is repeated until the host's document
 * names the dead router no more, so whatever is known already, or about routers that are gone, changes nothing:
 *
 * - the promoted router is gone (redundancy was switched off, the network removed): the document says what is to be
 * - it is a standby no more: this was taken before
 * - the dead one is gone, and the promoted one a standby still: the host's document had not said so yet; it will
 *
 * Else the promoted one takes the place of the dead one in the chain, whatever that was, with everything that waited for the
 * dead one; and a new standby is begun.
 */
export const takeFailovers = async (
  trx: Trx,
  host: string,
  failovers: readonly Failover[],
): Promise<void> => {
  for (const failover of failovers) await takeFailover(trx, host, failover);
};

const takeFailover = async (trx: Trx, host: string, failover: Failover): Promise<void> => {
  const { router: dead, promoted } = failover;
  const standby = await findRow(trx, 'router', promoted);
  const died = await findRow(trx, 'router', dead);
  if (standby?.role !== 'standby' || standby.host_id !== host || died === undefined) return;
  if (died.network_id !== standby.network_id) return;
  const network = await getRow(trx, 'network', standby.network_id);
  const { now } = pendingOf(trx);
  const generations = await takePlace(trx, dead, promoted);
  const place: TakenPlace = {
    dead,
    standby: promoted,
    generations,
    host: { id: host, generation: (await touchHost(trx, host)) as number },
    now,
  };
  for (const row of await openWorkflows(trx, [network.id])) await carryOn(trx, row, place);
  await waitFor(trx, place);
  await recordEvent(trx, {
    account: network.account_id,
    type: 'router.failed-over',
    level: 'warning',
    resource: promoted,
    time: failover.at,
    message:
      `The router ${dead} of the network ${network.name} died (${failover.reason}), and ${promoted} took over within ` +
      `${(failover.microseconds / 1000).toFixed(1)} ms, at ${new Date(failover.at).toISOString()}; ` +
      `the controller was told ${Math.max(0, now - failover.at)} ms later`,
  });
  if (network.redundant !== 1) return;
  const [left] = await standbysOf(trx, network.id);
  const building = (await openWorkflows(trx, [network.id])).some(
    ({ type }) => type === 'router.rebuild-standby',
  );
  if (building) return;
  await beginRebuild(trx, {
    network: network.id,
    router: null,
    // One that stood by for the dead router, too, stands by for the new one now; it has to be synced with that.
    standby: left?.id ?? null,
    reason: `${promoted} took over from ${dead}`,
  });
};

/** Work that was about the dead router, or named it, goes on with the one in its place, or ends. */
const carryOn = async (trx: Trx, row: WorkflowRow, place: TakenPlace): Promise<void> => {
  if (!row.state.includes(place.dead) && !row.state.includes(place.standby)) {
    if (row.type === 'router.rebuild-standby') await changeWorkflow(trx, row.id, {}, true);
    return;
  }
  switch (row.type) {
    case 'router.replace': {
      const { step, state, anew } = goOnInPlace(row, place);
      if (anew) await standBefore(trx, place.standby, row, state.successor);
      await changeWorkflow(trx, row.id, { step, state: JSON.stringify(state), next_attempt_at: null }, true);
      await advanceOperation(trx, row.operation_id, {
        message: `${row.step}: ${place.dead} died, and ${place.standby} took its place`,
      });
      return;
    }
    case 'router.rebuild-standby': {
      const state = JSON.parse(row.state) as RebuildState;
      // The one that was to go serves now, and stays.
      if (state.router === place.standby)
        await changeWorkflow(
          trx,
          row.id,
          { state: JSON.stringify({ ...state, router: null, syncedBy: null }) },
          true,
        );
      else if (state.successor === place.standby) await end(trx, row, place);
      return;
    }
    default:
      // Such as a patch: the program of a router that is dead. The one in its place is patched by a request of its own.
      if (row.state.includes(place.dead)) await end(trx, row, place);
  }
};

/** The successor asks the standby first, whatever a rescue had already done to leave the dead router out. */
const standBefore = async (
  trx: Trx,
  standby: string,
  row: WorkflowRow,
  successor: string | null,
): Promise<void> => {
  const { release } = JSON.parse(row.state) as ReplaceState;
  if (release?.older !== undefined && release.older !== null)
    await setNeighbours(trx, release.older, { newer: standby, heardNewer: null });
  if (successor !== null) await setNeighbours(trx, successor, { older: standby, heardOlder: null });
};

const end = async (trx: Trx, row: WorkflowRow, { dead, standby, now }: TakenPlace): Promise<void> => {
  const problem: Problem = {
    pointer: '',
    code: 'router-failed-over',
    message: `The router ${dead} died, and ${standby} took over, before this was done`,
    hint: `Ask for it again for ${standby}, if it is still wanted.`,
  };
  await changeWorkflow(
    trx,
    row.id,
    {
      status: 'failed',
      claim: null,
      problem: JSON.stringify(problem),
      next_attempt_at: null,
      ended_at: now,
    },
    true,
  );
  await advanceOperation(trx, row.operation_id, { state: 'failed', message: problem.message, problem });
};

/** Operations that waited for the dead router wait for the other: rules have one generation for both. */
const waitFor = async (trx: Trx, { dead, standby }: TakenPlace): Promise<void> => {
  const rows = await trx
    .selectFrom('operation')
    .select(['id', 'waits_for'])
    .where('state', '=', 'running')
    .where('waits_for', 'like', `%"${dead}"%`)
    .execute();
  for (const { id, waits_for } of rows) {
    const waits = (JSON.parse(waits_for) as WaitsFor[]).map((wait) =>
      'router' in wait && wait.router === dead ? { ...wait, router: standby } : wait,
    );
    await trx
      .updateTable('operation')
      .set({ waits_for: JSON.stringify(waits) })
      .where('id', '=', id)
      .execute();
    pendingOf(trx).operations.add(id);
  }
};
