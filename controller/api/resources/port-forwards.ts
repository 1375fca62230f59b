import { Type } from 'typebox';
import { claimConflicts } from '../../model/conflicts.ts';
import { forwardProblems, type PortSpan, portSpan } from '../../model/rule-checks.ts';
import { assertFound } from '../../model/findings.ts';
import { touchRule } from '../../plan/touched.ts';
import { recordEvent } from '../../store/events.ts';
import { insertRow } from '../../store/rows.ts';
import { claimsOn, firewallRulesLike, staticNatOf } from '../../store/rules.ts';
import { forwardWords, removePortForward } from '../remove-rules.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { PortRange, PortsGiven, transport } from '../rule-schemas.ts';
import {
  appliedConditions,
  deliverRule,
  guestPortFor,
  guestsByPort,
  ofInstance,
  publicAddresses,
  publicIpFor,
} from '../rules.ts';
import { body, Id, isoTime, resourceSchema, textOrNull } from '../schemas.ts';

const PortForward = resourceSchema('PortForward', 'Ports of a public address to as many ports of a guest.', {
  account: Id,
  network: Id,
  publicIp: Id,
  address: Type.String(),
  protocol: transport,
  publicPorts: PortRange,
  instance: Id,
  port: Id,
  guestAddress: Type.String(),
  guestPorts: PortRange,
  firewallRule: textOrNull('Rule that was made along with it.'),
});

const kind: Kind<'port_forward', typeof PortForward> = {
  name: 'port forward',
  path: 'port-forwards',
  word: 'PortForward',
  table: 'port_forward',
  schema: PortForward,
  readers: 'owner',
  writers: 'owner',
  render: async (db, rows, now) => {
    const conditions = await appliedConditions(db, rows, now);
    const addresses = await publicAddresses(
      db,
      rows.map(({ public_ip_id }) => public_ip_id),
    );
    const guests = await guestsByPort(
      db,
      rows.map(({ port_id }) => port_id),
    );
    const ids = rows.map(({ id }) => id);
    const opened =
      ids.length === 0
        ? []
        : await db
            .selectFrom('firewall_rule')
            .select(['id', 'opened_by'])
            .where('opened_by', 'in', ids)
            .execute();
    const openedBy = new Map(opened.map((rule) => [rule.opened_by, rule.id]));
    return rows.map((row, index) => ({
      id: row.id,
      account: row.account_id,
      network: row.network_id,
      publicIp: row.public_ip_id,
      address: addresses.get(row.public_ip_id) ?? '',
      protocol: row.protocol,
      publicPorts: { first: row.first_public_port, last: row.last_public_port },
      instance: guests.get(row.port_id)?.instance ?? '',
      port: row.port_id,
      guestAddress: guests.get(row.port_id)?.address ?? '',
      guestPorts: { first: row.first_guest_port, last: row.last_guest_port },
      firewallRule: openedBy.get(row.id) ?? null,
      createdAt: isoTime(row.created_at),
      conditions: conditions[index] ?? [],
    }));
  },
};

const ANYONE = '0.0.0.0/0';

export const portForwards: Register = (resource) => {
  resource(kind)
    .list({
      lookups: { instance: ofInstance },
      filters: {
        publicIp: { column: 'public_ip_id', schema: Id },
        network: { column: 'network_id', schema: Id },
        port: { column: 'port_id', schema: Id },
        protocol: { column: 'protocol', schema: transport },
      },
    })
    .show()
    .create(
      body({
        publicIp: Id,
        protocol: transport,
        publicPorts: PortsGiven,
        instance: Type.Optional(Id),
        port: Type.Optional(Id),
        guestPorts: Type.Optional(PortsGiven),
        openFirewall: Type.Optional(
          Type.Boolean({
            description: 'True: a firewall rule for everyone is made, and goes, along with it.',
          }),
        ),
      }),
      {},
      async (write) => {
        const { trx, body, findings } = write;
        const publicPorts = portSpan(body.publicPorts);
        const guestPorts: PortSpan = portSpan(body.guestPorts ?? body.publicPorts);
        findings.add(forwardProblems(publicPorts, guestPorts));
        const ip = await publicIpFor(write, body.publicIp, 'port-forward');
        const guest =
          ip === undefined
            ? undefined
            : await guestPortFor(write, ip.network_id, body, { instance: '/instance', port: '/port' });
        const wanted = { protocol: body.protocol, ...publicPorts };
        if (ip !== undefined && publicPorts.first <= publicPorts.last)
          findings.add(
            claimConflicts(
              wanted,
              ip.address,
              await claimsOn(trx, ip.id, wanted),
              await staticNatOf(trx, 'public_ip_id', ip.id),
              '/publicPorts',
            ),
            409,
          );
        findings.check();
        assertFound(ip);
        assertFound(guest);
        const row = await insertRow(trx, 'port_forward', 'pf', {
          network_id: ip.network_id,
          account_id: ip.account_id,
          public_ip_id: ip.id,
          port_id: guest.id,
          protocol: body.protocol,
          first_public_port: publicPorts.first,
          last_public_port: publicPorts.last,
          first_guest_port: guestPorts.first,
          last_guest_port: guestPorts.last,
          generation: 0,
        });
        const touches = touchRule('portForwards', row.id);
        const open = body.openFirewall === true ? { protocol: body.protocol, ports: publicPorts } : null;
        const alreadyOpen =
          open !== null &&
          (await firewallRulesLike(trx, ip.id, open)).some(({ sources }) => sources.includes(ANYONE));
        const rule =
          open === null || alreadyOpen
            ? undefined
            : await insertRow(trx, 'firewall_rule', 'fw', {
                network_id: ip.network_id,
                account_id: ip.account_id,
                public_ip_id: ip.id,
                protocol: body.protocol,
                first_port: publicPorts.first,
                last_port: publicPorts.last,
                icmp_type: null,
                icmp_code: null,
                sources: JSON.stringify([ANYONE]),
                opened_by: row.id,
                generation: 0,
              });
        if (rule !== undefined) {
          touches.push(...touchRule('firewallRules', rule.id));
          await recordEvent(trx, {
            account: ip.account_id,
            type: 'firewall-rule.created',
            resource: rule.id,
            message: `firewall rule created along with the port forward ${row.id}`,
          });
        }
        const { generation, operation } = await deliverRule(trx, {
          network: ip.network_id,
          account: ip.account_id,
          id: row.id,
          kind: 'port-forward',
          verb: 'created',
          touches,
          words: `${ip.address} ${forwardWords(row)} of ${guest.address}`,
        });
        await trx.updateTable('port_forward').set({ generation }).where('id', '=', row.id).execute();
        await trx.updateTable('firewall_rule').set({ generation }).where('opened_by', '=', row.id).execute();
        return { id: row.id, operation };
      },
    )
    .remove(async ({ trx }, row) => {
      const touches = await removePortForward(trx, row);
      const { operation } = await deliverRule(trx, {
        network: row.network_id,
        account: row.account_id,
        id: row.id,
        kind: 'port-forward',
        verb: 'removed',
        touches,
        words: forwardWords(row),
      });
      return { operation };
    });
};
