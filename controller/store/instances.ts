/** A guest's ports: their place in a network, their address and MAC. */
import type { Selectable } from 'kysely';
import type { Ipv4Prefix } from 'ip';
import { lowestFreeAddress } from '../model/allocation.ts';
import { Refusal } from '../model/refusal.ts';
import { type Network, newMac } from './networks.ts';
import { insertRow } from './rows.ts';
import type { PortTable } from './schema.ts';
import type { Trx } from './transaction.ts';

/** The instance on a network that has this address or host name, undefined when none has. */
export const guestWith = async (
  trx: Trx,
  networkId: string,
  wanted: { readonly address: string } | { readonly hostname: string },
): Promise<{ readonly id: string; readonly name: string } | undefined> => {
  const query = trx
    .selectFrom('port')
    .innerJoin('instance', 'instance.id', 'port.instance_id')
    .select(['instance.id', 'instance.name'])
    .where('port.network_id', '=', networkId);
  return 'address' in wanted
    ? query.where('port.address', '=', wanted.address).executeTakeFirst()
    : query.where('instance.hostname', '=', wanted.hostname).executeTakeFirst();
};

/** The probe of an upgrade run that has an address of a network for as long as the run takes, undefined when none has. */
export const probeWith = async (
  trx: Trx,
  networkId: string,
  address: string,
): Promise<{ readonly id: string; readonly name: null } | undefined> => {
  const row = await trx
    .selectFrom('probe')
    .select('id')
    .where('network_id', '=', networkId)
    .where('address', '=', address)
    .executeTakeFirst();
  return row && { id: row.id, name: null };
};

/**
 * A port of an instance on a network, with the address asked for or the lowest free one.
 * @throws {Refusal} 409 `no-address` when the network is full.
 */
export const addGuestPort = async (
  trx: Trx,
  network: Network,
  instanceId: string,
  asked: string | undefined,
): Promise<Selectable<PortTable>> => {
  const address = asked ?? (await freeAddress(trx, network));
  return insertRow(trx, 'port', 'port', {
    network_id: network.id,
    role: 'guest',
    instance_id: instanceId,
    router_id: null,
    mac: await newMac(trx),
    address,
  });
};

const freeAddress = async (trx: Trx, network: Network): Promise<string> => {
  const used = await trx
    .selectFrom('port')
    .select('address')
    .where('network_id', '=', network.id)
    .where('address', 'is not', null)
    .execute();
  const probes = await trx
    .selectFrom('probe')
    .select('address')
    .where('network_id', '=', network.id)
    .execute();
  const taken = new Set([...used, ...probes].map((row) => row.address as string)).add(network.gateway);
  const address = lowestFreeAddress(network.prefix as Ipv4Prefix, taken);
  if (address !== null) return address;
  const message = `Every address of ${network.prefix} of the network ${network.name} is taken`;
  throw new Refusal(409, 'no-address', message, [
    {
      pointer: '/network',
      code: 'no-address',
      message,
      hint: 'Delete an instance, or use a network with more addresses.',
    },
  ]);
};
