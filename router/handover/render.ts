import type { HandoverLink, Leg } from 'documents';
import { eui64, type Ipv6Prefix, type MacAddress } from 'ip';
import { hostOf } from '../ruleset/key-text.ts';
import type { HandoverDocument } from './schema.ts';

/** One hand-over link as the kernel is to have it. */
export interface WantedHandoverLink {
  readonly id: string;
  readonly device: string;
  readonly mac: string;
  readonly address: string;
  /** Neighbours that never ask: there is one machine at the other end, and it is known. */
  readonly neighbours: readonly { readonly address: string; readonly mac: string }[];
}

/** Where packets go that a router has no connection for. */
export interface Way {
  readonly device: string;
  /** The peer's IPv4 address, and the one that its kernel gives its end of the link itself. */
  readonly via: string;
  readonly viaLinkLocal: string;
}

/** One leg's part of the steering. */
export interface SteeredLeg {
  readonly device: string;
  readonly older: Way | null;
  readonly newer: Way | null;
  /** Devices over which routers of that side send while nothing is sent to them: what comes in there comes from that side. */
  readonly heard: { readonly older: readonly string[]; readonly newer: readonly string[] };
}

/** An address on a leg and whose it is. */
export interface KnownNeighbour {
  readonly device: string;
  readonly address: string;
  readonly mac: string;
}

/**
 * What becomes of the neighbours on the legs. The fabric delivers answers to ARP and neighbour solicitation to one of the
 * routers only, so the others cannot ask:
 * - `pinned`: this router drains, nothing it asks is ever answered; all it knows is made permanent
 * - `trusted`: this one is to take over and may not be asked yet; what it was told stays reachable for long, and other news
 *   (a gratuitous ARP) still counts
 * - `free`: as usual
 */
export type NeighbourKeeping = 'pinned' | 'trusted' | 'free';

/** What the hand-over needs of the kernel. */
export interface RenderedHandover {
  readonly links: readonly WantedHandoverLink[];
  readonly legs: readonly SteeredLeg[];
  /** Whether IPv6 is steered too: where a leg has an IPv6 address. */
  readonly ipv6: boolean;
  readonly keeping: NeighbourKeeping;
  /** Devices of the legs. */
  readonly devices: readonly string[];
  /** Neighbours that the document knows. They are permanent while a hand-over goes on, and follow the document. */
  readonly known: readonly KnownNeighbour[];
  /** Path below /proc/sys/net, and value. */
  readonly settings: readonly (readonly [path: string, value: string])[];
}

/** How long a neighbour counts as reachable without being asked, ms: while a hand-over may last, and the kernel's own. */
const TRUSTED_FOR = '3600000';
const REACHABLE_FOR = '30000';

const linkLocal = (mac: string): string => eui64('fe80::/64' as Ipv6Prefix, mac as MacAddress);

const wantedLink = (
  { id, device, mac, address, peer, peerMac }: HandoverLink,
  ipv6: boolean,
): WantedHandoverLink => ({
  id,
  device,
  mac,
  address,
  neighbours: [peer, ...(ipv6 ? [linkLocal(peerMac)] : [])].map((neighbour) => ({
    address: neighbour,
    mac: peerMac,
  })),
});

const sends = ({ receiveOnly }: HandoverLink): boolean => receiveOnly !== true;

const heardOn = (links: readonly HandoverLink[], leg: Leg): readonly string[] =>
  links.filter((link) => link.leg === leg.id && !sends(link)).map(({ device }) => device);

const wayOf = (links: readonly HandoverLink[], leg: Leg): Way | null => {
  const link = links.find((one) => one.leg === leg.id && sends(one));
  return link === undefined
    ? null
    : { device: link.device, via: link.peer, viaLinkLocal: linkLocal(link.peerMac) };
};

/** Reverse path filtering would drop everything that comes this way: its source is reached over the leg. */
const linkSettings = (device: string, ipv6: boolean): RenderedHandover['settings'] => [
  // Where it is not steered nothing is to be on the link that nobody has handed over (standing-by.ts counts).
  [`ipv6/conf/${device}/disable_ipv6`, ipv6 ? '0' : '1'],
  [`ipv4/conf/${device}/rp_filter`, '0'],
  [`ipv4/conf/${device}/send_redirects`, '0'],
  [`ipv4/conf/${device}/accept_redirects`, '0'],
];

/** Links, steering and neighbours of a document. Without `handover` it says that there is to be none. */
export const renderHandover = (document: HandoverDocument): RenderedHandover => {
  const { older, newer } = document.handover ?? { older: [], newer: [] };
  const links = [...older, ...newer];
  const devices = new Map(document.legs.map((leg) => [leg.id, leg.device]));
  // One that is only heard has still to be handed to, or has been let go: this router drains when it sends.
  const keeping = newer.some(sends) ? 'pinned' : older.length > 0 ? 'trusted' : 'free';
  const reachableFor = older.length > 0 ? TRUSTED_FOR : REACHABLE_FOR;
  const ipv6 = document.legs.some(({ addresses }) => addresses.some((address) => address.includes(':')));
  return {
    links: links.map((link) => wantedLink(link, ipv6)),
    legs:
      links.length === 0
        ? []
        : document.legs.map((leg) => ({
            device: leg.device,
            older: wayOf(older, leg),
            newer: wayOf(newer, leg),
            heard: { older: heardOn(older, leg), newer: heardOn(newer, leg) },
          })),
    ipv6,
    keeping,
    devices: [...devices.values()],
    known:
      keeping === 'free'
        ? []
        : document.dhcpHosts.flatMap(({ leg, address, mac }) => {
            const device = devices.get(leg);
            return device === undefined ? [] : [{ device, address, mac }];
          }),
    settings: [
      ...links.flatMap(({ device }) => linkSettings(device, ipv6)),
      ...document.legs.flatMap(({ device }) =>
        ['ipv4', 'ipv6'].map(
          (family) => [`${family}/neigh/${device}/base_reachable_time_ms`, reachableFor] as const,
        ),
      ),
      // The ports that sessions of older routers hold (see state.ts) are free again with the last of those routers.
      ...(older.length > 0 ? [] : [['ipv4/ip_local_reserved_ports', ''] as const]),
    ],
  };
};

const HOOK = 'type filter hook prerouting priority -150; policy accept;';

/**
 * DNS and DHCP, which every router of the chain serves alike: whoever is asked first answers, and nobody is asked over a link,
 * where dnsmasq would not listen. A datagram is a whole question, whatever connection it seems to belong to, so an older
 * router is asked nothing any more once the fabric has moved; over TCP only the beginning is anybody's.
 */
const questions: Readonly<Record<'ip' | 'ip6', readonly string[]>> = {
  ip: [
    'fib daddr type local udp dport { 53, 67 } accept',
    'fib daddr type local tcp dport 53 tcp flags syn / fin,syn,rst,ack accept',
  ],
  ip6: [
    'fib daddr type local udp dport { 53, 547 } accept',
    'fib daddr type local tcp dport 53 tcp flags syn / fin,syn,rst,ack accept',
  ],
};

/** Behind conntrack (-200), so that a packet's connection is known, and before all of ours. */
const mine = (family: 'ip' | 'ip6'): readonly string[] => [
  'ct state established,related accept',
  // Ours, not answered yet: UDP and the like.
  'ct status confirmed accept',
  ...(family === 'ip'
    ? ['fib daddr type { broadcast, multicast } accept']
    : // Neighbour discovery, which conntrack leaves alone, is between two machines on one link.
      ['ct state untracked accept', 'ip6 daddr { fe80::/10, ff00::/8 } accept']),
];

/**
 * `dup` forbids to fragment what it sends (nf_dup_ipv4.c). What came in on a leg with longer packets than the next one takes
 * would be lost on its detour, so it is allowed again; all fragments were put together by conntrack, there is no offset.
 */
const fragmentable = ({ links }: RenderedHandover, present: ReadonlySet<string>): readonly string[] =>
  links
    .filter(({ device }) => present.has(device))
    .map(({ device }) => `iifname "${device}" ip frag-off set 0`);

/**
 * The rules of one family's chain, as nft lists them. Only devices that are there are named: a way without its device is no
 * way, and what would have gone there stays here.
 */
const steeringRules = (
  rendered: RenderedHandover,
  family: 'ip' | 'ip6',
  present: ReadonlySet<string>,
): readonly string[] => {
  const there = (way: Way | null): Way | null => (way !== null && present.has(way.device) ? way : null);
  const to = ({ device, via, viaLinkLocal }: Way): string =>
    `dup to ${family === 'ip' ? via : viaLinkLocal} device "${device}" drop`;
  // A rule for each device: nft lists the members of a set in an order of its own.
  const steer = (arrivals: readonly string[], way: Way): string[] =>
    arrivals.map((name) => `iifname "${name}" ${to(way)}`);
  // The hand-over is whole or not at all: it begins when the last link to the newer router is there.
  const draining = rendered.legs.every(({ newer }) => newer === null || present.has(newer.device));
  const named = (devices: readonly string[]): string[] => devices.filter((device) => present.has(device));
  const legs = rendered.legs.map((leg) => ({
    older: there(leg.older),
    newer: draining ? there(leg.newer) : null,
    // What comes from above, too: another router asks whether this one, or one below, knows it.
    above: [leg.device, ...named([...(leg.newer === null ? [] : [leg.newer.device]), ...leg.heard.newer])],
    // What comes from below has been asked about there.
    below: named([...(leg.older === null ? [] : [leg.older.device]), ...leg.heard.older]),
  }));
  const rules = legs.flatMap(({ older, newer, above, below }) => [
    ...(older === null ? [] : steer(above, older)),
    ...(newer === null ? [] : steer(older === null ? [...above, ...below] : below, newer)),
  ]);
  if (rules.length === 0) return [];
  return [
    ...(family === 'ip' ? fragmentable(rendered, present) : []),
    'iifname "lo" accept',
    ...questions[family],
    ...mine(family),
    ...rules,
  ];
};

/** The chain of one family as nft lists it; null when there is nothing to steer. */
export const steeringChain = (
  rendered: RenderedHandover,
  family: 'ip' | 'ip6',
  present: ReadonlySet<string>,
): { readonly hook: string; readonly rules: readonly string[] } | null => {
  if (family === 'ip6' && !rendered.ipv6) return null;
  const rules = steeringRules(rendered, family, present);
  return rules.length === 0 ? null : { hook: HOOK, rules };
};

/** Addresses that end in this router, without lengths: those of its legs. */
export const ownAddresses = ({ legs }: Pick<HandoverDocument, 'legs'>): ReadonlySet<string> =>
  new Set(legs.flatMap((leg) => leg.addresses.map(hostOf)));
