/**
 * Port security as one table of the bridge family: what a guest may send. No chain per port: every lookup is in a hash set
 * keyed by port, MAC and address, so its cost does not grow with the number of guests. Pure.
 *
 * The base chain drops what it does not know: a port that is in no set passes nothing.
 */
import { eui64, isIpv6, ipToBigInt, type IpAddress, type Ipv6Prefix, type MacAddress } from 'ip';
import type { SegmentPort } from 'documents';
import {
  accept,
  anonymousSet,
  type Chain,
  type Command,
  concat,
  drop,
  type Expression,
  goTo,
  match,
  meta,
  type NftSet,
  payload,
  renderText,
  type Rule,
  type Statement,
  vmap,
} from 'nftables-json';

export const securityTable = { family: 'bridge', table: 'selvage' } as const;

/** Begins the names of devices the operator plugs into a segment: a physical interface, a lab. */
export const UPLINK = 'uplink';

/** The sets, by name, with the elements of each as nft text. */
export const securitySetNames = ['unrestricted', 'macs', 'addresses4', 'addresses6', 'targets6'] as const;
export type SecuritySetName = (typeof securitySetNames)[number];
export type SecurityElements = { readonly [Name in SecuritySetName]: ReadonlySet<string> };

const sets: readonly NftSet[] = [
  { ...securityTable, name: 'unrestricted', type: 'ifname' },
  { ...securityTable, name: 'macs', type: ['ifname', 'ether_addr'] },
  { ...securityTable, name: 'addresses4', type: ['ifname', 'ether_addr', 'ipv4_addr'] },
  { ...securityTable, name: 'addresses6', type: ['ifname', 'ether_addr', 'ipv6_addr'] },
];

/**
 * Targets of neighbour advertisements. nftables 1.0.6 has no name for that field, only 128 bits behind the first 8 bytes
 * of ICMPv6 (RFC 4861, 4.4), and takes a set of such keys by `typeof` alone.
 */
const targetsText = `add set ${securityTable.family} ${securityTable.table} targets6 { typeof iifname . ether saddr . @th,64,128; }\n`;

const port = meta('iifname');
const mac = payload('ether', 'saddr');
const type = (protocol: 'icmp' | 'icmpv6', ...types: readonly string[]): Statement =>
  match(payload(protocol, 'type'), types.length === 1 ? (types[0] as string) : anonymousSet(...types));

/** Ethernet and IPv4, the only ARP there is (RFC 826); lengths as in the header. */
const arpOverEthernet: readonly Statement[] = [
  match(payload('arp', 'htype'), 1),
  match(payload('arp', 'ptype'), 'ip'),
  match(payload('arp', 'hlen'), 6),
  match(payload('arp', 'plen'), 4),
];
const arpSenderIsOwn = match(concat(port, payload('arp', 'saddr ether')), '@macs');
const target: Expression = { payload: { base: 'th', offset: 64, len: 128 } };

const rules: Readonly<Record<string, readonly (readonly Statement[])[]>> = {
  prerouting: [
    [match(port, '@unrestricted'), accept],
    // Only the operator makes devices here: how a segment meets the world outside this host (docs/contracts.md).
    [match(port, `${UPLINK}*`), accept],
    [match(concat(port, mac), '@macs', '!='), drop],
    // Whatever is none of these is dropped by policy: VLAN tags, RARP, STP, LLDP ...
    [
      vmap(payload('ether', 'type'), {
        set: [
          ['ip', goTo('guest_ipv4')],
          ['arp', goTo('guest_arp')],
          ['ip6', goTo('guest_ipv6')],
        ],
      }),
    ],
  ],
  guest_arp: [
    // A probe (RFC 5227) names no sender address and so claims none.
    [
      ...arpOverEthernet,
      match(payload('arp', 'operation'), 'request'),
      arpSenderIsOwn,
      match(payload('arp', 'saddr ip'), '0.0.0.0'),
      accept,
    ],
    [
      ...arpOverEthernet,
      arpSenderIsOwn,
      match(concat(port, mac, payload('arp', 'saddr ip')), '@addresses4'),
      accept,
    ],
    [drop],
  ],
  guest_ipv4: [
    // DHCP client without an address yet (RFC 2131, 4.1).
    [
      match(payload('ip', 'saddr'), '0.0.0.0'),
      match(payload('ip', 'daddr'), '255.255.255.255'),
      match(payload('udp', 'sport'), 68),
      match(payload('udp', 'dport'), 67),
      accept,
    ],
    [match(payload('udp', 'sport'), 67), drop],
    [type('icmp', 'redirect', 'router-advertisement'), drop],
    [match(concat(port, mac, payload('ip', 'saddr')), '@addresses4'), accept],
    [drop],
  ],
  guest_ipv6: [
    [type('icmpv6', 'nd-router-advert', 'nd-redirect'), drop],
    [match(payload('udp', 'sport'), 547), drop],
    // Duplicate address detection (RFC 4862, 5.4) and group membership before there is an address (RFC 3590).
    [
      match(payload('ip6', 'saddr'), '::'),
      type('icmpv6', 'nd-neighbor-solicit', 'mld2-listener-report'),
      accept,
    ],
    [type('icmpv6', 'nd-neighbor-advert'), match(concat(port, mac, target), '@targets6', '!='), drop],
    [match(concat(port, mac, payload('ip6', 'saddr')), '@addresses6'), accept],
    [drop],
  ],
};

/** Before anything else that could hook in: NF_BR_PRI_FIRST is the least, filter is -200 (linux/netfilter_bridge.h). */
const PRIORITY = -300;

export const securityChains: readonly Chain[] = Object.keys(rules).map((name) =>
  name === 'prerouting'
    ? { ...securityTable, name, type: 'filter', hook: 'prerouting', prio: PRIORITY, policy: 'drop' }
    : { ...securityTable, name },
);

export const securityRules: readonly Rule[] = Object.entries(rules).flatMap(([chain, bodies]) =>
  bodies.map((expr) => ({ ...securityTable, chain, expr })),
);

/** The table with its chains and rules, without elements: one part of a transaction. What is there of it goes. */
export const renderSecurityTable = (): string => {
  const table = { family: securityTable.family, name: securityTable.table };
  return (
    // nftables 1.0.6 has no `destroy`: adding first makes the deletion succeed also when there is none.
    renderText([
      { add: { table } },
      { delete: { table } },
      { add: { table } },
      ...sets.map((set): Command => ({ add: { set } })),
    ]) +
    targetsText +
    renderText([
      // Targets of jumps first.
      ...securityChains.toReversed().map((chain): Command => ({ add: { chain } })),
      ...securityRules.map((rule): Command => ({ add: { rule } })),
    ])
  );
};

/** As many as a host document may have. */
const MOST_PORTS = 65_536;

const LINK_LOCAL = 'fe80::/64' as Ipv6Prefix;

/** Addresses a port may use: those it is given and, as every IPv6 host makes itself one, its link-local address. */
const addressesOf = (item: SegmentPort): readonly string[] => [
  ...(item.security?.addresses ?? []),
  eui64(LINK_LOCAL, item.mac as MacAddress),
];

/** `targets6` elements are numbers to nft. */
const number = (address: string): string => `0x${ipToBigInt(address as IpAddress).toString(16)}`;

/** What one port adds to each set, as the text nft takes. */
export type PortElements = { readonly [Name in SecuritySetName]?: readonly string[] };

/** The elements of one port. Costs some microseconds of arithmetic on addresses. */
export const portElements = (item: SegmentPort): PortElements => {
  if (item.security === null) return { unrestricted: [`"${item.device}"`] };
  const key = `"${item.device}" . ${item.mac}`;
  const addresses = addressesOf(item);
  const six = addresses.filter((address) => isIpv6(address as IpAddress));
  return {
    macs: [key],
    addresses4: addresses.filter((address) => !six.includes(address)).map((address) => `${key} . ${address}`),
    addresses6: six.map((address) => `${key} . ${address}`),
    targets6: six.map((address) => `${key} . ${number(address)}`),
  };
};

/** Elements of all sets for these ports. `elementsOf` may remember what it worked out before. */
export const securityElements = (
  ports: readonly SegmentPort[],
  elementsOf: (port: SegmentPort) => PortElements = portElements,
): SecurityElements => {
  const elements = {
    unrestricted: new Set<string>(),
    macs: new Set<string>(),
    addresses4: new Set<string>(),
    addresses6: new Set<string>(),
    targets6: new Set<string>(),
  };
  for (const item of ports) {
    for (const [name, texts] of Object.entries(elementsOf(item)) as [SecuritySetName, readonly string[]][]) {
      for (const text of texts) elements[name].add(text);
    }
  }
  return elements;
};

/** {@link portElements} that remembers: of thousands of ports in a document nearly all are as they were in the last. */
export const rememberingPortElements = (): ((port: SegmentPort) => PortElements) => {
  let recent = new Map<string, PortElements>();
  let older = recent;
  return (port) => {
    const key = `${port.device} ${port.mac} ${port.security?.addresses.join(' ') ?? '*'}`;
    const found = recent.get(key) ?? older.get(key) ?? portElements(port);
    recent.set(key, found);
    // Ports that are gone are forgotten with the older half.
    if (recent.size > 2 * MOST_PORTS) [older, recent] = [recent, new Map()];
    return found;
  };
};
