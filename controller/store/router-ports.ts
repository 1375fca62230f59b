import type { Selectable } from 'kysely';
import { insertRow } from './rows.ts';
import type { NetworkTable } from './schema.ts';
import type { Trx } from './transaction.ts';

/** Services that need a public leg. */
const outward = ['source-nat', 'static-nat', 'port-forward', 'load-balancer', 'firewall'];

/** Gives a router its ports. Their MACs are the network's: every router of a network has the same. */
export const insertRouterPorts = async (
  trx: Trx,
  network: Pick<Selectable<NetworkTable>, 'id' | 'gateway_mac' | 'public_mac'>,
  services: readonly string[],
  routerId: string,
): Promise<void> => {
  const port = { network_id: network.id, instance_id: null, router_id: routerId, address: null };
  await insertRow(trx, 'port', 'port', { ...port, role: 'router-guest', mac: network.gateway_mac });
  if (services.some((service) => outward.includes(service)))
    await insertRow(trx, 'port', 'port', { ...port, role: 'router-public', mac: network.public_mac });
};
