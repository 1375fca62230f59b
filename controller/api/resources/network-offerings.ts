import { Type } from 'typebox';
import { ALL_SERVICES } from '../../auth/bootstrap.ts';
import { recorded } from '../../model/conditions.ts';
import { problem } from '../../model/problem.ts';
import { repeatedProblems } from '../../model/rule-checks.ts';
import { recordEvent } from '../../store/events.ts';
import { deleteRow, insertRow, updateRow } from '../../store/rows.ts';
import { inUseProblems } from '../in-use.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { body, isoTime, Name, oneOf, resourceSchema } from '../schemas.ts';

const services = Type.Array(oneOf(ALL_SERVICES), { minItems: 1, maxItems: ALL_SERVICES.length });
const egressDefault = oneOf(['allow', 'deny'], {
  description: 'What guests may do where no egress rule matches.',
});
const persistent = Type.Boolean({ description: 'True: the router runs from the start, guests or not.' });
const state = oneOf(['enabled', 'disabled'], { description: 'Disabled: no new networks from it.' });

const NetworkOffering = resourceSchema('NetworkOffering', 'What networks made from it have.', {
  name: Name,
  services,
  egressDefault,
  persistent,
  state,
});

const kind: Kind<'network_offering', typeof NetworkOffering> = {
  name: 'network offering',
  path: 'network-offerings',
  word: 'NetworkOffering',
  table: 'network_offering',
  schema: NetworkOffering,
  readers: 'everyone',
  writers: 'admin',
  render: async (_db, rows) =>
    rows.map((row) => ({
      id: row.id,
      name: row.name,
      services: JSON.parse(row.services) as (typeof ALL_SERVICES)[number][],
      egressDefault: row.egress_default,
      persistent: row.persistent === 1,
      state: row.state,
      createdAt: isoTime(row.created_at),
      conditions: recorded(
        row.created_at,
        row.state === 'enabled',
        row.state === 'enabled' ? 'Enabled' : 'Disabled',
      ),
    })),
};

export const networkOfferings: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        name: { column: 'name', schema: Name },
        state: { column: 'state', schema: state },
      },
    })
    .show()
    .create(
      body({
        name: Name,
        services: Type.Optional(services),
        egressDefault: Type.Optional(egressDefault),
        persistent: Type.Optional(persistent),
      }),
      {},
      async ({ trx, body, findings }) => {
        const wanted = body.services ?? [...ALL_SERVICES];
        findings.add(repeatedProblems('/services', wanted));
        for (const [service, needed] of [
          ['static-nat', 'firewall'],
          ['port-forward', 'firewall'],
          ['load-balancer', 'firewall'],
        ] as const)
          if (wanted.includes(service) && !wanted.includes(needed))
            findings.add([
              problem(
                '/services',
                'service-missing',
                `${service} needs ${needed}: everything is closed until a firewall rule opens it`,
                `Add ${needed}, or leave ${service} out.`,
              ),
            ]);
        findings.check();
        const row = await insertRow(trx, 'network_offering', 'off', {
          name: body.name,
          services: JSON.stringify(wanted),
          egress_default: body.egressDefault ?? 'deny',
          persistent: body.persistent === true ? 1 : 0,
          state: 'enabled',
        });
        await recordEvent(trx, {
          account: null,
          type: 'network-offering.created',
          resource: row.id,
          message: `Network offering ${row.name} was created`,
        });
        return { id: row.id };
      },
    )
    .change(body({ name: Type.Optional(Name), state: Type.Optional(state) }), async ({ trx, body }, row) => {
      await updateRow(trx, 'network_offering', row.id, {
        name: body.name ?? row.name,
        state: body.state ?? row.state,
      });
      await recordEvent(trx, {
        account: null,
        type: 'network-offering.changed',
        resource: row.id,
        message: `Network offering ${row.name} was changed`,
      });
      return {};
    })
    .remove(async ({ trx, findings }, row) => {
      findings.add(
        await inUseProblems(trx, 'network offering', row.id, [['network', 'offering_id', 'network']]),
        409,
      );
      findings.check();
      await deleteRow(trx, 'network_offering', row.id);
      await recordEvent(trx, {
        account: null,
        type: 'network-offering.removed',
        resource: row.id,
        message: `Network offering ${row.name} was removed`,
      });
      return {};
    });
};
