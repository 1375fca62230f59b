import type { CollectionName } from 'documents';
import type { NotNull } from 'kysely';
import type {
  EgressRuleFact,
  FirewallRuleFact,
  GuestFact,
  LoadBalancerFact,
  PortForwardFact,
  PublicIpFact,
  ChainRouter,
  RouterFacts,
  RouterPort,
  StaticNatFact,
} from '../plan/facts.ts';
import type { Touched } from '../plan/touched.ts';
import { loadProbeExits } from '../probes/probe-facts.ts';
import type { Db } from '../store/transaction.ts';

/** Clear text of an instance's password as it lies in the store; null when it cannot be told: then the guest gets none. */
export type DecryptPassword = (instanceId: string, text: string) => string | null;

export interface RouterFactsOptions {
  /** Only the rows these items are planned from; everything without. */
  readonly touched?: Touched;
  readonly decryptPassword: DecryptPassword;
}

/** SQLite takes 32,766 parameters in one statement (sqlite.org/limits.html, 9); PostgreSQL 65,535. */
const CHUNK = 1000;

/**
 * Facts of one router, undefined when there is none. Run it in one transaction with whatever tells the generation: the
 * facts must be those of one moment. Rows read are those of the touched items, so the cost is that of the change.
 */
export const loadRouterFacts = async (
  db: Db,
  routerId: string,
  options: RouterFactsOptions,
): Promise<RouterFacts | undefined> => {
  const head = await db
    .selectFrom('router')
    .innerJoin('network', 'network.id', 'router.network_id')
    .innerJoin('zone', 'zone.id', 'network.zone_id')
    .innerJoin('network_offering', 'network_offering.id', 'network.offering_id')
    .select([
      'router.id',
      'router.generation',
      'router.parity',
      'router.ordinal',
      'router.created_at',
      'router.older_id',
      'router.newer_id',
      'router.heard_older_id',
      'router.heard_newer_id',
      'network.id as network_id',
      'network.prefix',
      'network.gateway',
      'network.domain',
      'network.mtu',
      'network.gateway_mac',
      'network.public_mac',
      'zone.id as zone_id',
      'zone.name as zone_name',
      'zone.dns',
      'zone.public_mtu',
      'network_offering.services',
      'network_offering.egress_default',
    ])
    .where('router.id', '=', routerId)
    .executeTakeFirst();
  if (head === undefined) return undefined;
  const network = head.network_id;
  const rows = rowsOf(options.touched);
  return {
    router: {
      id: head.id,
      generation: head.generation,
      parity: head.parity,
      ordinal: head.ordinal,
      createdAt: head.created_at,
    },
    neighbours: {
      older: await loadNeighbour(db, head.older_id),
      newer: await loadNeighbour(db, head.newer_id),
      heardOlder: await loadNeighbour(db, head.heard_older_id),
      heardNewer: await loadNeighbour(db, head.heard_newer_id),
    },
    network: {
      prefix: head.prefix,
      gateway: head.gateway,
      domain: head.domain,
      mtu: head.mtu,
      gatewayMac: head.gateway_mac,
      publicMac: head.public_mac,
    },
    zone: {
      id: head.zone_id,
      name: head.zone_name,
      dns: JSON.parse(head.dns) as string[],
      publicMtu: head.public_mtu,
    },
    offering: {
      services: JSON.parse(head.services) as string[],
      egressDefault: head.egress_default,
    },
    ports: await loadPorts(db, routerId),
    publicIps: await loadPublicIps(
      db,
      network,
      options.touched?.items.legs === undefined && options.touched !== undefined,
    ),
    firewallRules: await rows(['firewallRules'], (ids) => loadFirewallRules(db, network, ids)),
    egressRules: await rows(['egressRules'], (ids) => loadEgressRules(db, network, ids, head.egress_default)),
    portForwards: await rows(['portForwards'], (ids) => loadPortForwards(db, network, ids)),
    staticNats: await rows(['staticNats'], (ids) => loadStaticNats(db, network, ids)),
    loadBalancers: await rows(['loadBalancers'], (ids) => loadLoadBalancers(db, network, ids)),
    guests: await rows(['dhcpHosts', 'metadataGuests'], (ids) =>
      loadGuests(db, network, ids, options.decryptPassword),
    ),
  };
};

type Load<Row> = (ids: readonly string[] | undefined) => Promise<Row[]>;

/** Runs a load for everything, or in chunks for the ids touched in any of the collections it serves. */
const rowsOf =
  (touched: Touched | undefined) =>
  async <Row>(collections: readonly CollectionName[], load: Load<Row>): Promise<Row[]> => {
    if (touched === undefined) return load(undefined);
    const ids = [...new Set(collections.flatMap((name) => [...(touched.items[name] ?? [])]))];
    const rows: Row[] = [];
    for (let start = 0; start < ids.length; start += CHUNK)
      rows.push(...(await load(ids.slice(start, start + CHUNK))));
    return rows;
  };

const loadPorts = async (db: Db, routerId: string): Promise<RouterPort[]> => {
  const rows = await db.selectFrom('port').select(['id', 'role']).where('router_id', '=', routerId).execute();
  return rows.flatMap(({ id, role }) => (role === 'guest' ? [] : [{ id, role }]));
};

const loadNeighbour = async (db: Db, id: string | null): Promise<ChainRouter | null> => {
  if (id === null) return null;
  const row = await db
    .selectFrom('router')
    .select(['id', 'ordinal', 'created_at'])
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined) return null;
  return { id, ordinal: row.ordinal, createdAt: row.created_at, ports: await loadPorts(db, id) };
};

const loadPublicIps = async (db: Db, network: string, sourceNatOnly: boolean): Promise<PublicIpFact[]> => {
  const rows = await db
    .selectFrom('public_ip')
    .innerJoin('public_ip_range', 'public_ip_range.id', 'public_ip.range_id')
    .select([
      'public_ip.address',
      'public_ip.source_nat',
      'public_ip_range.prefix',
      'public_ip_range.gateway',
    ])
    .where('public_ip.network_id', '=', network)
    .$if(sourceNatOnly, (query) => query.where('public_ip.source_nat', '=', 1))
    .execute();
  return rows.map(({ address, source_nat, prefix, gateway }) => ({
    address,
    sourceNat: source_nat === 1,
    prefix,
    gateway,
  }));
};

const loadFirewallRules = async (
  db: Db,
  network: string,
  ids: readonly string[] | undefined,
): Promise<FirewallRuleFact[]> => {
  const rows = await db
    .selectFrom('firewall_rule as rule')
    .innerJoin('public_ip', 'public_ip.id', 'rule.public_ip_id')
    .select([
      'rule.id',
      'public_ip.address',
      'rule.protocol',
      'rule.first_port',
      'rule.last_port',
      'rule.icmp_type',
      'rule.icmp_code',
      'rule.sources',
    ])
    .where('rule.network_id', '=', network)
    .$if(ids !== undefined, (query) => query.where('rule.id', 'in', ids ?? []))
    .execute();
  return rows.map((row) => ({
    id: row.id,
    publicAddress: row.address,
    protocol: row.protocol,
    firstPort: row.first_port,
    lastPort: row.last_port,
    icmpType: row.icmp_type,
    icmpCode: row.icmp_code,
    sources: JSON.parse(row.sources) as string[],
  }));
};

const loadEgressRules = async (
  db: Db,
  network: string,
  ids: readonly string[] | undefined,
  egressDefault: 'allow' | 'deny',
): Promise<EgressRuleFact[]> => {
  const rows = await db
    .selectFrom('egress_rule')
    .select([
      'id',
      'protocol',
      'first_port',
      'last_port',
      'icmp_type',
      'icmp_code',
      'sources',
      'destinations',
    ])
    .where('network_id', '=', network)
    .$if(ids !== undefined, (query) => query.where('id', 'in', ids ?? []))
    .execute();
  const exits = await loadProbeExits(db, network, egressDefault);
  const rules = rows.map(
    (row): EgressRuleFact => ({
      id: row.id,
      protocol: row.protocol,
      firstPort: row.first_port,
      lastPort: row.last_port,
      icmpType: row.icmp_type,
      icmpCode: row.icmp_code,
      sources: JSON.parse(row.sources) as string[],
      destinations: JSON.parse(row.destinations) as string[],
    }),
  );
  return [...rules, ...exits.filter(({ id }) => ids === undefined || ids.includes(id))];
};

const loadPortForwards = async (
  db: Db,
  network: string,
  ids: readonly string[] | undefined,
): Promise<PortForwardFact[]> => {
  const rows = await db
    .selectFrom('port_forward as forward')
    .innerJoin('public_ip', 'public_ip.id', 'forward.public_ip_id')
    .innerJoin('port', 'port.id', 'forward.port_id')
    .select([
      'forward.id',
      'public_ip.address as public_address',
      'forward.protocol',
      'forward.first_public_port',
      'forward.last_public_port',
      'forward.first_guest_port',
      'forward.last_guest_port',
      'port.address as guest_address',
    ])
    .where('forward.network_id', '=', network)
    .where('port.address', 'is not', null)
    .$narrowType<{ guest_address: NotNull }>()
    .$if(ids !== undefined, (query) => query.where('forward.id', 'in', ids ?? []))
    .execute();
  return rows.map((row) => ({
    id: row.id,
    publicAddress: row.public_address,
    protocol: row.protocol,
    firstPublicPort: row.first_public_port,
    lastPublicPort: row.last_public_port,
    firstGuestPort: row.first_guest_port,
    lastGuestPort: row.last_guest_port,
    guestAddress: row.guest_address,
  }));
};

const loadStaticNats = async (
  db: Db,
  network: string,
  ids: readonly string[] | undefined,
): Promise<StaticNatFact[]> => {
  const rows = await db
    .selectFrom('static_nat as nat')
    .innerJoin('public_ip', 'public_ip.id', 'nat.public_ip_id')
    .innerJoin('port', 'port.id', 'nat.port_id')
    .select(['nat.id', 'public_ip.address as public_address', 'port.address as guest_address', 'nat.port_id'])
    .where('nat.network_id', '=', network)
    .where('port.address', 'is not', null)
    .$narrowType<{ guest_address: NotNull }>()
    .$if(ids !== undefined, (query) => query.where('nat.id', 'in', ids ?? []))
    .execute();
  return rows.map((row) => ({
    id: row.id,
    publicAddress: row.public_address,
    guestAddress: row.guest_address,
    port: row.port_id,
  }));
};

const loadLoadBalancers = async (
  db: Db,
  network: string,
  ids: readonly string[] | undefined,
): Promise<LoadBalancerFact[]> => {
  const balancers = await db
    .selectFrom('load_balancer as balancer')
    .innerJoin('public_ip', 'public_ip.id', 'balancer.public_ip_id')
    .select(['balancer.id', 'public_ip.address', 'balancer.port', 'balancer.protocol', 'balancer.algorithm'])
    .where('balancer.network_id', '=', network)
    .$if(ids !== undefined, (query) => query.where('balancer.id', 'in', ids ?? []))
    .execute();
  if (balancers.length === 0) return [];
  const members = await db
    .selectFrom('load_balancer_member as member')
    .innerJoin('load_balancer', 'load_balancer.id', 'member.load_balancer_id')
    .innerJoin('port', 'port.id', 'member.port_id')
    .select(['member.id', 'member.load_balancer_id', 'member.guest_port', 'member.draining', 'port.address'])
    .where('load_balancer.network_id', '=', network)
    .where('port.address', 'is not', null)
    .$narrowType<{ address: NotNull }>()
    .$if(ids !== undefined, (query) => query.where('load_balancer.id', 'in', ids ?? []))
    .execute();
  const membersOf = Map.groupBy(members, (member) => member.load_balancer_id);
  return balancers.map((row) => ({
    id: row.id,
    publicAddress: row.address,
    port: row.port,
    protocol: row.protocol,
    algorithm: row.algorithm,
    members: (membersOf.get(row.id) ?? []).map((member) => ({
      id: member.id,
      guestAddress: member.address,
      guestPort: member.guest_port,
      draining: member.draining === 1,
    })),
  }));
};

const loadGuests = async (
  db: Db,
  network: string,
  ids: readonly string[] | undefined,
  decryptPassword: DecryptPassword,
): Promise<GuestFact[]> => {
  const rows = await db
    .selectFrom('port')
    .innerJoin('instance', 'instance.id', 'port.instance_id')
    .leftJoin('static_nat', 'static_nat.port_id', 'port.id')
    .leftJoin('public_ip', 'public_ip.id', 'static_nat.public_ip_id')
    .select([
      'port.id',
      'port.mac',
      'port.address',
      'instance.id as instance_id',
      'instance.hostname',
      'instance.user_data',
      'instance.public_keys',
      'instance.meta_data',
      'instance.password',
      'public_ip.address as public_address',
    ])
    .where('port.network_id', '=', network)
    .where('port.role', '=', 'guest')
    .where('port.address', 'is not', null)
    .$narrowType<{ address: NotNull }>()
    .$if(ids !== undefined, (query) => query.where('port.id', 'in', ids ?? []))
    .execute();
  return rows.map((row) => ({
    id: row.id,
    mac: row.mac,
    address: row.address,
    instance: row.instance_id,
    hostname: row.hostname,
    userData: row.user_data,
    publicKeys: JSON.parse(row.public_keys) as string[],
    metaData: JSON.parse(row.meta_data) as Record<string, string>,
    password: row.password === null ? null : decryptPassword(row.instance_id, row.password),
    staticNatAddress: row.public_address,
  }));
};
