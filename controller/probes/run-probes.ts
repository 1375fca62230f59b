/** The probes of an upgrade run: given addresses and MACs like guests, planned, and taken away again. */
import { createHash } from 'node:crypto';
import type { Ipv4Prefix } from 'ip';
import { lowestFreeAddress, lowestFreePublicAddress, macOf } from '../model/allocation.ts';
import { derivedId } from '../plan/ids.ts';
import { touchRule } from '../plan/touched.ts';
import { isFreeMac, newMac } from '../store/networks.ts';
import type { WaitsFor } from '../store/operations.ts';
import { touchNetwork } from '../store/routers.ts';
import { deleteRow, getRow, insertRow } from '../store/rows.ts';
import { touchHost } from '../store/touch.ts';
import type { Trx } from '../store/transaction.ts';

export interface PlacedProbes {
  /** Where each network is measured. */
  readonly placed: ReadonlyMap<string, { readonly host: string; readonly id: string }>;
  /** Why others are not, by network. */
  readonly refused: ReadonlyMap<string, string>;
  /** What has to be reported until they measure. */
  readonly waitsFor: readonly WaitsFor[];
}

/** Outward services a router needs to let a probe out and its answers in. */
const lets = (services: readonly string[]): boolean => services.includes('source-nat');

/** Probes for these networks, one inside each and one outside on each of their hosts. What is there already stays. */
export const placeProbes = async (
  trx: Trx,
  run: string,
  networks: readonly string[],
  rate: number,
): Promise<PlacedProbes> => {
  const placed = new Map<string, { host: string; id: string }>();
  const refused = new Map<string, string>();
  const waitsFor: WaitsFor[] = [];
  const hosts = new Map<string, number>();
  for (const id of new Set(networks)) {
    const router = await trx
      .selectFrom('router')
      .select('host_id')
      .where('network_id', '=', id)
      .where('role', '=', 'active')
      .executeTakeFirst();
    if (router === undefined) {
      refused.set(id, 'it has no router');
      continue;
    }
    const host = router.host_id;
    const before = await trx
      .selectFrom('probe')
      .select(['id', 'host_id'])
      .where('run_id', '=', run)
      .where('network_id', '=', id)
      .executeTakeFirst();
    if (before !== undefined) {
      placed.set(id, { host: before.host_id, id: before.id });
      continue;
    }
    const network = await getRow(trx, 'network', id);
    const offering = await getRow(trx, 'network_offering', network.offering_id);
    const address = lowestFreeAddress(network.prefix as Ipv4Prefix, await takenIn(trx, network));
    if (address === null) {
      refused.set(id, `every address of ${network.prefix} is taken`);
      continue;
    }
    const outside = lets(JSON.parse(offering.services) as string[])
      ? await outsideOn(trx, run, host, rate)
      : null;
    const probe = await insertRow(trx, 'probe', 'prb', {
      run_id: run,
      host_id: host,
      network_id: id,
      range_id: null,
      outside_id: outside,
      mac: await macFor(trx, id, address),
      address,
      rate,
    });
    placed.set(id, { host, id: probe.id });
    if (outside !== null && offering.egress_default === 'deny')
      waitsFor.push(...(await touchNetwork(trx, id, () => touchExit(probe.id))).waitsFor);
    hosts.set(host, (await touchHost(trx, host)) as number);
  }
  for (const [host, generation] of hosts) waitsFor.push({ host, generation });
  return { placed, refused, waitsFor };
};

/**
 * A MAC that is the same whenever a probe has this address: routers remember it for a while after the last one went, and
 * the next run would be measured against what they remember. Any other, should somebody have it.
 */
const macFor = async (trx: Trx, place: string, address: string): Promise<string> => {
  const mac = macOf(createHash('sha256').update(`${place} ${address}`).digest().subarray(0, 5));
  return (await isFreeMac(trx, mac)) ? mac : newMac(trx);
};

const touchExit = (probe: string) => touchRule('egressRules', derivedId('eg', probe));

const takenIn = async (
  trx: Trx,
  network: { readonly id: string; readonly gateway: string },
): Promise<Set<string>> => {
  const guests = await trx
    .selectFrom('port')
    .select('address')
    .where('network_id', '=', network.id)
    .execute();
  const probes = await trx
    .selectFrom('probe')
    .select('address')
    .where('network_id', '=', network.id)
    .execute();
  const addresses = [...guests, ...probes].flatMap(({ address }) => (address === null ? [] : [address]));
  return new Set(addresses).add(network.gateway);
};

/** The run's machine outside on a host; null when the zone has no address for it. */
const outsideOn = async (trx: Trx, run: string, host: string, rate: number): Promise<string | null> => {
  const there = await trx
    .selectFrom('probe')
    .select('id')
    .where('run_id', '=', run)
    .where('host_id', '=', host)
    .where('network_id', 'is', null)
    .executeTakeFirst();
  if (there !== undefined) return there.id;
  const { zone_id } = await getRow(trx, 'host', host);
  const ranges = await trx
    .selectFrom('public_ip_range')
    .selectAll()
    .where('zone_id', '=', zone_id)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const used = await trx.selectFrom('public_ip').select('address').where('zone_id', '=', zone_id).execute();
  const probes = await trx
    .selectFrom('probe')
    .innerJoin('public_ip_range as range', 'range.id', 'probe.range_id')
    .select('probe.address')
    .where('range.zone_id', '=', zone_id)
    .execute();
  const free = lowestFreePublicAddress(ranges, new Set([...used, ...probes].map(({ address }) => address)));
  if (free === null) return null;
  const row = await insertRow(trx, 'probe', 'prb', {
    run_id: run,
    host_id: host,
    network_id: null,
    range_id: free.range,
    outside_id: null,
    mac: await macFor(trx, free.range, free.address),
    address: free.address,
    rate,
  });
  return row.id;
};

/** Takes all probes of a run away. Returns what has to be reported until they are gone. */
export const removeProbes = async (trx: Trx, run: string): Promise<WaitsFor[]> => {
  const probes = await trx.selectFrom('probe').selectAll().where('run_id', '=', run).execute();
  const hosts = new Set(probes.map(({ host_id }) => host_id));
  const waitsFor: WaitsFor[] = [];
  for (const probe of probes.toSorted(
    (a, b) => Number(a.network_id === null) - Number(b.network_id === null),
  )) {
    await deleteRow(trx, 'probe', probe.id);
    if (probe.network_id === null || probe.outside_id === null) continue;
    const network = await getRow(trx, 'network', probe.network_id);
    const offering = await getRow(trx, 'network_offering', network.offering_id);
    if (offering.egress_default === 'deny')
      waitsFor.push(...(await touchNetwork(trx, network.id, () => touchExit(probe.id))).waitsFor);
  }
  for (const host of hosts) {
    const generation = await touchHost(trx, host);
    if (generation !== null) waitsFor.push({ host, generation });
  }
  return waitsFor;
};
