import type { Leg } from 'documents';
import { networkOf, type Prefix } from 'ip';
import { arrivalDevices } from '../handover/arrival-devices.ts';
import { type Chain, type Fragment, part, type SetDeclaration } from '../ruleset/fragment.ts';
import { hostOf } from '../ruleset/key-text.ts';
import type { LegsDocument } from './schema.ts';

/** IPv4 addresses of a leg, with their lengths, the primary first. */
export const ipv4AddressesOf = (leg: Leg): readonly string[] =>
  leg.addresses.filter((address) => !address.includes(':'));

/** One leg as the kernel is to have it. */
export interface WantedLink {
  readonly leg: string;
  readonly role: Leg['role'];
  readonly device: string;
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly string[];
}

/** What the legs need of the kernel besides the table: links, and settings below /proc/sys/net. */
export interface RenderedLegs {
  readonly links: readonly WantedLink[];
  /** Path below /proc/sys/net, and value. */
  readonly settings: readonly (readonly [path: string, value: string])[];
}

/**
 * Settings of the namespace. Reverse path filtering is off because replies of a draining router arrive on another leg
 * (the table checks sources itself); liberal TCP windows because a router may see one direction only during a
 * replacement; secondary addresses must survive the primary; every connection tells of its changes, as the standby must hear
 * of those too that are older than its stream (the kernel's own choice is to tell of those made while somebody listens).
 */
const namespaceSettings: RenderedLegs['settings'] = [
  ['ipv4/ip_forward', '1'],
  ['ipv4/conf/all/rp_filter', '0'],
  ['ipv4/conf/default/rp_filter', '0'],
  ['ipv4/conf/all/send_redirects', '0'],
  ['ipv4/conf/all/accept_redirects', '0'],
  ['ipv4/conf/all/accept_source_route', '0'],
  ['ipv4/conf/all/promote_secondaries', '1'],
  ['ipv4/conf/all/arp_notify', '0'],
  ['ipv6/conf/all/accept_ra', '0'],
  ['ipv6/conf/default/accept_ra', '0'],
  ['netfilter/nf_conntrack_tcp_be_liberal', '1'],
  ['netfilter/nf_conntrack_events', '1'],
  // Connections that a daemon was offered but ends before it took them go to the one that listens beside it.
  ['ipv4/tcp_migrate_req', '1'],
];

/** Each leg answers ARP for its own addresses only, and asks with one that its neighbours know. */
const linkSettings = (device: string): RenderedLegs['settings'] => [
  [`ipv4/conf/${device}/rp_filter`, '0'],
  [`ipv4/conf/${device}/send_redirects`, '0'],
  [`ipv4/conf/${device}/accept_redirects`, '0'],
  [`ipv4/conf/${device}/arp_ignore`, '1'],
  [`ipv4/conf/${device}/arp_announce`, '2'],
];

/** Links and settings for the legs of a document. */
export const renderLegs = (document: LegsDocument): RenderedLegs => {
  const ports = document.sourceNats[0]?.ports;
  return {
    links: document.legs.map(({ id, role, device, mac, mtu, addresses }) => ({
      leg: id,
      role,
      device,
      mac,
      mtu,
      addresses,
    })),
    settings: [
      ...namespaceSettings,
      // The router's own connections keep out of the ports of a router that serves at the same time.
      ...(ports !== undefined && ports.last - ports.first >= 1023
        ? [['ipv4/ip_local_port_range', `${Math.max(ports.first, 1024)} ${ports.last}`] as const]
        : []),
      ...document.legs.flatMap((leg) => linkSettings(leg.device)),
    ],
  };
};

const sets: readonly SetDeclaration[] = [
  { name: 'arrivals', kind: 'map', type: 'ifname : verdict' },
  { name: 'local_arrivals', kind: 'map', type: 'ifname : verdict' },
  { name: 'outer_legs', kind: 'set', type: 'ifname' },
  { name: 'gateways', kind: 'set', type: 'ifname . ipv4_addr' },
  { name: 'gateway_of', kind: 'map', type: 'ifname : ipv4_addr' },
  { name: 'hairpins', kind: 'set', type: 'ifname . ifname' },
  { name: 'addresses_in', kind: 'set', type: 'ipv4_addr', counter: true },
  { name: 'addresses_out', kind: 'set', type: 'ipv4_addr', counter: true },
];

/** Connections that conntrack knows are judged once; what follows costs one lookup. */
export const KNOWN_CONNECTIONS = 'ct state vmap { invalid : drop, established : accept, related : accept }';

/** Bit of the packet mark that says: the firewall let this connection in. */
export const OPENED = '0x00000001';

const chains: readonly Chain[] = [
  {
    name: 'arrive',
    // Before destination NAT (-100), so that rules see the public address and port.
    hook: 'type filter hook prerouting priority -110; policy accept;',
    rules: ['iifname vmap @arrivals'],
  },
  {
    name: 'from_guest',
    rules: [KNOWN_CONNECTIONS, 'ip daddr != @addresses_in accept', 'goto firewall'],
  },
  // A guest without an address may ask for one, and nothing else.
  { name: 'unaddressed', rules: ['ip saddr 0.0.0.0 udp dport 67 accept', 'drop'] },
  { name: 'from_public', rules: ['ip daddr @addresses_in', KNOWN_CONNECTIONS, 'goto firewall'] },
  {
    name: 'input',
    hook: 'type filter hook input priority 0; policy drop;',
    rules: [KNOWN_CONNECTIONS, 'iifname "lo" accept', 'iifname vmap @local_arrivals'],
  },
  {
    name: 'local_from_guest',
    rules: [
      'udp dport 67 accept',
      'iifname . ip daddr @gateways goto gateway_services',
      'goto local_from_outside',
    ],
  },
  {
    name: 'gateway_services',
    rules: [
      'meta l4proto . th dport { tcp . 53, udp . 53, tcp . 80, tcp . 8080 } accept',
      'icmp type echo-request accept',
      'drop',
    ],
  },
  {
    name: 'forward',
    hook: 'type filter hook forward priority 0; policy drop;',
    rules: [
      KNOWN_CONNECTIONS,
      `meta mark & ${OPENED} == ${OPENED} ct status dnat accept`,
      'oifname @outer_legs iifname vmap @egress_policies',
    ],
  },
  {
    name: 'depart',
    // Behind source NAT (100): the public address stands in the packet.
    hook: 'type filter hook postrouting priority 150; policy accept;',
    rules: ['ip saddr @addresses_out'],
  },
];

const sourceChainName = (leg: Leg): string => `leg_${leg.device.replaceAll('-', '_')}`;

/**
 * Lets in what comes from the leg's own networks. A chain for each leg, because every packet of a guest passes here: a
 * comparison with a constant costs a tenth of a lookup in an interval set.
 */
const sourceChain = (leg: Leg): Chain => ({
  name: sourceChainName(leg),
  rules: [
    ...ipv4AddressesOf(leg).map((address) => `ip saddr ${networkOf(address as Prefix)} goto from_guest`),
    'goto unaddressed',
  ],
});

/** The legs' part of the table: who is who, the closed doors, and the counters of the public addresses. */
export const renderLegsFragment = (document: LegsDocument): Fragment => ({
  sets,
  chains: [...chains, ...document.legs.filter(({ role }) => role === 'guest').map(sourceChain)],
  parts: [
    part<Leg>({
      name: 'legs',
      items: document.legs,
      context: document.handover ?? null,
      elementsOf: (leg, { element }) => {
        const device = `"${leg.device}"`;
        const arrivals = arrivalDevices(leg, document).map((name) => `"${name}"`);
        const addresses = ipv4AddressesOf(leg);
        if (leg.role === 'guest') {
          for (const arrival of arrivals) {
            element('arrivals', arrival, `goto ${sourceChainName(leg)}`);
            element('local_arrivals', arrival, 'goto local_from_guest');
            element('hairpins', `${arrival} . ${device}`);
            for (const address of addresses) {
              element('gateways', `${arrival} . ${hostOf(address)}`);
            }
          }
          if (addresses[0] !== undefined) element('gateway_of', device, hostOf(addresses[0]));
        }
        if (leg.role === 'public') {
          for (const arrival of arrivals) {
            element('arrivals', arrival, 'goto from_public');
            element('local_arrivals', arrival, 'goto local_from_outside');
          }
          for (const address of addresses) {
            element('addresses_in', hostOf(address));
            element('addresses_out', hostOf(address));
          }
        }
        if (leg.role === 'public' || leg.role === 'private') element('outer_legs', device);
      },
    }),
  ],
});
