import type { FirewallRule, Leg, Problem, RouterDocument } from 'documents';
import { ByAddress } from '../document/by-address.ts';
import {
  isWhole,
  itemsInScope,
  matchingKey,
  matchingProblems,
  publicAddressesOf,
  publicAddressProblems,
  sizeProblems,
} from '../document/checks.ts';
import { PortIndex } from '../document/port-index.ts';
import type { Scope } from '../feature.ts';

/** Ranges and prefixes of all rules together: they go into an interval set, which deletes slowly when it is large. */
const MOST_REGIONS = 65_536;
/** Ranges and prefixes of one address and protocol: they are cut into disjoint ones by comparing each with each. */
const MOST_REGIONS_OF_ONE = 8192;

const isExact = (rule: FirewallRule): boolean =>
  rule.ports !== undefined && rule.ports.first === rule.ports.last && rule.sources.includes('0.0.0.0/0');

const keyOf = (rule: FirewallRule): string =>
  isExact(rule)
    ? `${rule.publicAddress} ${rule.protocol} ${rule.ports?.first}`
    : `${rule.publicAddress} ${matchingKey(rule, rule.sources)}`;

const duplicate = (index: number, rule: FirewallRule, other: string): Problem => ({
  pointer: `/firewallRules/${index}`,
  code: 'duplicate-rule',
  message: `Rule ${rule.id} opens exactly what rule ${other} opens`,
  hint: `Remove one of the two; ${other} is enough.`,
});

const regionProblems = (rules: readonly FirewallRule[]): Problem[] => {
  const groups = new Map<string, number>();
  let total = 0;
  for (const rule of rules) {
    if (isExact(rule)) continue;
    const group = `${rule.publicAddress} ${rule.protocol}`;
    groups.set(group, (groups.get(group) ?? 0) + rule.sources.length);
    total += rule.sources.length;
  }
  const hint = 'Join ranges and prefixes, or open single ports for everyone: those cost nothing here.';
  return [
    ...sizeProblems('/firewallRules', total, MOST_REGIONS, hint),
    ...[...groups.values()].flatMap((size) =>
      sizeProblems('/firewallRules', size, MOST_REGIONS_OF_ONE, hint),
    ),
  ];
};

/** Problems of one rule by itself. */
const ruleProblems = (
  held: ReadonlyMap<string, Leg>,
  rule: FirewallRule,
  index: number,
): readonly Problem[] => {
  const known = held.has(rule.publicAddress);
  // The one form that comes by the ten thousand.
  if (
    known &&
    isExact(rule) &&
    rule.icmp === undefined &&
    rule.protocol !== 'icmp' &&
    rule.protocol !== 'all'
  ) {
    return none;
  }
  const pointer = `/firewallRules/${index}`;
  return [
    ...publicAddressProblems(held, rule.publicAddress, `${pointer}/publicAddress`),
    ...matchingProblems(rule, pointer),
  ];
};

const none: readonly Problem[] = [];

const verifyAll = (rules: readonly FirewallRule[], held: ReadonlyMap<string, Leg>): Problem[] => {
  const problems: Problem[] = [];
  const ports = new PortIndex();
  const exact = new Set<number>();
  const others = new Map<string, string>();
  for (const [index, rule] of rules.entries()) {
    const own = ruleProblems(held, rule, index);
    if (own.length > 0) problems.push(...own);
    if (isExact(rule)) {
      const port = rule.ports?.first ?? 0;
      const key = ports.keyOf(rule.publicAddress, rule.protocol, port);
      if (exact.has(key)) {
        const text = keyOf(rule);
        problems.push(duplicate(index, rule, rules.find((one) => keyOf(one) === text)?.id ?? rule.id));
      }
      exact.add(key);
      continue;
    }
    const key = keyOf(rule);
    const other = others.get(key);
    if (other === undefined) others.set(key, rule.id);
    else problems.push(duplicate(index, rule, other));
  }
  return others.size === 0 ? problems : [...problems, ...regionProblems(rules)];
};

const rulesByAddress = new ByAddress<FirewallRule>();

/** Problems of the firewall rules. With `scope`, of the rules named there, against all. */
export const verifyFirewall = (document: RouterDocument, scope?: Scope): Problem[] => {
  if (isWhole(scope)) return verifyAll(document.firewallRules, publicAddressesOf(document.legs));
  const checked = itemsInScope(document, 'firewallRules', scope);
  if (checked.length === 0) {
    if (scope?.firewallRules !== undefined) rulesByAddress.follow(document.firewallRules);
    return [];
  }
  const held = publicAddressesOf(document.legs);
  const problems: Problem[] = [];
  for (const [index, rule] of checked) {
    problems.push(...ruleProblems(held, rule, index));
    const key = keyOf(rule);
    let other: string | undefined;
    for (const one of rulesByAddress.at(document.firewallRules, rule.publicAddress)) {
      if (one.ports?.first !== rule.ports?.first || one.id === rule.id || keyOf(one) !== key) continue;
      if (other === undefined || one.id < other) other = one.id;
    }
    if (other !== undefined) problems.push(duplicate(index, rule, other));
  }
  if (checked.some(([, rule]) => !isExact(rule))) problems.push(...regionProblems(document.firewallRules));
  return problems;
};
