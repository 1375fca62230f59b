import type { EgressRule, Leg } from 'documents';
import { publicAddressesOf } from '../document/checks.ts';
import { ipv4AddressesOf } from '../legs/render.ts';
import type { Connection } from '../ruleset/connection.ts';
import type { Interval } from '../ruleset/fragment.ts';
import { goneItems } from '../ruleset/gone.ts';
import { addressNumber, hostOf, prefixInterval } from '../ruleset/key-text.ts';
import { egressDestinations, egressSources } from './render.ts';
import type { EgressDocument } from './schema.ts';

const contains = (intervals: readonly Interval[], value: number): boolean =>
  intervals.some(([first, last]) => first <= value && value <= last);

/** Whether an exception speaks of a connection. */
const matches = (rule: EgressRule, leg: Leg, connection: Connection): boolean => {
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
  return (
    contains(egressSources(rule, leg), addressNumber(connection.source)) &&
    contains(egressDestinations(rule), addressNumber(connection.destination))
  );
};

/** Tells the connections of guests to the outside that policy and rules of `next` do not allow any more. */
export const revokedByEgress = (
  before: EgressDocument | null,
  next: EgressDocument,
): ((connection: Connection) => boolean) | null => {
  if (before !== null) {
    const same =
      before.egressPolicies === next.egressPolicies &&
      before.egressRules === next.egressRules &&
      before.legs === next.legs;
    if (same) return null;
    // A rule that comes revokes where it drops, one that goes where it accepts.
    const untouched =
      goneItems(before.egressRules, next.egressRules).length === 0 &&
      goneItems(next.egressRules, before.egressRules).length === 0 &&
      goneItems(before.egressPolicies, next.egressPolicies).length === 0 &&
      goneItems(next.egressPolicies, before.egressPolicies).length === 0 &&
      goneItems(before.legs, next.legs).length === 0;
    if (untouched) return null;
  }
  const guests = next.legs
    .filter((leg) => leg.role === 'guest')
    .map((leg) => ({
      leg,
      networks: ipv4AddressesOf(leg).map(prefixInterval),
      denies: next.egressPolicies.find((policy) => policy.leg === leg.id)?.default !== 'allow',
      rules: next.egressRules.filter((rule) => rule.leg === leg.id),
    }));
  const inside = guests.flatMap(({ networks }) => networks);
  const own = new Set([
    ...publicAddressesOf(next.legs).keys(),
    ...next.legs.flatMap((leg) => ipv4AddressesOf(leg).map(hostOf)),
  ]);
  return (connection) => {
    const source = addressNumber(connection.source);
    const guest = guests.find(({ networks }) => contains(networks, source));
    // Connections to the router's own addresses are the firewall's, or the gateway's services.
    if (guest === undefined || own.has(connection.source) || own.has(connection.destination)) return false;
    const destination = addressNumber(connection.destination);
    // Multicast and broadcast end at the router.
    if (contains(inside, destination) || destination >= 0xe000_0000) return false;
    const excepted = guest.rules.some((rule) => matches(rule, guest.leg, connection));
    return guest.denies ? !excepted : excepted;
  };
};
