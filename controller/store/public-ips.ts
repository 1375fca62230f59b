import type { Selectable } from 'kysely';
import { rangeContains, type Ipv4 } from 'ip';
import { lowestFreePublicAddress } from '../model/allocation.ts';
import { Refusal } from '../model/refusal.ts';
import { insertRow } from './rows.ts';
import type { PublicIpTable } from './schema.ts';
import type { Db, Trx } from './transaction.ts';

const refusal = (status: number, pointer: string, code: string, message: string, hint: string): Refusal =>
  new Refusal(status, code, message, [{ pointer, code, message, hint }]);

/**
 * Gives a network a public address of its zone: the one asked for, or the lowest free.
 * @throws {Refusal} 409 `no-public-address` when all are taken, `address-taken`, 422 `address-outside-range`.
 */
export const allocatePublicIp = async (
  trx: Trx,
  network: { readonly id: string; readonly zone_id: string; readonly account_id: string },
  options: {
    readonly sourceNat: boolean;
    readonly generation: number;
    readonly address?: string | undefined;
  },
): Promise<Selectable<PublicIpTable>> => {
  const ranges = await trx
    .selectFrom('public_ip_range')
    .selectAll()
    .where('zone_id', '=', network.zone_id)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const insert = (range: string, address: string) =>
    insertRow(trx, 'public_ip', 'pip', {
      zone_id: network.zone_id,
      range_id: range,
      address,
      account_id: network.account_id,
      network_id: network.id,
      source_nat: options.sourceNat ? 1 : 0,
      generation: options.generation,
    });
  const asked = options.address;
  if (asked !== undefined) {
    const range = ranges.find(({ first, last, gateway }) =>
      asked === gateway ? false : rangeContains({ first: first as Ipv4, last: last as Ipv4 }, asked as Ipv4),
    );
    if (range === undefined)
      throw refusal(
        422,
        '/address',
        'address-outside-range',
        `${asked} is in no public range of the zone`,
        ranges.length === 0
          ? 'The zone has no public range; an administrator adds one.'
          : `Give an address of ${ranges.map(({ first, last }) => `${first}-${last}`).join(', ')}, or none to have one chosen.`,
      );
    const holder = await trx
      .selectFrom('public_ip')
      .select('id')
      .where('zone_id', '=', network.zone_id)
      .where('address', '=', asked)
      .executeTakeFirst();
    const probe = await trx
      .selectFrom('probe')
      .select('id')
      .where('range_id', '=', range.id)
      .where('address', '=', asked)
      .executeTakeFirst();
    if (holder !== undefined || probe !== undefined)
      throw refusal(
        409,
        '/address',
        'address-taken',
        `${asked} is taken`,
        'Give another address, or none to have one chosen.',
      );
    return insert(range.id, asked);
  }
  for (const range of ranges) {
    const used = await trx
      .selectFrom('public_ip')
      .select('address')
      .where('range_id', '=', range.id)
      .execute();
    const probes = await trx.selectFrom('probe').select('address').where('range_id', '=', range.id).execute();
    const taken = new Set([...used, ...probes].map(({ address }) => address));
    const free = lowestFreePublicAddress([range], taken);
    if (free !== null) return insert(free.range, free.address);
  }
  throw refusal(
    409,
    '',
    'no-public-address',
    ranges.length === 0 ? 'The zone has no public range' : 'Every public address of the zone is taken',
    'An administrator adds a range (POST /v1/public-ip-ranges), or release an address that is not needed.',
  );
};

export interface PublicIpUse {
  readonly id: string;
  readonly kind: 'firewall rule' | 'port forward' | 'static NAT' | 'load balancer';
}

const users = [
  ['firewall_rule', 'firewall rule'],
  ['port_forward', 'port forward'],
  ['static_nat', 'static NAT'],
  ['load_balancer', 'load balancer'],
] as const;

/** How many of a kind are named; an address may have tens of thousands. */
const USES_NAMED = 100;

/** What uses each of these addresses, by the address's id; of each kind at most 100. */
export const publicIpUses = async (
  db: Db,
  publicIpIds: readonly string[],
): Promise<Map<string, PublicIpUse[]>> => {
  const uses = new Map<string, PublicIpUse[]>();
  for (const publicIp of publicIpIds) {
    const found: PublicIpUse[] = [];
    for (const [table, kind] of users) {
      const rows = await db
        .selectFrom(table)
        .select('id')
        .where('public_ip_id', '=', publicIp)
        .limit(USES_NAMED)
        .execute();
      for (const { id } of rows) found.push({ id, kind });
    }
    uses.set(publicIp, found);
  }
  return uses;
};
