/** Look-ups among the rules of public addresses and guests, and their removal. */
import type { Claim, StoredMatch } from '../model/conflicts.ts';
import type { MatchGiven, PortSpan } from '../model/rule-checks.ts';
import { matchColumns } from '../model/rule-checks.ts';
import type { Db } from './transaction.ts';

/** Port forwards and load balancers of an address whose ports touch these. */
export const claimsOn = async (
  db: Db,
  publicIpId: string,
  wanted: PortSpan & { readonly protocol: 'tcp' | 'udp' },
): Promise<Claim[]> => {
  // Forwards of one address do not overlap each other, so besides those that begin within the wanted ports only the
  // last one before them can reach in. Two searches in the index, however many there are.
  const forwardsFrom = db
    .selectFrom('port_forward')
    .select(['id', 'protocol', 'first_public_port', 'last_public_port'])
    .where('public_ip_id', '=', publicIpId)
    .where('protocol', '=', wanted.protocol);
  const before = await forwardsFrom
    .where('first_public_port', '<', wanted.first)
    .orderBy('first_public_port', 'desc')
    .limit(1)
    .execute();
  const within = await forwardsFrom
    .where('first_public_port', '>=', wanted.first)
    .where('first_public_port', '<=', wanted.last)
    .orderBy('first_public_port')
    .execute();
  const forwards = [...before.filter((row) => row.last_public_port >= wanted.first), ...within];
  const balancers =
    wanted.protocol === 'udp'
      ? []
      : await db
          .selectFrom('load_balancer')
          .select(['id', 'port'])
          .where('public_ip_id', '=', publicIpId)
          .where('port', '>=', wanted.first)
          .where('port', '<=', wanted.last)
          .execute();
  return [
    ...forwards.map((row) => ({
      id: row.id,
      protocol: row.protocol,
      first: row.first_public_port,
      last: row.last_public_port,
    })),
    ...balancers.map((row) => ({ id: row.id, protocol: 'tcp' as const, first: row.port, last: row.port })),
  ];
};

/** The static NAT of a public address or of a guest port, null when it has none. */
export const staticNatOf = async (
  db: Db,
  column: 'public_ip_id' | 'port_id',
  id: string,
): Promise<{ readonly id: string } | null> =>
  (await db.selectFrom('static_nat').select('id').where(column, '=', id).executeTakeFirst()) ?? null;

/** Firewall rules of an address that match the same packets but for the source. */
export const firewallRulesLike = async (
  db: Db,
  publicIpId: string,
  match: MatchGiven,
): Promise<StoredMatch[]> => {
  const columns = matchColumns(match);
  const rows = await db
    .selectFrom('firewall_rule')
    .select(['id', 'sources', 'last_port', 'icmp_type', 'icmp_code'])
    .where('public_ip_id', '=', publicIpId)
    .where('protocol', '=', columns.protocol)
    .where('first_port', 'is', columns.first_port)
    .execute();
  return rows
    .filter(
      (row) =>
        row.last_port === columns.last_port &&
        row.icmp_type === columns.icmp_type &&
        row.icmp_code === columns.icmp_code,
    )
    .map((row) => ({ id: row.id, sources: JSON.parse(row.sources) as string[], destinations: [] }));
};

/** Egress rules of a network that match the same packets but for the addresses. */
export const egressRulesLike = async (
  db: Db,
  networkId: string,
  match: MatchGiven,
): Promise<StoredMatch[]> => {
  const columns = matchColumns(match);
  const rows = await db
    .selectFrom('egress_rule')
    .select(['id', 'sources', 'destinations', 'last_port', 'icmp_type', 'icmp_code'])
    .where('network_id', '=', networkId)
    .where('protocol', '=', columns.protocol)
    .where('first_port', 'is', columns.first_port)
    .execute();
  return rows
    .filter(
      (row) =>
        row.last_port === columns.last_port &&
        row.icmp_type === columns.icmp_type &&
        row.icmp_code === columns.icmp_code,
    )
    .map((row) => ({
      id: row.id,
      sources: JSON.parse(row.sources) as string[],
      destinations: JSON.parse(row.destinations) as string[],
    }));
};
