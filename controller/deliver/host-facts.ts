import type { HostFacts } from '../plan/facts.ts';
import { loadProbes } from '../probes/probe-facts.ts';
import type { Db } from '../store/transaction.ts';

/** Facts of one host, undefined when there is none. Run it in one transaction: the facts must be those of one moment. */
export const loadHostFacts = async (db: Db, hostId: string): Promise<HostFacts | undefined> => {
  const head = await db
    .selectFrom('host')
    .innerJoin('zone', 'zone.id', 'host.zone_id')
    .select((eb) => [
      'host.id',
      'host.generation',
      'zone.id as zone_id',
      'zone.public_mtu',
      eb
        .exists(eb.selectFrom('public_ip_range').select('id').whereRef('zone_id', '=', 'zone.id'))
        .as('has_public_range'),
    ])
    .where('host.id', '=', hostId)
    .executeTakeFirst();
  if (head === undefined) return undefined;
  const routers = await db
    .selectFrom('router')
    .leftJoin('router_bundle', 'router_bundle.id', 'router.bundle_id')
    .select([
      'router.id',
      'router.network_id',
      'router.ordinal',
      'router.created_at',
      'router.role',
      'router.older_id',
      'router.newer_id',
      'router.heard_older_id',
      'router.heard_newer_id',
      'router.memory',
      'router_bundle.bundle_version',
      'router_bundle.checksum',
    ])
    .where('router.host_id', '=', hostId)
    .execute();
  const instances = await db
    .selectFrom('instance')
    .select(['id', 'hostname', 'wanted_state'])
    .where('host_id', '=', hostId)
    .execute();
  const routerPorts = await db
    .selectFrom('port')
    .innerJoin('router', 'router.id', 'port.router_id')
    .select([
      'port.id',
      'port.role',
      'port.network_id',
      'router.id as machine',
      'port.mac',
      'port.address',
      'port.created_at',
    ])
    .where('router.host_id', '=', hostId)
    .execute();
  const guestPorts = await db
    .selectFrom('port')
    .innerJoin('instance', 'instance.id', 'port.instance_id')
    .select([
      'port.id',
      'port.role',
      'port.network_id',
      'instance.id as machine',
      'port.mac',
      'port.address',
      'port.created_at',
    ])
    .where('instance.host_id', '=', hostId)
    .execute();
  const ports = [...routerPorts, ...guestPorts];
  const networks = await loadNetworks(db, [...new Set(ports.map((port) => port.network_id))]);
  const probes = await loadProbes(db, hostId);
  return {
    ...(probes.length === 0 ? {} : { probes }),
    host: { id: head.id, generation: head.generation },
    zone: {
      id: head.zone_id,
      publicMtu: head.public_mtu,
      hasPublicRange: Boolean(head.has_public_range),
    },
    networks: networks.map((row) => ({
      id: row.id,
      vni: row.vni,
      mtu: row.mtu,
      gatewayMac: row.gateway_mac,
      publicMac: row.public_mac,
    })),
    routers: routers.map((row) => ({
      id: row.id,
      network: row.network_id,
      ordinal: row.ordinal,
      createdAt: row.created_at,
      active: row.role === 'active',
      standby: row.role === 'standby',
      older: row.older_id,
      newer: row.newer_id,
      heardOlder: row.heard_older_id,
      heardNewer: row.heard_newer_id,
      ...(row.bundle_version === null || row.checksum === null
        ? {}
        : { bundle: { version: row.bundle_version, checksum: row.checksum } }),
      ...(row.memory === null ? {} : { memory: row.memory }),
    })),
    instances: instances.map((row) => ({
      id: row.id,
      hostname: row.hostname,
      wantedState: row.wanted_state,
    })),
    ports: ports.map((row) => ({
      id: row.id,
      role: row.role,
      network: row.network_id,
      machine: row.machine,
      mac: row.mac,
      address: row.address,
      createdAt: row.created_at,
    })),
  };
};

/** SQLite takes 32,766 parameters in one statement (sqlite.org/limits.html, 9). */
const CHUNK = 1000;

const loadNetworks = async (db: Db, ids: readonly string[]) => {
  const rows = [];
  for (let start = 0; start < ids.length; start += CHUNK)
    rows.push(
      ...(await db
        .selectFrom('network')
        .select(['id', 'vni', 'mtu', 'gateway_mac', 'public_mac'])
        .where('id', 'in', ids.slice(start, start + CHUNK))
        .execute()),
    );
  return rows;
};
