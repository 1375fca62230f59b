import type { EgressRule, Leg, Problem, RouterDocument } from 'documents';
import {
  Holders,
  isWhole,
  itemsInScope,
  matchingKey,
  matchingProblems,
  sizeProblems,
} from '../document/checks.ts';
import type { Scope } from '../feature.ts';
import { ipv4AddressesOf } from '../legs/render.ts';
import { prefixInterval } from '../ruleset/key-text.ts';

/** Pairs of source and destination of one rule. */
const MOST_PAIRS = 4096;
/** Pairs of source and destination of all rules together. */
const MOST_REGIONS = 65_536;

const keyOf = (rule: EgressRule): string =>
  `${rule.leg} ${matchingKey(rule, rule.sources, rule.destinations)}`;

const sourceProblems = (rule: EgressRule, leg: Leg, pointer: string): Problem[] => {
  const networks = ipv4AddressesOf(leg).map(prefixInterval);
  return rule.sources.flatMap((source, index) => {
    const [first, last] = prefixInterval(source);
    if (source === '0.0.0.0/0' || networks.some((network) => network[0] <= first && last <= network[1])) {
      return [];
    }
    return [
      {
        pointer: `${pointer}/sources/${index}`,
        code: 'source-outside-network',
        message: `${source} is not within the network of leg ${leg.id}`,
        hint: `Use a prefix within ${ipv4AddressesOf(leg).join(' or ') || 'an IPv4 network of the leg'}, or 0.0.0.0/0 for all of it.`,
      },
    ];
  });
};

/** Problems of egress policies and rules. */
export const verifyEgress = (document: RouterDocument, scope?: Scope): Problem[] => {
  const legs = new Map(document.legs.map((leg) => [leg.id, leg]));
  const notGuest = (id: string, pointer: string): Problem[] =>
    legs.get(id)?.role === 'guest' || !legs.has(id)
      ? []
      : [
          {
            pointer,
            code: 'not-a-guest-leg',
            message: `Leg ${id} is not a guest leg`,
            hint: 'Egress is what guests may reach; name the leg of a guest network.',
          },
        ];
  const problems: Problem[] = [];
  const policies = itemsInScope(document, 'egressPolicies', scope);
  const byLeg = new Holders();
  for (const policy of document.egressPolicies) byLeg.add(policy.leg, policy.id);
  for (const [index, policy] of policies) {
    problems.push(...notGuest(policy.leg, `/egressPolicies/${index}/leg`));
    const other = byLeg.otherThan(policy.id, policy.leg, isWhole(scope));
    if (other !== undefined) {
      problems.push({
        pointer: `/egressPolicies/${index}`,
        code: 'duplicate-policy',
        message: `Leg ${policy.leg} has the egress policies ${other} and ${policy.id}`,
        hint: 'Give every leg one policy.',
      });
    }
  }
  const checked = itemsInScope(document, 'egressRules', scope);
  if (checked.length === 0) return problems;
  const seen = new Holders();
  let total = 0;
  for (const rule of document.egressRules) {
    total += rule.sources.length * rule.destinations.length;
    seen.add(keyOf(rule), rule.id);
  }
  for (const [index, rule] of checked) {
    const pointer = `/egressRules/${index}`;
    const leg = legs.get(rule.leg);
    problems.push(
      ...notGuest(rule.leg, `${pointer}/leg`),
      ...matchingProblems(rule, pointer),
      ...(leg?.role === 'guest' ? sourceProblems(rule, leg, pointer) : []),
      ...sizeProblems(
        pointer,
        rule.sources.length * rule.destinations.length,
        MOST_PAIRS,
        'Join prefixes, or make several rules of it.',
      ),
    );
    const other = seen.otherThan(rule.id, keyOf(rule), isWhole(scope));
    if (other !== undefined) {
      problems.push({
        pointer,
        code: 'duplicate-rule',
        message: `Rule ${rule.id} says exactly what rule ${other} says`,
        hint: `Remove one of the two; ${other} is enough.`,
      });
    }
  }
  problems.push(
    ...sizeProblems('/egressRules', total, MOST_REGIONS, 'Join prefixes of sources and destinations.'),
  );
  return problems;
};
