import type { FirewallRule } from 'documents';
import { publicAddressesOf } from '../document/checks.ts';
import { ipv4AddressesOf } from '../legs/render.ts';
import type { Connection } from '../ruleset/connection.ts';
import { goneItems } from '../ruleset/gone.ts';
import { addressNumber, hostOf, prefixInterval } from '../ruleset/key-text.ts';
import type { FirewallDocument } from './schema.ts';

const within = (address: number, prefix: string): boolean => {
  const [first, last] = prefixInterval(prefix);
  return first <= address && address <= last;
};

/** Whether a rule lets the first packet of a connection in. */
const opens = (rule: FirewallRule, connection: Connection): boolean => {
  if (rule.publicAddress !== connection.destination) return false;
  if (rule.protocol !== 'all') {
    if (rule.protocol !== connection.protocol) return false;
    if (rule.protocol === 'icmp') {
      const { type = null, code = null } = rule.icmp ?? {};
      if (type !== null && type !== connection.icmpType) return false;
      if (code !== null && code !== connection.icmpCode) return false;
    } else if (rule.ports !== undefined) {
      const port = connection.destinationPort;
      if (port < rule.ports.first || port > rule.ports.last) return false;
    }
  }
  const source = addressNumber(connection.source);
  return rule.sources.some((prefix) => within(source, prefix));
};

/** Tells the connections to public addresses that no rule of `next` opens any more. */
export const revokedByFirewall = (
  before: FirewallDocument | null,
  next: FirewallDocument,
): ((connection: Connection) => boolean) | null => {
  let affected: ReadonlySet<string>;
  if (before === null) affected = new Set(publicAddressesOf(next.legs).keys());
  else {
    const gone = goneItems(before.firewallRules, next.firewallRules);
    if (gone.length === 0) return null;
    affected = new Set(gone.map((rule) => rule.publicAddress));
  }
  const own = new Set(next.legs.flatMap((leg) => ipv4AddressesOf(leg).map(hostOf)));
  let rules: Map<string, FirewallRule[]> | undefined;
  return (connection) => {
    if (!affected.has(connection.destination) || own.has(connection.source)) return false;
    if (rules === undefined) {
      rules = new Map();
      for (const rule of next.firewallRules) {
        if (!affected.has(rule.publicAddress)) continue;
        const list = rules.get(rule.publicAddress);
        if (list === undefined) rules.set(rule.publicAddress, [rule]);
        else list.push(rule);
      }
    }
    return !(rules.get(connection.destination) ?? []).some((rule) => opens(rule, connection));
  };
};
