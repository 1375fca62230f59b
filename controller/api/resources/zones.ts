import { Type } from 'typebox';
import { guestPrefixProblems } from '../../model/address-checks.ts';
import { recorded } from '../../model/conditions.ts';
import { repeatedProblems } from '../../model/rule-checks.ts';
import { recordEvent } from '../../store/events.ts';
import { touchNetwork } from '../../store/routers.ts';
import { deleteRow, insertRow, updateRow } from '../../store/rows.ts';
import { inUseProblems } from '../in-use.ts';
import type { Kind } from '../kind.ts';
import type { Register } from '../register.ts';
import { body, Ip, Ipv4Prefix, isoTime, Name, resourceSchema } from '../schemas.ts';

const dns = Type.Array(Ip, { maxItems: 8, description: 'Resolvers that routers forward to, in order.' });
const domain = Type.String({ format: 'domain', description: 'Domain of networks that name none.' });
const publicMtu = Type.Integer({ minimum: 576, maximum: 9216 });

const Zone = resourceSchema('Zone', 'A site: hosts that share a public network.', {
  name: Name,
  dns,
  domain,
  guestPrefix: Ipv4Prefix,
  publicMtu,
});

export const zoneKind: Kind<'zone', typeof Zone> = {
  name: 'zone',
  path: 'zones',
  word: 'Zone',
  table: 'zone',
  schema: Zone,
  readers: 'everyone',
  writers: 'admin',
  render: async (_db, rows) =>
    rows.map((row) => ({
      id: row.id,
      name: row.name,
      dns: JSON.parse(row.dns) as string[],
      domain: row.domain,
      guestPrefix: row.guest_prefix,
      publicMtu: row.public_mtu,
      createdAt: isoTime(row.created_at),
      conditions: recorded(row.created_at),
    })),
};

export const zones: Register = (resource) => {
  resource(zoneKind)
    .list({ filters: { name: { column: 'name', schema: Name } } })
    .show()
    .create(
      body({
        name: Name,
        dns: Type.Optional(dns),
        domain: Type.Optional(domain),
        guestPrefix: Type.Optional(Ipv4Prefix),
        publicMtu: Type.Optional(publicMtu),
      }),
      {},
      async ({ trx, body, findings }) => {
        const { guestPrefix = '10.1.1.0/24' } = body;
        findings.add(guestPrefixProblems(guestPrefix, [], '/guestPrefix'));
        findings.add(repeatedProblems('/dns', body.dns ?? []));
        findings.check();
        const row = await insertRow(trx, 'zone', 'zone', {
          name: body.name,
          dns: JSON.stringify(body.dns ?? []),
          domain: body.domain ?? 'cloud.internal',
          guest_prefix: guestPrefix,
          public_mtu: body.publicMtu ?? 1500,
        });
        await recordEvent(trx, {
          account: null,
          type: 'zone.created',
          resource: row.id,
          message: `Zone ${row.name} was created`,
        });
        return { id: row.id };
      },
    )
    .change(
      body({
        name: Type.Optional(Name),
        dns: Type.Optional(dns),
        domain: Type.Optional(domain),
        guestPrefix: Type.Optional(Ipv4Prefix),
      }),
      async ({ trx, body, findings }, row) => {
        if (body.guestPrefix !== undefined) {
          const ranges = await trx
            .selectFrom('public_ip_range')
            .selectAll()
            .where('zone_id', '=', row.id)
            .execute();
          findings.add(guestPrefixProblems(body.guestPrefix, ranges, '/guestPrefix'));
        }
        findings.add(repeatedProblems('/dns', body.dns ?? []));
        findings.check();
        await updateRow(trx, 'zone', row.id, {
          name: body.name ?? row.name,
          dns: body.dns === undefined ? row.dns : JSON.stringify(body.dns),
          domain: body.domain ?? row.domain,
          guest_prefix: body.guestPrefix ?? row.guest_prefix,
        });
        if (body.dns !== undefined) {
          const networks = await trx
            .selectFrom('network')
            .select('id')
            .where('zone_id', '=', row.id)
            .where('state', '!=', 'allocated')
            .execute();
          for (const { id } of networks)
            await touchNetwork(trx, id, () => [{ collection: 'dns', itemId: '' }]);
        }
        await recordEvent(trx, {
          account: null,
          type: 'zone.changed',
          resource: row.id,
          message: `Zone ${row.name} was changed`,
        });
        return {};
      },
    )
    .remove(async ({ trx, findings }, row) => {
      findings.add(
        await inUseProblems(trx, 'zone', row.id, [
          ['host', 'zone_id', 'host'],
          ['public_ip_range', 'zone_id', 'public range'],
          ['network', 'zone_id', 'network'],
          ['instance', 'zone_id', 'instance'],
        ]),
        409,
      );
      findings.check();
      await deleteRow(trx, 'zone', row.id);
      await recordEvent(trx, {
        account: null,
        type: 'zone.removed',
        resource: row.id,
        message: `Zone ${row.name} was removed`,
      });
      return {};
    });
};
