import { type Ipv4 as Address, type Ipv4Prefix, ipRange, prefixRange, rangeContains, rangeSize } from 'ip';
import { Type } from 'typebox';
import { publicRangeProblems } from '../../model/address-checks.ts';
import { recorded } from '../../model/conditions.ts';
import { recordEvent } from '../../store/events.ts';
import { deleteRow, insertRow } from '../../store/rows.ts';
import { touchHost } from '../../store/touch.ts';
import type { Trx } from '../../store/transaction.ts';
import { inUseProblems } from '../in-use.ts';
import { zoneFor } from '../references.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { body, Id, IdOrName, Ipv4, Ipv4Prefix as Prefix, isoTime, resourceSchema } from '../schemas.ts';

const PublicIpRange = resourceSchema('PublicIpRange', 'Public addresses of a zone that may be given out.', {
  zone: Id,
  prefix: Prefix,
  gateway: Ipv4,
  first: Ipv4,
  last: Ipv4,
  free: Type.Integer(),
  used: Type.Integer(),
});

const kind: Kind<'public_ip_range', typeof PublicIpRange> = {
  name: 'public IP range',
  path: 'public-ip-ranges',
  word: 'PublicIpRange',
  table: 'public_ip_range',
  schema: PublicIpRange,
  readers: 'admin',
  writers: 'admin',
  render: async (db, rows) => {
    const counts =
      rows.length === 0
        ? []
        : await db
            .selectFrom('public_ip')
            .select(['range_id', (eb) => eb.fn.countAll<number>().as('count')])
            .where(
              'range_id',
              'in',
              rows.map(({ id }) => id),
            )
            .groupBy('range_id')
            .execute();
    const used = new Map(counts.map(({ range_id, count }) => [range_id, Number(count)]));
    return rows.map((row) => {
      const span = ipRange(row.first as Address, row.last as Address);
      const size = span === null ? 0 : Number(rangeSize(span));
      const gateway = span !== null && rangeContains(span, row.gateway as Address) ? 1 : 0;
      const taken = used.get(row.id) ?? 0;
      const free = size - gateway - taken;
      return {
        id: row.id,
        zone: row.zone_id,
        prefix: row.prefix,
        gateway: row.gateway,
        first: row.first,
        last: row.last,
        free,
        used: taken,
        createdAt: isoTime(row.created_at),
        conditions: recorded(
          row.created_at,
          free > 0,
          free > 0 ? 'AddressesFree' : 'Exhausted',
          free > 0 ? '' : 'Every address is taken; add a range.',
        ),
      };
    });
  },
};

/** Hosts make the public segment when the zone has its first range, and remove it with the last. */
const touchHosts = async (trx: Trx, zone: string): Promise<void> => {
  const hosts = await trx.selectFrom('host').select('id').where('zone_id', '=', zone).execute();
  for (const { id } of hosts) await touchHost(trx, id);
};

export const publicIpRanges: Register = (resource) => {
  resource(kind)
    .list({ filters: { zone: { column: 'zone_id', schema: Id } } })
    .show()
    .create(
      body({
        zone: Type.Optional(IdOrName),
        prefix: Prefix,
        gateway: Ipv4,
        first: Type.Optional(Ipv4),
        last: Type.Optional(Ipv4),
      }),
      {},
      async (write) => {
        const { trx, body, findings } = write;
        const zone = await zoneFor(write, body.zone);
        const hosts = prefixRange(body.prefix as Ipv4Prefix);
        const range = {
          prefix: body.prefix,
          gateway: body.gateway,
          first: body.first ?? (hosts.first as string),
          last: body.last ?? (hosts.last as string),
        };
        const others =
          zone === undefined
            ? []
            : await trx.selectFrom('public_ip_range').selectAll().where('zone_id', '=', zone.id).execute();
        const networks =
          zone === undefined
            ? []
            : await trx
                .selectFrom('network')
                .select(['id', 'prefix'])
                .where('zone_id', '=', zone.id)
                .execute();
        findings.add(publicRangeProblems(range, others, networks));
        findings.check();
        const row = await insertRow(trx, 'public_ip_range', 'range', {
          zone_id: zone?.id as string,
          ...range,
        });
        await touchHosts(trx, row.zone_id);
        await recordEvent(trx, {
          account: null,
          type: 'public-ip-range.created',
          resource: row.id,
          message: `Public range ${row.first}-${row.last} was added`,
        });
        return { id: row.id };
      },
    )
    .remove(async ({ trx, findings }, row) => {
      findings.add(
        await inUseProblems(trx, 'public range', row.id, [
          ['public_ip', 'range_id', 'public address'],
          ['probe', 'range_id', 'probe of an upgrade run'],
        ]),
        409,
      );
      findings.check();
      await deleteRow(trx, 'public_ip_range', row.id);
      await touchHosts(trx, row.zone_id);
      await recordEvent(trx, {
        account: null,
        type: 'public-ip-range.removed',
        resource: row.id,
        message: `Public range ${row.first}-${row.last} was removed`,
      });
      return {};
    });
};
