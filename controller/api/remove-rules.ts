/** Removal of rules with what came along with them, on their own or because their guest goes. */
import type { Selectable } from 'kysely';
import { showPorts } from '../model/rule-checks.ts';
import { type Touch, touchRule, touchStaticNat } from '../plan/touched.ts';
import { recordEvent } from '../store/events.ts';
import { deleteRow } from '../store/rows.ts';
import type { PortForwardTable, StaticNatTable } from '../store/schema.ts';
import type { Trx } from '../store/transaction.ts';

export const forwardWords = (row: Selectable<PortForwardTable>): string =>
  `${row.protocol} ${showPorts({ first: row.first_public_port, last: row.last_public_port })} to guest port ${showPorts({ first: row.first_guest_port, last: row.last_guest_port })}`;

/** Removes a port forward and the firewall rules it was made with. Returns what of the document that touches. */
export const removePortForward = async (trx: Trx, row: Selectable<PortForwardTable>): Promise<Touch[]> => {
  const opened = await trx
    .deleteFrom('firewall_rule')
    .where('opened_by', '=', row.id)
    .returning(['id'])
    .execute();
  for (const { id } of opened)
    await recordEvent(trx, {
      account: row.account_id,
      type: 'firewall-rule.removed',
      resource: id,
      message: `firewall rule removed along with its port forward ${row.id}`,
    });
  await deleteRow(trx, 'port_forward', row.id);
  return [
    ...touchRule('portForwards', row.id),
    ...opened.flatMap(({ id }) => touchRule('firewallRules', id)),
  ];
};

export const removeStaticNat = async (trx: Trx, row: Selectable<StaticNatTable>): Promise<Touch[]> => {
  await deleteRow(trx, 'static_nat', row.id);
  return touchStaticNat(row.id, row.port_id);
};

/** Removes every rule that names a guest port, with an event for each. Returns what of the document that touches. */
export const removeRulesOfPort = async (trx: Trx, portId: string, account: string): Promise<Touch[]> => {
  const touches: Touch[] = [];
  const tell = (type: string, resource: string, message: string) =>
    recordEvent(trx, { account, type, resource, message });
  for (const row of await trx
    .selectFrom('port_forward')
    .selectAll()
    .where('port_id', '=', portId)
    .execute()) {
    touches.push(...(await removePortForward(trx, row)));
    await tell('port-forward.removed', row.id, `port forward removed with its guest: ${forwardWords(row)}`);
  }
  for (const row of await trx.selectFrom('static_nat').selectAll().where('port_id', '=', portId).execute()) {
    touches.push(...(await removeStaticNat(trx, row)));
    await tell('static-nat.removed', row.id, 'static NAT removed with its guest');
  }
  const members = await trx
    .deleteFrom('load_balancer_member')
    .where('port_id', '=', portId)
    .returning(['id', 'load_balancer_id'])
    .execute();
  for (const { id, load_balancer_id } of members) {
    touches.push(...touchRule('loadBalancers', load_balancer_id));
    await trx
      .updateTable('load_balancer')
      .set((eb) => ({ version: eb('version', '+', 1) }))
      .where('id', '=', load_balancer_id)
      .execute();
    await tell(
      'load-balancer.changed',
      load_balancer_id,
      `load balancer member ${id} removed with its guest`,
    );
  }
  return touches;
};
