import type { HostStatus, MachineStatus } from 'documents';
import { takeFailovers } from '../redundancy/failover-report.ts';
import type { Store } from '../store/store.ts';
import { pendingOf, type Trx } from '../store/transaction.ts';
import { resolveOperations } from './resolve-operations.ts';
import { isStale } from './stale.ts';
import { tellChange } from './tell-change.ts';

/** Takes a host's report: keeps it, tells what changed as events, ends the operations it fulfils. False when it was stale. */
export const takeHostStatus = (store: Store, status: HostStatus): Promise<boolean> =>
  store.transaction(async (trx) => {
    const now = store.now();
    const held = await trx
      .selectFrom('host_status')
      .select('status')
      .where('host_id', '=', status.id)
      .executeTakeFirst();
    const before = held === undefined ? null : (JSON.parse(held.status) as HostStatus);
    if (before !== null && isStale(status, before)) return false;
    const row = {
      observed_generation: status.observedGeneration,
      reported_at: now,
      status: JSON.stringify(status),
    };
    await trx
      .insertInto('host_status')
      .values({ host_id: status.id, ...row })
      .onConflict((conflict) => conflict.column('host_id').doUpdateSet(row))
      .execute();
    await trx
      .updateTable('host')
      .set({ last_seen_at: now, agent_version: status.version })
      .where('id', '=', status.id)
      .execute();
    pendingOf(trx).reports.add(status.id);
    const known = new Map(before?.machines.map((machine) => [machine.id, machine.state]));
    for (const machine of status.machines)
      if (known.get(machine.id) !== machine.state) await tellMachine(trx, status.id, machine);
    await takeFailovers(trx, status.id, status.failovers ?? []);
    await resolveOperations(
      trx,
      now,
      new Set([status.id, ...known.keys(), ...status.machines.map((machine) => machine.id)]),
    );
    return true;
  });

/** An event for a machine that came to a state people ask about. A router says itself when it runs. */
const tellMachine = async (trx: Trx, host: string, machine: MachineStatus): Promise<void> => {
  if (machine.state === 'starting') return;
  const instance = await trx
    .selectFrom('instance')
    .select('account_id')
    .where('id', '=', machine.id)
    .where('host_id', '=', host)
    .executeTakeFirst();
  const failed = machine.state === 'failed';
  if (instance !== undefined) {
    await tellChange(trx, ['instance.running', 'instance.stopped', 'instance.failed'], {
      account: instance.account_id,
      type: `instance.${machine.state}`,
      level: failed ? 'error' : 'info',
      resource: machine.id,
      message: failed
        ? `Instance ${machine.id} failed: ${machine.message}`
        : `Instance ${machine.id} is ${machine.state}`,
    });
    return;
  }
  if (!failed) return;
  const router = await trx
    .selectFrom('router')
    .innerJoin('network', 'network.id', 'router.network_id')
    .select('network.account_id')
    .where('router.id', '=', machine.id)
    .where('router.host_id', '=', host)
    .executeTakeFirst();
  if (router === undefined) return;
  await tellChange(trx, ['router.running', 'router.degraded', 'router.failed'], {
    account: router.account_id,
    type: 'router.failed',
    level: 'error',
    resource: machine.id,
    message: `The machine of router ${machine.id} failed: ${machine.message}`,
  });
};
