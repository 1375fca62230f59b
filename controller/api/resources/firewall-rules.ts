import { Type } from 'typebox';
import { duplicateRuleProblems } from '../../model/conflicts.ts';
import { matchColumns, matchProblems, repeatedProblems } from '../../model/rule-checks.ts';
import { assertFound } from '../../model/findings.ts';
import { touchRule } from '../../plan/touched.ts';
import { deleteRow, insertRow, updateRow } from '../../store/rows.ts';
import { firewallRulesLike } from '../../store/rules.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { IcmpGiven, match, matchOf, matchWords, PortsGiven, prefixes, protocol } from '../rule-schemas.ts';
import { appliedConditions, deliverRule, publicAddresses, publicIpFor } from '../rules.ts';
import { body, Id, isoTime, resourceSchema, textOrNull } from '../schemas.ts';

const FirewallRule = resourceSchema('FirewallRule', 'Opens a public address; all else is closed.', {
  account: Id,
  network: Id,
  publicIp: Id,
  address: Type.String(),
  ...match,
  sources: prefixes,
  openedBy: textOrNull('Id of the port forward it was made along with.'),
});

const kind: Kind<'firewall_rule', typeof FirewallRule> = {
  name: 'firewall rule',
  path: 'firewall-rules',
  word: 'FirewallRule',
  table: 'firewall_rule',
  schema: FirewallRule,
  readers: 'owner',
  writers: 'owner',
  render: async (db, rows, now) => {
    const conditions = await appliedConditions(db, rows, now);
    const addresses = await publicAddresses(
      db,
      rows.map(({ public_ip_id }) => public_ip_id),
    );
    return rows.map((row, index) => ({
      id: row.id,
      account: row.account_id,
      network: row.network_id,
      publicIp: row.public_ip_id,
      address: addresses.get(row.public_ip_id) ?? '',
      ...matchOf(row),
      sources: JSON.parse(row.sources) as string[],
      openedBy: row.opened_by,
      createdAt: isoTime(row.created_at),
      conditions: conditions[index] ?? [],
    }));
  },
};

export const firewallRules: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        publicIp: { column: 'public_ip_id', schema: Id },
        network: { column: 'network_id', schema: Id },
        protocol: { column: 'protocol', schema: protocol },
      },
    })
    .show()
    .create(
      body({
        publicIp: Id,
        protocol,
        ports: Type.Optional(PortsGiven),
        icmp: Type.Optional(IcmpGiven),
        sources: Type.Optional(prefixes),
      }),
      {},
      async (write) => {
        const { trx, body, findings } = write;
        const sources = body.sources ?? ['0.0.0.0/0'];
        findings.add(matchProblems(body));
        findings.add(repeatedProblems('/sources', sources));
        const ip = await publicIpFor(write, body.publicIp, 'firewall');
        if (ip !== undefined)
          findings.add(
            duplicateRuleProblems({ sources, destinations: [] }, await firewallRulesLike(trx, ip.id, body)),
            409,
          );
        findings.check();
        assertFound(ip);
        const row = await insertRow(trx, 'firewall_rule', 'fw', {
          network_id: ip.network_id,
          account_id: ip.account_id,
          public_ip_id: ip.id,
          ...matchColumns(body),
          sources: JSON.stringify(sources),
          opened_by: null,
          generation: 0,
        });
        const { generation, operation } = await deliverRule(trx, {
          network: ip.network_id,
          account: ip.account_id,
          id: row.id,
          kind: 'firewall-rule',
          verb: 'created',
          touches: touchRule('firewallRules', row.id),
          words: `${matchWords(row)} of ${ip.address} from ${sources.join(', ').slice(0, 200)}`,
        });
        await trx.updateTable('firewall_rule').set({ generation }).where('id', '=', row.id).execute();
        return { id: row.id, operation };
      },
    )
    .change(body({ sources: prefixes }), async ({ trx, body, findings }, row) => {
      const { sources } = body;
      findings.add(repeatedProblems('/sources', sources));
      const same = await firewallRulesLike(trx, row.public_ip_id, {
        protocol: row.protocol,
        ...(row.first_port === null || row.last_port === null
          ? {}
          : { ports: { first: row.first_port, last: row.last_port } }),
        icmp: { type: row.icmp_type, code: row.icmp_code },
      });
      findings.add(
        duplicateRuleProblems(
          { sources, destinations: [] },
          same.filter(({ id }) => id !== row.id),
        ),
        409,
      );
      findings.check();
      const { generation, operation } = await deliverRule(trx, {
        network: row.network_id,
        account: row.account_id,
        id: row.id,
        kind: 'firewall-rule',
        verb: 'changed',
        touches: touchRule('firewallRules', row.id),
        words: `${matchWords(row)} from ${sources.join(', ').slice(0, 200)}`,
      });
      await updateRow(trx, 'firewall_rule', row.id, { sources: JSON.stringify(sources), generation });
      return { operation };
    })
    .remove(async ({ trx }, row) => {
      await deleteRow(trx, 'firewall_rule', row.id);
      const { operation } = await deliverRule(trx, {
        network: row.network_id,
        account: row.account_id,
        id: row.id,
        kind: 'firewall-rule',
        verb: 'removed',
        touches: touchRule('firewallRules', row.id),
        words: matchWords(row),
      });
      return { operation };
    });
};
