import type { EgressPolicy, EgressRule, Leg } from 'documents';
import { arrivalDevices } from '../handover/arrival-devices.ts';
import { ipv4AddressesOf } from '../legs/render.ts';
import {
  type Box,
  type Chain,
  type ElementSink,
  type Fragment,
  type Interval,
  part,
  type SetDeclaration,
} from '../ruleset/fragment.ts';
import {
  addressText,
  ANY_OCTET,
  ANY_PORT,
  ANYWHERE,
  numberText,
  prefixInterval,
} from '../ruleset/key-text.ts';
import { together } from '../ruleset/together.ts';
import type { EgressDocument } from './schema.ts';

/**
 * Keys need no leg where they have a source: a guest's source was checked when its packet arrived, and guest networks
 * of one router do not overlap.
 */
const sets: readonly SetDeclaration[] = [
  { name: 'egress_policies', kind: 'map', type: 'ifname : verdict' },
  { name: 'egress_ports', kind: 'set', type: 'ifname . inet_proto . inet_service', counter: true },
  {
    name: 'egress_ranges',
    kind: 'set',
    type: 'inet_proto . inet_service . ipv4_addr . ipv4_addr',
    interval: true,
    counter: true,
  },
  {
    name: 'egress_icmp',
    kind: 'set',
    type: 'icmp_type . icmp_code . ipv4_addr . ipv4_addr',
    interval: true,
    counter: true,
  },
  { name: 'egress_all', kind: 'set', type: 'ipv4_addr . ipv4_addr', interval: true, counter: true },
];

const exceptions = (verdict: 'accept' | 'drop'): readonly string[] => [
  `iifname . meta l4proto . th dport @egress_ports ${verdict}`,
  `meta l4proto . th dport . ip saddr . ip daddr @egress_ranges ${verdict}`,
  `icmp type . icmp code . ip saddr . ip daddr @egress_icmp ${verdict}`,
  `ip saddr . ip daddr @egress_all ${verdict}`,
];

const chains: readonly Chain[] = [
  { name: 'egress_deny', rules: [...exceptions('accept'), 'drop'] },
  { name: 'egress_allow', rules: [...exceptions('drop'), 'meta nfproto ipv4 accept', 'drop'] },
];

const writePorts = (group: string, [ports, sources, destinations]: Box): string =>
  `${group.slice(0, group.indexOf(' '))} . ${numberText(ports as Interval)} . ${addressText(sources as Interval)} . ${addressText(destinations as Interval)}`;
const writeIcmp = (_group: string, [type, code, sources, destinations]: Box): string =>
  `${numberText(type as Interval)} . ${numberText(code as Interval)} . ${addressText(sources as Interval)} . ${addressText(destinations as Interval)}`;
const writeAll = (_group: string, [sources, destinations]: Box): string =>
  `${addressText(sources as Interval)} . ${addressText(destinations as Interval)}`;

/** Source intervals of a rule; `0.0.0.0/0` stands for every network of the leg. */
export const egressSources = (rule: EgressRule, leg: Leg): readonly Interval[] =>
  rule.sources.includes('0.0.0.0/0')
    ? ipv4AddressesOf(leg).map(prefixInterval)
    : rule.sources.map(prefixInterval);

/** Destination intervals of a rule. */
export const egressDestinations = (rule: EgressRule): readonly Interval[] =>
  rule.destinations.includes('0.0.0.0/0') ? [ANYWHERE] : rule.destinations.map(prefixInterval);

const coversLeg = (rule: EgressRule, leg: Leg): boolean => {
  const networks = ipv4AddressesOf(leg).map(prefixInterval);
  const sources = egressSources(rule, leg);
  return networks.every(([first, last]) => sources.some((source) => source[0] <= first && source[1] >= last));
};

/** `arrivals` are the devices on which packets of the leg come in. */
const elementsOf = (
  rule: EgressRule,
  leg: Leg,
  arrivals: readonly string[],
  { element, region }: ElementSink,
): void => {
  const { protocol, ports } = rule;
  const destinations = egressDestinations(rule);
  const onePort = ports !== undefined && ports.first === ports.last;
  if (onePort && destinations[0] === ANYWHERE && coversLeg(rule, leg)) {
    for (const device of arrivals) element('egress_ports', `"${device}" . ${protocol} . ${ports.first}`);
    return;
  }
  for (const source of egressSources(rule, leg)) {
    for (const destination of destinations) {
      if (protocol === 'icmp') {
        const { type = null, code = null } = rule.icmp ?? {};
        const types: Interval = type === null ? ANY_OCTET : [type, type];
        const codes: Interval = code === null ? ANY_OCTET : [code, code];
        region('egress_icmp', leg.id, [types, codes, source, destination], writeIcmp);
      } else if (protocol === 'all') region('egress_all', leg.id, [source, destination], writeAll);
      else {
        const range: Interval = ports === undefined ? ANY_PORT : [ports.first, ports.last];
        region('egress_ranges', `${protocol} ${leg.id}`, [range, source, destination], writePorts);
      }
    }
  }
};

/** The egress part of the table: one policy for each guest leg, and the exceptions to it. */
export const renderEgress = (document: EgressDocument): Fragment => {
  const legs = new Map(document.legs.map((leg) => [leg.id, leg]));
  const arrivals = new Map(document.legs.map((leg) => [leg.id, arrivalDevices(leg, document)]));
  const policies = new Map(document.egressPolicies.map((policy) => [policy.leg, policy]));
  return {
    sets,
    chains,
    parts: [
      part<Leg>({
        name: 'egress-policies',
        items: document.legs,
        context: together(document.egressPolicies, document.handover),
        elementsOf: (leg, { element }) => {
          if (leg.role !== 'guest') return;
          const policy: EgressPolicy['default'] = policies.get(leg.id)?.default ?? 'deny';
          for (const device of arrivals.get(leg.id) ?? []) {
            element('egress_policies', `"${device}"`, `goto egress_${policy}`);
          }
        },
      }),
      part<EgressRule>({
        name: 'egress',
        items: document.egressRules,
        context: together(document.legs, document.handover),
        elementsOf: (rule, sink) => {
          const leg = legs.get(rule.leg);
          if (leg !== undefined) elementsOf(rule, leg, arrivals.get(leg.id) ?? [], sink);
        },
      }),
    ],
  };
};
