import { Type } from 'typebox';
import { duplicateRuleProblems } from '../../model/conflicts.ts';
import {
  egressSourceProblems,
  matchColumns,
  matchProblems,
  repeatedProblems,
} from '../../model/rule-checks.ts';
import { assertFound } from '../../model/findings.ts';
import { touchRule } from '../../plan/touched.ts';
import { deleteRow, insertRow } from '../../store/rows.ts';
import { egressRulesLike } from '../../store/rules.ts';
import { ownedRow } from '../references.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { IcmpGiven, match, matchOf, matchWords, PortsGiven, prefixes, protocol } from '../rule-schemas.ts';
import { appliedConditions, deliverRule, requireService } from '../rules.ts';
import { body, Id, isoTime, resourceSchema } from '../schemas.ts';

const EgressRule = resourceSchema(
  'EgressRule',
  "An exception to what guests may do by their network's offering: accepted where it denies, dropped where it allows.",
  { account: Id, network: Id, ...match, sources: prefixes, destinations: prefixes },
);

const kind: Kind<'egress_rule', typeof EgressRule> = {
  name: 'egress rule',
  path: 'egress-rules',
  word: 'EgressRule',
  table: 'egress_rule',
  schema: EgressRule,
  readers: 'owner',
  writers: 'owner',
  render: async (db, rows, now) => {
    const conditions = await appliedConditions(db, rows, now);
    return rows.map((row, index) => ({
      id: row.id,
      account: row.account_id,
      network: row.network_id,
      ...matchOf(row),
      sources: JSON.parse(row.sources) as string[],
      destinations: JSON.parse(row.destinations) as string[],
      createdAt: isoTime(row.created_at),
      conditions: conditions[index] ?? [],
    }));
  },
};

export const egressRules: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        network: { column: 'network_id', schema: Id },
        protocol: { column: 'protocol', schema: protocol },
      },
    })
    .show()
    .create(
      body({
        network: Id,
        protocol,
        ports: Type.Optional(PortsGiven),
        icmp: Type.Optional(IcmpGiven),
        sources: Type.Optional(prefixes),
        destinations: Type.Optional(prefixes),
      }),
      {},
      async (write) => {
        const { trx, body, findings } = write;
        findings.add(matchProblems(body));
        findings.add(repeatedProblems('/sources', body.sources ?? []));
        findings.add(repeatedProblems('/destinations', body.destinations ?? []));
        const network = await ownedRow(write, 'network', body.network, '/network');
        const sources = body.sources ?? [network?.prefix ?? '0.0.0.0/0'];
        const destinations = body.destinations ?? ['0.0.0.0/0'];
        if (network !== undefined) {
          await requireService(write, network, 'firewall', '/network');
          findings.add(egressSourceProblems(sources, network.prefix));
          findings.add(
            duplicateRuleProblems({ sources, destinations }, await egressRulesLike(trx, network.id, body)),
            409,
          );
        }
        findings.check();
        assertFound(network);
        const row = await insertRow(trx, 'egress_rule', 'eg', {
          network_id: network.id,
          account_id: network.account_id,
          ...matchColumns(body),
          sources: JSON.stringify(sources),
          destinations: JSON.stringify(destinations),
          generation: 0,
        });
        const { generation, operation } = await deliverRule(trx, {
          network: network.id,
          account: network.account_id,
          id: row.id,
          kind: 'egress-rule',
          verb: 'created',
          touches: touchRule('egressRules', row.id),
          words: `${matchWords(row)} to ${destinations.join(', ').slice(0, 200)}`,
        });
        await trx.updateTable('egress_rule').set({ generation }).where('id', '=', row.id).execute();
        return { id: row.id, operation };
      },
    )
    .remove(async ({ trx }, row) => {
      await deleteRow(trx, 'egress_rule', row.id);
      const { operation } = await deliverRule(trx, {
        network: row.network_id,
        account: row.account_id,
        id: row.id,
        kind: 'egress-rule',
        verb: 'removed',
        touches: touchRule('egressRules', row.id),
        words: matchWords(row),
      });
      return { operation };
    });
};
