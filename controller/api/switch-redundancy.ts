import { recordEvent } from '../store/events.ts';
import type { Network } from '../store/networks.ts';
import { startOperation } from '../store/operations.ts';
import { updateRow } from '../store/rows.ts';
import { activeOf, addStandby, removeStandbys } from '../store/standby.ts';
import type { Trx } from '../store/transaction.ts';
import { endWorkflowsOf } from '../store/workflows.ts';
import { beginRebuild } from '../workflow/rebuild-standby/begin.ts';

/**
 * Gives a running network a standby, or takes it away. The active router is not touched either way. Returns the operation
 * that ends when the standby knows all connections, or is gone; null where nothing runs.
 */
export const switchRedundancy = async (
  trx: Trx,
  network: Network,
  wanted: boolean,
): Promise<string | null> => {
  await updateRow(trx, 'network', network.id, { redundant: wanted ? 1 : 0 });
  await recordEvent(trx, {
    account: network.account_id,
    type: wanted ? 'network.redundancy-on' : 'network.redundancy-off',
    resource: network.id,
    message: wanted
      ? `The network ${network.name} is to have a router that stands by`
      : `The network ${network.name} is to have one router only`,
  });
  if (wanted) {
    if ((await activeOf(trx, network.id)) === undefined) return null;
    const standby = await addStandby(trx, network.id);
    const workflow = await beginRebuild(trx, {
      network: network.id,
      router: null,
      standby,
      reason: 'the network was made redundant',
    });
    return workflow.operation_id;
  }
  await endWorkflowsOf(trx, network.id, `The network ${network.id} is to have no standby`, [
    'router.rebuild-standby',
  ]);
  return startOperation(trx, {
    account: network.account_id,
    type: 'network.change',
    resource: network.id,
    waitsFor: await removeStandbys(trx, network.id),
    message: 'The standby is taken away',
  });
};
