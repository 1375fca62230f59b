import fc from 'fast-check';
import type { DhcpOption, DhcpRange, DnsmasqConfig, HostReservation, LeaseTime } from 'dnsmasq-config';
import { type Ipv6, ipv4FromNumber, ipv6FromBigInt, macFromNumber, parseIpv4Prefix, parseIpv6 } from 'ip';

const label = fc
  .stringMatching(/^[a-z][a-z0-9-]{0,20}[a-z0-9]$/)
  .filter((text) => !['infinite', 'ignore', 'deprecated'].includes(text));
const domain = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
const tag = fc.stringMatching(/^[a-z][a-z0-9_-]{0,10}$/);
const path = fc
  .array(fc.stringMatching(/^[A-Za-z0-9_@:+-]{1,12}$/), { minLength: 1, maxLength: 3 })
  .map((parts) => `/tmp/svt-none/${parts.join('/')}`);
const ipv4 = fc.integer({ min: 0x0b000000, max: 0x7e000000 }).map(ipv4FromNumber);
const ipv6 = fc
  .bigInt({ min: 0n, max: (1n << 64n) - 1n })
  .map((value) => ipv6FromBigInt((0x20010db8n << 96n) | value));
const leaseTime: fc.Arbitrary<LeaseTime> = fc.oneof(
  fc.constant<LeaseTime>('infinite'),
  fc.integer({ min: 120, max: 1_000_000 }),
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

/** Leaves out what is undefined: the types know absent and present only. */
function tidy<T>(value: object): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;
}

export const option: fc.Arbitrary<DhcpOption> = fc.oneof(
  fc.record({
    family: fc.constant(4 as const),
    code: fc.constantFrom(3, 6, 42),
    value: fc.record({
      type: fc.constant('addresses' as const),
      addresses: fc.array(ipv4, { minLength: 1, maxLength: 3 }),
    }),
    tags: fc.array(tag, { maxLength: 2 }),
    force: fc.boolean(),
  }),
  fc.record({
    family: fc.constant(6 as const),
    code: fc.constantFrom(23, 31),
    value: fc.record({
      type: fc.constant('addresses' as const),
      addresses: fc.array(ipv6, { minLength: 1, maxLength: 3 }),
    }),
  }),
  fc.record({
    family: fc.constant(4 as const),
    code: fc.integer({ min: 224, max: 254 }),
    value: fc.record({
      type: fc.constant('number' as const),
      value: fc.integer({ min: 0, max: 255 }),
      octets: fc.constantFrom(1 as const, 2 as const, 4 as const),
    }),
  }),
  fc.record({
    family: fc.constant(4 as const),
    code: fc.integer({ min: 224, max: 254 }),
    value: fc.record({
      type: fc.constant('octets' as const),
      octets: fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 20 }),
    }),
  }),
  fc.record({
    family: fc.constant(4 as const),
    code: fc.constantFrom(15, 66, 67),
    value: fc.record({ type: fc.constant('text' as const), text: domain }),
  }),
  fc.record({
    family: fc.constant(4 as const),
    code: fc.constant(119),
    value: fc.record({
      type: fc.constant('names' as const),
      names: fc.array(domain, { minLength: 1, maxLength: 3 }),
    }),
  }),
  fc.record({
    family: fc.constant(4 as const),
    code: fc.constantFrom(3, 6, 12, 15),
    value: fc.constant({ type: 'none' as const }),
  }),
  ipv4.map(
    (via): DhcpOption => ({
      family: 4,
      code: 121,
      value: { type: 'routes', routes: [{ to: '10.99.0.0/16', via }] },
    }),
  ),
);

const range: fc.Arbitrary<DhcpRange[]> = fc
  .record({
    v4: fc.constantFrom<DhcpRange>(
      { kind: 'static4', prefix: parseIpv4Prefix('10.1.0.0/16')!, leaseTime: 'infinite' },
      { kind: 'static4', prefix: parseIpv4Prefix('10.1.0.0/16')!, setTag: 'net1' },
      {
        kind: 'dynamic4',
        prefix: parseIpv4Prefix('10.1.0.0/16')!,
        first: ipv4FromNumber(0x0a010005),
        last: ipv4FromNumber(0x0a0100ff),
        leaseTime: 600,
        tags: ['known'],
      },
    ),
    v6: fc.constantFrom<DhcpRange>(
      {
        kind: 'range6',
        first: parseIpv6('2001:db8::')!,
        modes: ['static'],
        prefixLength: 64,
        leaseTime: 'infinite',
      },
      { kind: 'range6', first: parseIpv6('2001:db8::')!, modes: ['static', 'slaac'], prefixLength: 64 },
      {
        kind: 'range6',
        first: parseIpv6('2001:db8::100')!,
        last: parseIpv6('2001:db8::1ff')!,
        modes: ['slaac', 'ra-names'],
        prefixLength: 64,
        leaseTime: 600,
      },
      {
        kind: 'range6',
        first: '::' as Ipv6,
        constructedFrom: 'guest',
        modes: ['ra-stateless'],
        prefixLength: 64,
      },
      {
        kind: 'range6',
        first: '::' as Ipv6,
        constructedFrom: 'guest',
        modes: ['ra-only'],
        prefixLength: 64,
        leaseTime: 3600,
      },
      {
        kind: 'range6',
        first: '::100' as Ipv6,
        last: '::1ff' as Ipv6,
        constructedFrom: 'guest',
        modes: [],
        prefixLength: 64,
      },
    ),
  })
  .map(({ v4, v6 }) => [v4, v6]);

/** Hosts of 10.1.0.0/16, each with its own MAC, address and name. */
export const reservations: fc.Arbitrary<HostReservation[]> = fc
  .uniqueArray(fc.integer({ min: 1, max: 60_000 }), { maxLength: 8 })
  .chain((numbers) =>
    fc.tuple(
      ...numbers.map((number) =>
        fc
          .record({
            leaseTime: maybe(leaseTime),
            tags: maybe(fc.array(tag, { maxLength: 2 })),
            options: maybe(fc.array(option, { maxLength: 2 })),
            named: fc.boolean(),
          })
          .map(
            ({ named, ...more }): HostReservation =>
              tidy({
                ...more,
                mac: macFromNumber(0x0200_0000_0000 + number),
                addresses: [ipv4FromNumber(0x0a010000 + number)],
                hostname: named ? `h${number}-x` : undefined,
              }),
          ),
      ),
    ),
  );

export const config: fc.Arbitrary<DnsmasqConfig> = fc
  .record({
    bind: fc.constantFrom('interfaces' as const, 'dynamic' as const, 'wildcard' as const),
    port: maybe(fc.integer({ min: 0, max: 65535 })),
    domain: maybe(domain),
    localDomains: maybe(fc.uniqueArray(domain, { maxLength: 2 })),
    servers: maybe(
      fc.array(
        fc.record({ address: fc.oneof(ipv4, ipv6), domains: fc.uniqueArray(domain, { maxLength: 2 }) }),
        { maxLength: 3 },
      ),
    ),
    serverPort: fc.integer({ min: 1, max: 65535 }),
    flags: fc.record({
      expandHosts: fc.boolean(),
      domainNeeded: fc.boolean(),
      bogusPrivate: fc.boolean(),
      strictOrder: fc.boolean(),
      stopRebind: fc.boolean(),
    }),
    cacheSize: maybe(fc.integer({ min: 0, max: 10_000 })),
    hostRecords: maybe(
      fc.array(
        fc.record({
          address: fc.oneof(ipv4, ipv6),
          names: fc.uniqueArray(domain, { minLength: 1, maxLength: 3 }),
        }),
        { maxLength: 3 },
      ),
    ),
    txtRecords: maybe(fc.array(fc.record({ name: domain, text: domain }), { maxLength: 2 })),
    ranges: range,
    options: maybe(fc.array(option, { maxLength: 5 })),
    hosts: maybe(reservations),
    leaseFile: path,
    dhcpFlags: fc.record({
      authoritative: fc.boolean(),
      sequentialAddresses: fc.boolean(),
      noPing: fc.boolean(),
      rapidCommit: fc.boolean(),
      ignoreClientNames: fc.boolean(),
    }),
    mtu: maybe(fc.constantFrom(1280, 1400, 'off' as const)),
    priority: maybe(fc.constantFrom('high' as const, 'low' as const)),
    logDhcp: fc.boolean(),
  })
  .map(
    (value): DnsmasqConfig => ({
      interfaces: ['guest', 'guest.2'],
      exceptInterfaces: ['lo'],
      bind: value.bind,
      dns: tidy({
        ...value.flags,
        port: value.port,
        domain: value.domain,
        localDomains: value.localDomains,
        servers: value.servers?.map((server) => ({ ...server, port: value.serverPort })),
        cacheSize: value.cacheSize,
        hostRecords: value.hostRecords,
        txtRecords: value.txtRecords,
      }),
      dhcp: tidy({
        ...value.dhcpFlags,
        ranges: value.ranges,
        options: value.options,
        hosts: value.hosts,
        leaseFile: value.leaseFile,
      }),
      enableRouterAdvertisements: true,
      routerAdvertisements: [
        tidy({
          interface: 'guest',
          mtu: value.mtu,
          priority: value.priority,
          interval: 60,
          routerLifetime: 1200,
        }),
      ],
      user: 'root',
      log: { dhcp: value.logDhcp },
    }),
  );
