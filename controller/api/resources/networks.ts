import { type Ipv4Prefix, prefixRange } from 'ip';
import { Type } from 'typebox';
import { guestPrefixProblems } from '../../model/address-checks.ts';
import { networkConditions } from '../../model/conditions.ts';
import { foremost, redundant as redundantCondition } from '../../model/redundancy.ts';
import { problem } from '../../model/problem.ts';
import { touchEverything } from '../../plan/touched.ts';
import { recordEvent } from '../../store/events.ts';
import { implementNetwork, newMac, removeRouters } from '../../store/networks.ts';
import { startOperation } from '../../store/operations.ts';
import { redundancyOf } from '../../store/redundancy.ts';
import { touchNetwork } from '../../store/routers.ts';
import { deleteRow, insertRow, updateRow } from '../../store/rows.ts';
import { replaceFields } from '../replace-request.ts';
import { restartNetwork } from '../restart-network.ts';
import { switchRedundancy } from '../switch-redundancy.ts';
import { accountFor, namedRow, zoneFor } from '../references.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import {
  body,
  Id,
  IdOrName,
  Ipv4,
  Ipv4Prefix as Prefix,
  isoTime,
  Name,
  numberOrNull,
  oneOf,
  textOrNull,
  resourceSchema,
} from '../schemas.ts';

/** 50 bytes below 1500: room for VXLAN over an IPv4 underlay (RFC 7348, 4.3). */
const DEFAULT_MTU = 1450;

const state = oneOf(['allocated', 'implementing', 'implemented', 'shutting-down', 'destroying'], {
  description: 'allocated: recorded, nothing runs; implemented: its router serves guests.',
});
const domain = Type.String({ format: 'domain' });
const mtu = Type.Integer({ minimum: 576, maximum: 9216 });
const redundant = Type.Boolean({
  description:
    'true: a second router stands by, which takes over with all connections should the active one die. Can be switched on a running network without loss.',
});
const cleanup = Type.Boolean({
  description: 'true: its router is replaced by a fresh one. false: it is given its whole document again.',
});

const Network = resourceSchema('Network', 'An isolated network of one account behind a router of its own.', {
  account: Id,
  zone: Id,
  offering: Id,
  name: Name,
  prefix: Prefix,
  gateway: Ipv4,
  domain,
  mtu,
  state,
  vni: numberOrNull('VXLAN network identifier while implemented.'),
  sourceNatAddress: textOrNull('Address all guests leave with.'),
  redundant,
  router: textOrNull('The router that serves.'),
  standby: textOrNull('The router that stands by for it; null: there is none (yet).'),
});

const kind: Kind<'network', typeof Network> = {
  name: 'network',
  path: 'networks',
  word: 'Network',
  table: 'network',
  schema: Network,
  readers: 'owner',
  writers: 'owner',
  render: async (db, rows, now) => {
    const ids = rows.map(({ id }) => id);
    const routers = await redundancyOf(db, ids);
    const addresses =
      ids.length === 0
        ? []
        : await db
            .selectFrom('public_ip')
            .select(['network_id', 'address'])
            .where('network_id', 'in', ids)
            .where('source_nat', '=', 1)
            .execute();
    const sourceNat = new Map(addresses.map(({ network_id, address }) => [network_id, address]));
    return rows.map((row) => {
      const { active: router, standbys } = routers.get(row.id) ?? { active: null, standbys: [] };
      return {
        id: row.id,
        account: row.account_id,
        zone: row.zone_id,
        offering: row.offering_id,
        name: row.name,
        prefix: row.prefix,
        gateway: row.gateway,
        domain: row.domain,
        mtu: row.mtu,
        state: row.state,
        vni: row.vni,
        sourceNatAddress: sourceNat.get(row.id) ?? null,
        redundant: row.redundant === 1,
        router: router?.id ?? null,
        standby: router === null ? null : (foremost(router.id, standbys)?.id ?? null),
        createdAt: isoTime(row.created_at),
        conditions: [
          ...networkConditions({ state: row.state, createdAt: row.created_at }, router, now),
          ...(row.redundant === 1
            ? [redundantCondition({ createdAt: row.created_at }, router, standbys)]
            : []),
        ],
      };
    });
  },
};

export const networks: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        zone: { column: 'zone_id', schema: Id },
        name: { column: 'name', schema: Name },
        state: { column: 'state', schema: state },
        offering: { column: 'offering_id', schema: Id },
      },
    })
    .show()
    .create(
      body({
        name: Name,
        zone: Type.Optional(IdOrName),
        offering: Type.Optional(IdOrName),
        prefix: Type.Optional(Prefix),
        domain: Type.Optional(domain),
        mtu: Type.Optional(mtu),
        redundant: Type.Optional(redundant),
        account: Type.Optional(IdOrName),
      }),
      {
        description:
          'Records the network. Nothing runs until its first guest, unless the offering is persistent. ' +
          'The gateway is the first address of the prefix.',
      },
      async (write) => {
        const { trx, body, findings } = write;
        const account = await accountFor(write, body.account);
        const zone = await zoneFor(write, body.zone);
        const offering = await namedRow(write, 'network_offering', body.offering ?? 'isolated', '/offering');
        const prefix = body.prefix ?? zone?.guest_prefix ?? '10.1.1.0/24';
        const ranges =
          zone === undefined
            ? []
            : await trx.selectFrom('public_ip_range').selectAll().where('zone_id', '=', zone.id).execute();
        findings.add(guestPrefixProblems(prefix, ranges));
        if (offering?.state === 'disabled')
          findings.add(
            [
              problem(
                '/offering',
                'offering-disabled',
                `The offering ${offering.name} is disabled`,
                'Choose one whose state is enabled.',
              ),
            ],
            409,
          );
        findings.check();
        const row = await insertRow(trx, 'network', 'net', {
          account_id: account as string,
          zone_id: zone?.id as string,
          offering_id: offering?.id as string,
          name: body.name,
          prefix,
          gateway: prefixRange(prefix as Ipv4Prefix).first,
          domain: body.domain ?? (zone?.domain as string),
          mtu: body.mtu ?? DEFAULT_MTU,
          state: 'allocated',
          vni: null,
          gateway_mac: await newMac(trx),
          public_mac: await newMac(trx),
          idle_since: null,
          redundant: body.redundant === true ? 1 : 0,
        });
        await recordEvent(trx, {
          account: row.account_id,
          type: 'network.created',
          resource: row.id,
          message: `Network ${row.name} (${row.prefix}) was created`,
        });
        if (offering?.persistent !== 1) return { id: row.id };
        const { operation } = await implementNetwork(trx, row.id);
        return { id: row.id, operation };
      },
    )
    .change(
      body({
        name: Type.Optional(Name),
        domain: Type.Optional(domain),
        redundant: Type.Optional(redundant),
      }),
      async ({ trx, body }, row) => {
        const renamed = body.domain !== undefined && body.domain !== row.domain;
        await updateRow(trx, 'network', row.id, {
          name: body.name ?? row.name,
          domain: body.domain ?? row.domain,
        });
        const { waitsFor } = renamed
          ? await touchNetwork(trx, row.id, () =>
              touchEverything.map(({ collection, itemId }) => ({ collection, itemId })),
            )
          : { waitsFor: [] };
        await recordEvent(trx, {
          account: row.account_id,
          type: 'network.changed',
          resource: row.id,
          message: `Network ${body.name ?? row.name} was changed`,
        });
        const operation = await startOperation(trx, {
          account: row.account_id,
          type: 'network.change',
          resource: row.id,
          waitsFor,
          message: 'The router is told the new domain',
        });
        // The longer of the two: a standby has the new domain from its first document on.
        if (body.redundant !== undefined && body.redundant !== (row.redundant === 1))
          return { operation: (await switchRedundancy(trx, row, body.redundant)) ?? operation };
        return { operation };
      },
    )
    .action(
      'POST',
      '/restart',
      { operationId: 'restartNetwork', summary: 'Restarts' },
      body({ cleanup: Type.Optional(cleanup), ...replaceFields }),
      async (write, row) => restartNetwork(write, row),
    )
    .remove(async ({ trx, findings }, row) => {
      const guests = await trx
        .selectFrom('port')
        .innerJoin('instance', 'instance.id', 'port.instance_id')
        .select(['instance.id', 'instance.name'])
        .where('port.network_id', '=', row.id)
        .limit(20)
        .execute();
      findings.add(
        guests.map(({ id, name }) =>
          problem('', 'in-use', `The instance ${name} (${id}) is on the network`, `Delete ${id} first.`),
        ),
        409,
      );
      findings.check();
      const waitsFor = await removeRouters(trx, row.id);
      for (const table of [
        'firewall_rule',
        'egress_rule',
        'port_forward',
        'static_nat',
        'load_balancer',
        'public_ip',
      ] as const)
        await trx.deleteFrom(table).where('network_id', '=', row.id).execute();
      await deleteRow(trx, 'network', row.id);
      await recordEvent(trx, {
        account: row.account_id,
        type: 'network.removed',
        resource: row.id,
        message: `Network ${row.name} was removed with its rules and public addresses`,
      });
      const operation = await startOperation(trx, {
        account: row.account_id,
        type: 'network.remove',
        resource: row.id,
        waitsFor,
        message: 'The router is taken away',
      });
      return { operation };
    });
};
