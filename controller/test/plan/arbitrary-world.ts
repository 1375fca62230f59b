/** Random intents for property tests: everything a network can have, of which any part may be present or altered. */
import fc from 'fast-check';
import { ipv4FromNumber, ipv4ToNumber, type Ipv4 } from 'ip';
import type { ChainRouter, HostFacts, RouterFacts } from '../../plan/facts.ts';
import {
  type Touch,
  touchGuestPort,
  touchHandover,
  touchPublicIp,
  touchRule,
  touchStaticNat,
} from '../../plan/touched.ts';

const services = [
  'dhcp',
  'dns',
  'metadata',
  'source-nat',
  'static-nat',
  'port-forward',
  'load-balancer',
  'firewall',
] as const;

const digits = '0123456789abcdefghijklmnopqrstuvwxyz';
const tails = (count: number) =>
  fc.uniqueArray(fc.string({ unit: fc.constantFrom(...digits), minLength: 12, maxLength: 12 }), {
    minLength: count,
    maxLength: count,
  });

const GUESTS = 6;
const IPS = 8;
const EACH = 8;

/** A world of which `build` takes any part. */
export interface World {
  readonly tails: readonly string[];
  readonly services: readonly string[];
  readonly egressDefault: 'allow' | 'deny';
  readonly parity: 0 | 1;
  readonly prefixLength: number;
  readonly protocols: readonly ('tcp' | 'udp' | 'icmp' | 'all')[];
  readonly targets: readonly number[];
  readonly passwords: readonly (string | null)[];
  readonly publicKeys: readonly string[];
  readonly metaData: Readonly<Record<string, string>>;
  readonly userData: string;
}

export const arbitraryWorld: fc.Arbitrary<World> = fc.record({
  tails: tails(GUESTS * 2 + IPS + EACH * 8 + 16),
  services: fc.oneof(fc.constant([...services]), fc.subarray([...services])),
  egressDefault: fc.constantFrom('allow' as const, 'deny' as const),
  parity: fc.constantFrom(0 as const, 1 as const),
  prefixLength: fc.integer({ min: 16, max: 28 }),
  protocols: fc.array(fc.constantFrom('tcp' as const, 'udp' as const, 'icmp' as const, 'all' as const), {
    minLength: EACH,
    maxLength: EACH,
  }),
  targets: fc.array(fc.nat(1000), { minLength: EACH, maxLength: EACH }),
  passwords: fc.array(
    fc.option(fc.string({ unit: fc.constantFrom('a', '7', '!', '"', '\\'), minLength: 6, maxLength: 20 })),
    {
      minLength: GUESTS,
      maxLength: GUESTS,
    },
  ),
  publicKeys: fc.array(fc.stringMatching(/^ssh-ed25519 [A-Za-z0-9+/]{10,40}$/), { maxLength: 3 }),
  metaData: fc.dictionary(
    fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,20}$/),
    fc.stringMatching(/^[^\r\n]{0,40}$/),
    {
      maxKeys: 10,
    },
  ),
  userData: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('base64')),
});

/** One bit for each thing of a world. */
export const arbitraryMask = fc.array(fc.boolean(), { minLength: 64, maxLength: 64 });
export type Mask = readonly boolean[];

const at = <Item>(items: readonly Item[], index: number): Item => items[index % items.length] as Item;

/** A router beside the one of the world, in the chain of its network. */
const neighbour = (world: World, ordinal: number): ChainRouter => {
  const own = GUESTS * 2 + IPS + 8 * EACH + 4 + [3, 5, 2, 6].indexOf(ordinal) * 3;
  return {
    id: `rtr-${at(world.tails, own)}`,
    ordinal,
    createdAt: ordinal * 10,
    ports: [
      { id: `port-${at(world.tails, own + 1)}`, role: 'router-guest' },
      { id: `port-${at(world.tails, own + 2)}`, role: 'router-public' },
    ],
  };
};

/** Facts of the part of the world that `present` picks; what `altered` picks looks different. */
export const build = (
  world: World,
  generation: number,
  present: Mask,
  altered: Mask,
): { readonly facts: RouterFacts } => {
  const tail = (index: number): string => at(world.tails, index);
  let bit = 0;
  const next = (): boolean => at(present, bit++);
  const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
  const base = ipv4ToNumber('10.16.0.0' as Ipv4);
  const guests = range(GUESTS)
    .filter(() => next())
    .map((index) => ({
      id: `port-${tail(index)}`,
      mac: `02:00:00:00:01:${(index + 16).toString(16)}`,
      address: ipv4FromNumber(base + 2 + index) as string,
      instance: `ins-${tail(GUESTS + index)}`,
      hostname: `guest-${index}${at(altered, index) ? '-b' : ''}`,
      userData: world.userData,
      publicKeys: world.publicKeys,
      metaData: world.metaData,
      password: at(world.passwords, index),
    }));
  const ips = range(IPS)
    .filter((index) => next() || index === 0)
    .map((index) => ({
      address: index % 2 === 0 ? `198.51.100.${10 + index}` : `203.0.113.${10 + index}`,
      sourceNat: index === 0,
      prefix: index % 2 === 0 ? '198.51.100.0/24' : '203.0.113.0/25',
      gateway: index % 2 === 0 ? '198.51.100.1' : '203.0.113.1',
    }));
  const first = GUESTS * 2 + IPS;
  const pick = (kind: string, block: number) =>
    range(EACH)
      .filter(() => next())
      .map((index) => ({
        index,
        id: `${kind}-${tail(first + block * EACH + index)}`,
        // Static NAT takes the higher addresses, so that nothing else is on them.
        ip: at(ips, at(world.targets, index) % Math.max(1, Math.ceil(ips.length / 2))),
        guest: guests[at(world.targets, index) % Math.max(1, guests.length)],
        protocol: at(world.protocols, index),
        changed: at(altered, index + block),
      }));
  // Different for each rule: two that say the same would be refused.
  const sources = (changed: boolean, index: number): string[] =>
    changed ? [`192.0.${index}.0/24`, '203.0.113.0/24'] : [`192.0.${index}.0/24`];
  const ports = (protocol: string, index: number) =>
    protocol === 'tcp' || protocol === 'udp'
      ? { firstPort: 100 * (index + 1), lastPort: index % 2 === 0 ? null : 100 * (index + 1) + 9 }
      : { firstPort: null, lastPort: null };
  const icmp = (protocol: string, index: number) =>
    protocol === 'icmp' && index % 2 === 0
      ? { icmpType: 8, icmpCode: 0 }
      : { icmpType: null, icmpCode: null };
  const free = ips.slice(Math.ceil(ips.length / 2));
  const staticNats = pick('sn', 3).flatMap(({ id, index }) => {
    const ip = free[index];
    const guest = guests[index];
    return ip === undefined || guest === undefined
      ? []
      : [{ id, publicAddress: ip.address, guestAddress: guest.address, port: guest.id }];
  });
  const facts: RouterFacts = {
    router: {
      id: `rtr-${tail(first + 8 * EACH)}`,
      generation,
      parity: world.parity,
      ordinal: 4,
      createdAt: 40,
    },
    neighbours: {
      older: at(altered, 60) ? neighbour(world, 3) : null,
      newer: at(altered, 61) ? neighbour(world, 5) : null,
      heardOlder: at(altered, 62) ? neighbour(world, 2) : null,
      heardNewer: at(altered, 63) ? neighbour(world, 6) : null,
    },
    network: {
      prefix: `10.16.0.0/${world.prefixLength}`,
      gateway: '10.16.0.1',
      domain: 'tenant.example',
      mtu: 1450,
      gatewayMac: '02:00:00:00:00:01',
      publicMac: '02:00:00:00:00:02',
    },
    zone: {
      id: `zone-${tail(first + 8 * EACH + 1)}`,
      name: 'zone one',
      dns: ['192.0.2.53', '2001:db8::53'],
      publicMtu: 1500,
    },
    offering: { services: world.services, egressDefault: world.egressDefault },
    ports: [
      { id: `port-${tail(first + 8 * EACH + 2)}`, role: 'router-guest' },
      { id: `port-${tail(first + 8 * EACH + 3)}`, role: 'router-public' },
    ],
    publicIps: ips,
    firewallRules: pick('fw', 0).map(({ id, ip, index, protocol, changed }) => ({
      id,
      publicAddress: ip.address,
      protocol,
      ...ports(protocol, index),
      ...icmp(protocol, index),
      sources: sources(changed, index),
    })),
    egressRules: pick('eg', 1).map(({ id, index, protocol, changed }) => ({
      id,
      protocol,
      ...ports(protocol, index),
      ...icmp(protocol, index),
      sources: ['10.16.0.0/28'],
      destinations: sources(changed, index),
    })),
    portForwards: pick('pf', 2).flatMap(({ id, ip, guest, index, protocol, changed }) =>
      guest === undefined
        ? []
        : [
            {
              id,
              publicAddress: ip.address,
              protocol: protocol === 'udp' ? ('udp' as const) : ('tcp' as const),
              firstPublicPort: 2000 + index * 10,
              lastPublicPort: 2004 + index * 10,
              firstGuestPort: changed ? 80 : 8080,
              lastGuestPort: changed ? 84 : 8084,
              guestAddress: guest.address,
            },
          ],
    ),
    staticNats,
    loadBalancers: pick('lb', 4).map(({ id, ip, index, changed }) => ({
      id,
      publicAddress: ip.address,
      port: 5000 + index,
      protocol: changed ? ('http' as const) : ('tcp' as const),
      algorithm: 'leastconn' as const,
      members: guests.slice(0, index).map((guest, member) => ({
        id: `mem-${tail(first + 5 * EACH + ((index * 3 + member) % (3 * EACH)))}`,
        guestAddress: guest.address,
        guestPort: 80,
        draining: changed,
      })),
    })),
    guests: guests.map((guest) => ({
      ...guest,
      staticNatAddress: staticNats.find((nat) => nat.port === guest.id)?.publicAddress ?? null,
    })),
  };
  return { facts };
};

const difference = <Row extends { readonly id: string }>(a: readonly Row[], b: readonly Row[]): Row[] => {
  const text = new Map(a.map((row) => [row.id, JSON.stringify(row)]));
  const changed = b.filter((row) => text.get(row.id) !== JSON.stringify(row));
  const kept = new Set(b.map((row) => row.id));
  return [...changed, ...a.filter((row) => !kept.has(row.id))];
};

/** What a writer of intent says it touched on the way from one to the other. */
export const touchesBetween = (a: RouterFacts, b: RouterFacts): Touch[] => {
  const [guestPort, publicPort] = [b.ports[0]?.id ?? '', b.ports[1]?.id ?? ''];
  const ips = (facts: RouterFacts) => facts.publicIps.map((ip) => ({ ...ip, id: ip.address }));
  return [
    ...difference(a.firewallRules, b.firewallRules).flatMap(({ id }) => touchRule('firewallRules', id)),
    ...difference(a.egressRules, b.egressRules).flatMap(({ id }) => touchRule('egressRules', id)),
    ...difference(a.portForwards, b.portForwards).flatMap(({ id }) => touchRule('portForwards', id)),
    ...difference(a.loadBalancers, b.loadBalancers).flatMap(({ id }) => touchRule('loadBalancers', id)),
    ...[...difference(a.staticNats, b.staticNats), ...difference(b.staticNats, a.staticNats)].flatMap(
      ({ id, port }) => touchStaticNat(id, port),
    ),
    ...difference(
      a.guests.map((guest) => ({ ...guest, staticNatAddress: null })),
      b.guests.map((guest) => ({ ...guest, staticNatAddress: null })),
    ).flatMap(({ id }) => touchGuestPort(id)),
    ...(JSON.stringify(a.neighbours) === JSON.stringify(b.neighbours) ? [] : touchHandover),
    ...difference(ips(a), ips(b)).flatMap((ip) => touchPublicIp(publicPort, guestPort, ip.sourceNat)),
  ];
};

/** A host with the routers and guests of two networks of the world, one of them perhaps not implemented. */
export const buildHost = (world: World, present: Mask): HostFacts => {
  const tail = (index: number): string => at(world.tails, index);
  const networks = [0, 1].map((index) => ({
    id: `net-${tail(index)}`,
    vni: at(present, index) ? index + 1 : null,
    mtu: 1450,
    gatewayMac: `02:00:00:00:00:${10 + index}`,
    publicMac: `02:00:00:00:00:${20 + index}`,
  }));
  const instances = Array.from({ length: 8 }, (_, index) => index)
    .filter((index) => at(present, index + 2))
    .map((index) => ({
      id: `ins-${tail(10 + index)}`,
      hostname: `guest-${index}`,
      wantedState: at(present, index + 20) ? ('running' as const) : ('stopped' as const),
      index,
    }));
  // A network may be amid a replacement: two routers, of which one is active.
  const routers = networks.flatMap((network, index) => {
    if (!at(present, index + 40)) return [];
    const [own, other] = [`rtr-${tail(20 + index)}`, `rtr-${tail(22 + index)}`];
    const replaced = at(present, index + 42);
    const flipped = at(present, index + 44);
    const common = { network: network.id, older: null, newer: null, heardOlder: null, heardNewer: null };
    return [
      {
        ...common,
        id: own,
        ordinal: 1,
        createdAt: 1,
        active: !replaced || !flipped,
        newer: replaced && flipped ? other : null,
      },
      ...(replaced ? [{ ...common, id: other, ordinal: 2, createdAt: 2, active: flipped, older: own }] : []),
    ];
  });
  return {
    host: { id: `host-${tail(30)}`, generation: 7 },
    zone: { id: `zone-${tail(31)}`, publicMtu: 1500, hasPublicRange: at(present, 50) },
    networks,
    routers,
    instances: instances.map(({ id, hostname, wantedState }) => ({ id, hostname, wantedState })),
    ports: [
      ...routers.flatMap((router, index) => [
        {
          id: `port-${tail(40 + index)}`,
          role: 'router-guest' as const,
          network: router.network,
          machine: router.id,
          mac: '02:00:00:00:00:10',
          address: null,
          createdAt: 1,
        },
        {
          id: `port-${tail(50 + index)}`,
          role: 'router-public' as const,
          network: router.network,
          machine: router.id,
          mac: '02:00:00:00:00:20',
          address: null,
          createdAt: 1,
        },
      ]),
      ...instances.flatMap(({ id, index }) =>
        networks.slice(0, 1 + (index % 2)).map((network, nic) => ({
          id: `port-${tail(60 + index * 2 + nic)}`,
          role: 'guest' as const,
          network: network.id,
          machine: id,
          mac: `02:00:00:00:0${nic + 1}:${10 + index}`,
          address: `10.${nic}.1.${10 + index}`,
          createdAt: 100 + nic,
        })),
      ),
    ],
  };
};
