/** Router documents with any number of port forwards and as many firewall rules. */
import type { FirewallRule, PortForward, RouterDocument, RouterDocumentChange } from 'documents';

export const OUTSIDE_ADDRESS = '198.51.100.1';
export const GUEST_ADDRESS = '10.1.1.10';
export const GATEWAY = '10.1.1.1';
export const MACS = { guest0: '02:00:0a:01:01:01', public0: '02:00:c6:33:64:0a' } as const;

/** Port forwards of one public address. */
const PER_ADDRESS = 1000;
const FIRST_PORT = 1024;
/** Public ports of rules that are added, above those that are there. */
const FIRST_ADDED_PORT = 20_000;
const FIRST_ADDRESS = 10;

/** Who may connect: anyone, which is an element of a hash set, or a prefix, which is one of an interval set. */
export type Sources = 'anyone' | 'prefix';

/** A port forward and the rule that opens it. */
export interface Pair {
  readonly portForward: PortForward;
  readonly firewallRule: FirewallRule;
}

export interface Destination {
  readonly protocol: PortForward['protocol'];
  readonly publicAddress: string;
  readonly publicPort: number;
  readonly guestAddress: string;
  readonly guestPort: number;
}

export const publicAddresses = (rules: number): string[] =>
  Array.from(
    { length: Math.max(1, Math.ceil(rules / PER_ADDRESS)) },
    (_, index) => `198.51.100.${FIRST_ADDRESS + index}`,
  );

const addressOf = (index: number): string => `198.51.100.${FIRST_ADDRESS + Math.floor(index / PER_ADDRESS)}`;

const pair = (id: string, to: Destination, source: string): Pair => ({
  portForward: {
    id: `pf-${id}`,
    publicAddress: to.publicAddress,
    protocol: to.protocol,
    publicPorts: { first: to.publicPort, last: to.publicPort },
    guestAddress: to.guestAddress,
    guestPorts: { first: to.guestPort, last: to.guestPort },
  },
  firewallRule: {
    id: `fw-${id}`,
    publicAddress: to.publicAddress,
    protocol: to.protocol,
    ports: { first: to.publicPort, last: to.publicPort },
    sources: [source],
  },
});

const idOf = (place: number): string => String(place).padStart(12, '0');

const sourceOf = (sources: Sources, index: number): string =>
  sources === 'anyone' ? '0.0.0.0/0' : `198.18.${index % 256}.0/24`;

/** Where the port forward `index` of those that are there leads. The last leads to the guest that is there. */
export const destinationOf = (
  index: number,
  rules: number,
  protocol: PortForward['protocol'] = 'udp',
): Destination => ({
  protocol,
  publicAddress: addressOf(index),
  publicPort: FIRST_PORT + (index % PER_ADDRESS),
  guestAddress: index === rules - 1 ? GUEST_ADDRESS : `10.1.1.${11 + (index % 200)}`,
  guestPort: FIRST_PORT + (index % PER_ADDRESS),
});

/** A pair to add, and where it leads. */
export interface AddedPair extends Pair {
  readonly to: Destination;
}

/** A pair that is not there yet: on any address, its ids between those that are there. */
export const addedPair = (
  round: number,
  rules: number,
  protocol: PortForward['protocol'],
  sources: Sources = 'anyone',
): AddedPair => {
  // Neither first nor last nor in order: a prime step through all of them.
  const place = (round * 7919) % rules;
  const to: Destination = {
    protocol,
    publicAddress: addressOf(place),
    publicPort: FIRST_ADDED_PORT + round,
    guestAddress: GUEST_ADDRESS,
    guestPort: FIRST_ADDED_PORT + round,
  };
  return { to, ...pair(idOf(place * 10 + 5), to, sourceOf(sources, round)) };
};

/** A router with one guest network, as many port forwards, and as many firewall rules. */
export const rulesDocument = (
  generation: number,
  rules: number,
  further: readonly Destination[] = [],
  sources: Sources = 'anyone',
): RouterDocument => {
  const pairs = [
    ...Array.from({ length: rules }, (_, index) =>
      pair(idOf(index * 10), destinationOf(index, rules), sourceOf(sources, index)),
    ),
    ...further.map((to, index) => pair(idOf((rules + index) * 10), to, '0.0.0.0/0')),
  ];
  return {
    schemaVersion: 1,
    id: 'rtr-000000000001',
    generation,
    hostname: 'r-1',
    legs: [
      {
        id: 'leg-guest0',
        role: 'guest',
        device: 'guest0',
        mac: MACS.guest0,
        mtu: 1500,
        addresses: [`${GATEWAY}/24`],
        gateways: [],
      },
      {
        id: 'leg-public0',
        role: 'public',
        device: 'public0',
        mac: MACS.public0,
        mtu: 1500,
        addresses: publicAddresses(rules).map((address) => `${address}/24`),
        gateways: [OUTSIDE_ADDRESS],
      },
    ],
    firewallRules: pairs.map(({ firewallRule }) => firewallRule),
    egressPolicies: [{ id: 'eg-1', leg: 'leg-guest0', default: 'allow' }],
    egressRules: [],
    sourceNats: [
      {
        id: 'sn-1',
        leg: 'leg-guest0',
        outLeg: 'leg-public0',
        publicAddress: addressOf(0),
        ports: { first: 32_768, last: 60_999 },
      },
    ],
    staticNats: [],
    portForwards: pairs.map(({ portForward }) => portForward),
    loadBalancers: [],
    dhcpSubnets: [],
    dhcpHosts: [],
    dns: { domain: 'cloud.internal', upstreams: [], records: [] },
    metadataGuests: [],
    routes: [],
  };
};

/** The change that puts a pair in, or takes it out. */
export const pairChange = (
  baseGeneration: number,
  { portForward, firewallRule }: Pair,
  what: 'add' | 'remove',
): RouterDocumentChange => ({
  schemaVersion: 1,
  id: 'rtr-000000000001',
  baseGeneration,
  generation: baseGeneration + 1,
  collections:
    what === 'add'
      ? {
          portForwards: { upsert: [portForward], remove: [] },
          firewallRules: { upsert: [firewallRule], remove: [] },
        }
      : {
          portForwards: { upsert: [], remove: [portForward.id] },
          firewallRules: { upsert: [], remove: [firewallRule.id] },
        },
});
