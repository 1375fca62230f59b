/** A network's life: from a record to a running router and back. */
import { randomBytes } from 'node:crypto';
import type { Selectable } from 'kysely';
import { lowestFreeVni, macOf } from '../model/allocation.ts';
import { mayFollow, type NetworkState } from '../model/network-state.ts';
import { Refusal } from '../model/refusal.ts';
import { recordEvent } from './events.ts';
import { chooseHost } from './hosts.ts';
import { defaultBundle } from './router-bundles.ts';
import { startOperation, type WaitsFor } from './operations.ts';
import { allocatePublicIp } from './public-ips.ts';
import { insertRouterPorts } from './router-ports.ts';
import { deleteRow, getRow, insertRow, updateRow } from './rows.ts';
import type { NetworkTable } from './schema.ts';
import { addStandby } from './standby.ts';
import { touchHost } from './touch.ts';
import { endWorkflowsOf } from './workflows.ts';
import { pendingOf, type Trx } from './transaction.ts';

export type Network = Selectable<NetworkTable>;

const ruleTables = [
  'public_ip',
  'firewall_rule',
  'egress_rule',
  'port_forward',
  'static_nat',
  'load_balancer',
] as const;

/** Whether no guest, network or probe has a MAC. */
export const isFreeMac = async (trx: Trx, mac: string): Promise<boolean> => {
  const taken =
    (await trx.selectFrom('port').select('id').where('mac', '=', mac).executeTakeFirst()) ??
    (await trx
      .selectFrom('network')
      .select('id')
      .where((eb) => eb.or([eb('gateway_mac', '=', mac), eb('public_mac', '=', mac)]))
      .executeTakeFirst()) ??
    (await trx.selectFrom('probe').select('id').where('mac', '=', mac).executeTakeFirst());
  return taken === undefined;
};

/** A MAC that no guest and no network has. */
export const newMac = async (trx: Trx): Promise<string> => {
  for (let attempt = 0; attempt < 16; attempt += 1) {
    const mac = macOf(randomBytes(5));
    if (await isFreeMac(trx, mac)) return mac;
  }
  throw new TypeError('16 random MACs were all taken: the source of randomness is broken');
};

const changeState = async (
  trx: Trx,
  network: Network,
  to: NetworkState,
  values: Partial<Pick<Network, 'vni' | 'idle_since'>>,
): Promise<void> => {
  if (!mayFollow(network.state, to))
    throw new TypeError(`The network ${network.id} cannot go from ${network.state} to ${to}`);
  await updateRow(trx, 'network', network.id, { state: to, ...values });
};

/** The network's routers, the active one first. */
export const routersOf = async (trx: Trx, networkId: string): Promise<{ id: string; host_id: string }[]> =>
  trx
    .selectFrom('router')
    .select(['id', 'host_id'])
    .where('network_id', '=', networkId)
    // `active` stands before `draining` and `successor`.
    .orderBy('role')
    .orderBy('ordinal', 'desc')
    .execute();

export interface Implementation {
  readonly host: string;
  /** What has to be reported until guests are served. */
  readonly waitsFor: readonly WaitsFor[];
  readonly operation: string | null;
}

/**
 * Gives the network what it runs on: VNI, source NAT address, a router and its ports on the least loaded host
 * (or on `onHost`). A network that has a router is left as it is.
 * @throws {Refusal} 409 `no-host`, `no-public-address`, `no-vni`.
 */
export const implementNetwork = async (
  trx: Trx,
  networkId: string,
  onHost?: string,
): Promise<Implementation> => {
  const network = await getRow(trx, 'network', networkId);
  const [existing] = await routersOf(trx, networkId);
  if (existing !== undefined) {
    const { generation } = await getRow(trx, 'router', existing.id);
    return { host: existing.host_id, waitsFor: [{ router: existing.id, generation }], operation: null };
  }
  const host =
    onHost === undefined ? await chooseHost(trx, network.zone_id) : await getRow(trx, 'host', onHost);
  const offering = await getRow(trx, 'network_offering', network.offering_id);
  const services = JSON.parse(offering.services) as string[];
  const vni = network.vni ?? (await freeVni(trx, network.zone_id));
  for (const table of ruleTables)
    await trx.updateTable(table).set({ generation: 1 }).where('network_id', '=', networkId).execute();
  if (services.includes('source-nat')) {
    const own = await trx
      .selectFrom('public_ip')
      .select('id')
      .where('network_id', '=', networkId)
      .where('source_nat', '=', 1)
      .executeTakeFirst();
    if (own === undefined) await allocatePublicIp(trx, network, { sourceNat: true, generation: 1 });
  }
  const router = await insertRow(trx, 'router', 'rtr', {
    network_id: networkId,
    host_id: host.id,
    generation: 1,
    parity: 0,
    bundle_id: await defaultBundle(trx),
    memory: offering.router_memory,
  });
  pendingOf(trx).routers.set(router.id, { generation: 1, host: host.id, items: new Map() });
  await insertRouterPorts(trx, network, services, router.id);
  const standby = network.redundant === 1 ? await addStandby(trx, networkId) : null;
  await changeState(trx, network, 'implementing', { vni, idle_since: null });
  await touchHost(trx, host.id);
  await recordEvent(trx, {
    account: network.account_id,
    type: 'network.implementing',
    resource: networkId,
    message: `The network ${network.name} gets VNI ${vni} and the router ${router.id} on ${host.name}${standby === null ? '' : `, with ${standby} to stand by`}`,
  });
  const waitsFor = [{ router: router.id, generation: 1 }] as const;
  const operation = await startOperation(trx, {
    account: network.account_id,
    type: 'network.implement',
    resource: networkId,
    waitsFor,
    message: `Router ${router.id} is started on ${host.name}`,
  });
  return { host: host.id, waitsFor, operation };
};

const freeVni = async (trx: Trx, zoneId: string): Promise<number> => {
  const used = await trx
    .selectFrom('network')
    .select('vni')
    .where('zone_id', '=', zoneId)
    .where('vni', 'is not', null)
    .orderBy('vni')
    .execute();
  const vni = lowestFreeVni(used.map((row) => row.vni as number));
  if (vni === null) throw new Refusal(409, 'no-vni', 'Every VNI of the zone is taken');
  return vni;
};

/** Takes routers and their ports away. Rules and public addresses stay with the network. */
export const removeRouters = async (trx: Trx, networkId: string): Promise<WaitsFor[]> => {
  await endWorkflowsOf(trx, networkId, `The network ${networkId} lost its routers`);
  const waitsFor: WaitsFor[] = [];
  for (const router of await routersOf(trx, networkId)) {
    await trx.deleteFrom('port').where('router_id', '=', router.id).execute();
    await deleteRow(trx, 'router', router.id);
    pendingOf(trx).routers.delete(router.id);
    const generation = await touchHost(trx, router.host_id);
    if (generation !== null) waitsFor.push({ host: router.host_id, generation });
  }
  return waitsFor;
};

/** Shuts an idle network down: its router goes now, its VNI when the host has let go of it. */
export const shutDownNetwork = async (trx: Trx, network: Network): Promise<void> => {
  await changeState(trx, network, 'shutting-down', { idle_since: null });
  const waitsFor = await removeRouters(trx, network.id);
  await startOperation(trx, {
    account: network.account_id,
    type: 'network.shut-down',
    resource: network.id,
    waitsFor,
    message: 'The router is taken away: the network has had no guests for a while',
  });
  await recordEvent(trx, {
    account: network.account_id,
    type: 'network.shutting-down',
    resource: network.id,
    message: `The network ${network.name} has no guests and is shut down`,
  });
};

/** A network that is shut down is allocated again once its host has let go of it. Returns whether it is. */
export const settleNetwork = async (trx: Trx, network: Network): Promise<boolean> => {
  if (network.state !== 'shutting-down') return false;
  const waiting = await trx
    .selectFrom('operation')
    .select('id')
    .where('resource', '=', network.id)
    .where('type', '=', 'network.shut-down')
    .where('state', '=', 'running')
    .executeTakeFirst();
  if (waiting !== undefined) return false;
  await changeState(trx, network, 'allocated', { vni: null });
  await recordEvent(trx, {
    account: network.account_id,
    type: 'network.allocated',
    resource: network.id,
    message: `The network ${network.name} is shut down; its VNI is free again`,
  });
  return true;
};
