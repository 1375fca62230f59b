import type { FirewallRule, LoadBalancer } from 'documents';
import { OPENED } from '../legs/render.ts';
import {
  type Box,
  type Chain,
  type ElementSink,
  type Fragment,
  part,
  type SetDeclaration,
} from '../ruleset/fragment.ts';
import { addressText, ANY_OCTET, ANY_PORT, numberText, prefixInterval } from '../ruleset/key-text.ts';
import type { FirewallDocument } from './schema.ts';

const sets: readonly SetDeclaration[] = [
  { name: 'firewall_ports', kind: 'set', type: 'ipv4_addr . inet_proto . inet_service', counter: true },
  {
    name: 'firewall_ranges',
    kind: 'set',
    type: 'ipv4_addr . inet_proto . inet_service . ipv4_addr',
    interval: true,
    counter: true,
  },
  {
    name: 'firewall_icmp',
    kind: 'set',
    type: 'ipv4_addr . icmp_type . icmp_code . ipv4_addr',
    interval: true,
    counter: true,
  },
  { name: 'firewall_all', kind: 'set', type: 'ipv4_addr . ipv4_addr', interval: true, counter: true },
  { name: 'local_services', kind: 'set', type: 'ipv4_addr . inet_proto . inet_service' },
];

const opened = `meta mark set meta mark | ${OPENED} accept`;

const chains: readonly Chain[] = [
  {
    name: 'firewall',
    rules: [
      `ip daddr . meta l4proto . th dport @firewall_ports ${opened}`,
      `ip daddr . meta l4proto . th dport . ip saddr @firewall_ranges ${opened}`,
      `ip daddr . icmp type . icmp code . ip saddr @firewall_icmp ${opened}`,
      `ip daddr . ip saddr @firewall_all ${opened}`,
      'drop',
    ],
  },
  {
    name: 'local_from_outside',
    rules: [
      `meta mark & ${OPENED} != ${OPENED} drop`,
      'ip daddr . meta l4proto . th dport @local_services accept',
      'meta l4proto icmp accept',
    ],
  },
];

const writePorts = (group: string, [ports, sources]: Box): string =>
  `${group} . ${numberText(ports as Box[0])} . ${addressText(sources as Box[0])}`;
const writeIcmp = (group: string, [type, code, sources]: Box): string =>
  `${group} . ${numberText(type as Box[0])} . ${numberText(code as Box[0])} . ${addressText(sources as Box[0])}`;
const writeAll = (group: string, [sources]: Box): string => `${group} . ${addressText(sources as Box[0])}`;

const elementsOf = (rule: FirewallRule, { element, region }: ElementSink): void => {
  const { publicAddress, protocol, ports } = rule;
  const anyone = rule.sources.includes('0.0.0.0/0');
  if (anyone && ports !== undefined && ports.first === ports.last) {
    element('firewall_ports', `${publicAddress} . ${protocol} . ${ports.first}`);
    return;
  }
  for (const prefix of anyone ? ['0.0.0.0/0'] : rule.sources) {
    const sources = prefixInterval(prefix);
    if (protocol === 'icmp') {
      const { type = null, code = null } = rule.icmp ?? {};
      const box: Box = [
        type === null ? ANY_OCTET : [type, type],
        code === null ? ANY_OCTET : [code, code],
        sources,
      ];
      region('firewall_icmp', publicAddress, box, writeIcmp);
    } else if (protocol === 'all') region('firewall_all', publicAddress, [sources], writeAll);
    else {
      const box: Box = [ports === undefined ? ANY_PORT : [ports.first, ports.last], sources];
      region('firewall_ranges', `${publicAddress} . ${protocol}`, box, writePorts);
    }
  }
};

/** The firewall's part of the table: what is open, by public address. */
export const renderFirewall = (document: FirewallDocument): Fragment => ({
  sets,
  chains,
  parts: [
    part<FirewallRule>({ name: 'firewall', items: document.firewallRules, context: null, elementsOf }),
    part<LoadBalancer>({
      name: 'local-services',
      items: document.loadBalancers,
      context: null,
      elementsOf: (balancer, { element }) =>
        element('local_services', `${balancer.publicAddress} . tcp . ${balancer.port}`),
    }),
  ],
});
