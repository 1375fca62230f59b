/** What must hold in the database at every moment, whatever was killed when. */
import { ipRange, type Ipv4, type Ipv4Prefix, prefixRange, rangeContains } from 'ip';
import type { Db } from '../store/transaction.ts';

const doubles = (texts: readonly string[]): string[] =>
  texts.filter((text, index) => texts.indexOf(text) !== index);

/** Everything that is wrong, empty when all is well. */
export const violations = async (db: Db): Promise<string[]> => {
  const wrong: string[] = [];
  const networks = await db.selectFrom('network').selectAll().execute();
  const ports = await db.selectFrom('port').selectAll().execute();
  const routers = await db.selectFrom('router').selectAll().execute();
  const instances = await db.selectFrom('instance').selectAll().execute();
  const publicIps = await db.selectFrom('public_ip').selectAll().execute();
  const ranges = await db.selectFrom('public_ip_range').selectAll().execute();
  const guests = ports.filter(({ role }) => role === 'guest');
  const network = new Map(networks.map((row) => [row.id, row]));

  const twice = (what: string, keys: readonly string[]) =>
    wrong.push(...doubles(keys).map((key) => `${what} twice: ${key}`));
  twice(
    'guest address',
    guests.map(({ network_id, address }) => `${network_id} ${address}`),
  );
  twice(
    'guest MAC',
    guests.map(({ mac }) => mac),
  );
  twice(
    'public address',
    publicIps.map(({ zone_id, address }) => `${zone_id} ${address}`),
  );
  twice(
    'VNI',
    networks.filter(({ vni }) => vni !== null).map(({ zone_id, vni }) => `${zone_id} ${vni}`),
  );
  twice(
    'network MAC',
    networks.flatMap(({ gateway_mac, public_mac }) => [gateway_mac, public_mac]),
  );
  twice(
    'active router of a network',
    routers.filter(({ role }) => role === 'active').map(({ network_id }) => network_id),
  );
  twice(
    'source NAT',
    publicIps.filter((ip) => ip.source_nat === 1).map((ip) => ip.network_id),
  );

  for (const row of networks) {
    const router = routers.find(({ network_id, role }) => network_id === row.id && role === 'active');
    const runs = ['implementing', 'implemented'].includes(row.state);
    if (runs !== (router !== undefined)) wrong.push(`${row.id} is ${row.state} with router ${router?.id}`);
    if (runs && row.vni === null) wrong.push(`${row.id} is ${row.state} without VNI`);
    if (row.state === 'allocated' && row.vni !== null)
      wrong.push(`${row.id} is allocated with VNI ${row.vni}`);
    const own = guests.filter(({ network_id }) => network_id === row.id);
    if (own.length > 0 && !runs) wrong.push(`${row.id} is ${row.state} with guests`);
    if (own.length > 0 && row.idle_since !== null) wrong.push(`${row.id} is idle with guests`);
    if (router !== undefined) {
      const roles = ports.filter(({ router_id }) => router_id === router.id).map(({ role }) => role);
      if (!roles.includes('router-guest')) wrong.push(`${router.id} has no guest port`);
      if (!publicIps.some((ip) => ip.network_id === row.id && ip.source_nat === 1))
        wrong.push(`${row.id} runs without source NAT address`);
    }
  }
  for (const row of instances)
    if (!guests.some(({ instance_id }) => instance_id === row.id)) wrong.push(`${row.id} has no port`);
  for (const row of guests) {
    const home = network.get(row.network_id);
    if (home === undefined || row.instance_id === null) wrong.push(`${row.id} is nobody's`);
    else if (
      !rangeContains(prefixRange(home.prefix as Ipv4Prefix), row.address as Ipv4) ||
      row.address === home.gateway
    )
      wrong.push(`${row.address} is no guest address of ${home.prefix}`);
  }
  for (const row of publicIps) {
    const range = ranges.find(({ id }) => id === row.range_id);
    const span = range === undefined ? null : ipRange(range.first as Ipv4, range.last as Ipv4);
    if (span === null || !rangeContains(span, row.address as Ipv4) || row.address === range?.gateway)
      wrong.push(`${row.address} is in no range`);
  }
  for (const table of ['firewall_rule', 'port_forward', 'static_nat', 'load_balancer'] as const)
    for (const rule of await db.selectFrom(table).select(['id', 'public_ip_id', 'network_id']).execute())
      if (!publicIps.some((ip) => ip.id === rule.public_ip_id && ip.network_id === rule.network_id))
        wrong.push(`${rule.id} is on an address of another network`);
  const router = new Map(routers.map((row) => [row.id, row]));
  for (const row of routers) {
    for (const [side, id] of [
      ['older', row.older_id],
      ['newer', row.newer_id],
    ] as const) {
      const neighbour = id === null ? undefined : router.get(id);
      if (id !== null && neighbour?.network_id !== row.network_id)
        wrong.push(`the ${side} neighbour ${id} of ${row.id} is not on its network`);
    }
    if (row.role === 'draining' && row.newer_id === null) wrong.push(`${row.id} drains and hands to nobody`);
    if (row.newer_id !== null && row.newer_id === row.older_id) wrong.push(`${row.id} stands between itself`);
    const newest = await db
      .selectFrom('router_change')
      .select((eb) => eb.fn.max('generation').as('generation'))
      .where('router_id', '=', row.id)
      .executeTakeFirst();
    if (row.generation > 1 && newest?.generation !== row.generation)
      wrong.push(`${row.id} is at ${row.generation}, its changes at ${newest?.generation}`);
  }
  return wrong;
};
