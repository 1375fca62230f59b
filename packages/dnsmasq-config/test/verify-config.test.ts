import test from 'ava';
import { type DnsmasqConfig, type HostReservation, verifyConfig } from 'dnsmasq-config';
import {
  type IpAddress,
  type Ipv4,
  type MacAddress,
  parseIpv4,
  parseIpv4Prefix,
  parseIpv6,
  parseMac,
} from 'ip';

const good: DnsmasqConfig = {
  interfaces: ['guest'],
  bind: 'interfaces',
  dns: { domain: 'net.example' },
  dhcp: { ranges: [{ kind: 'static4', prefix: parseIpv4Prefix('10.1.1.0/24')! }], leaseFile: '/run/leases' },
};
const host = (more: Partial<HostReservation> = {}): HostReservation => ({
  mac: parseMac('02:00:00:00:00:0a')!,
  addresses: [parseIpv4('10.1.1.10')!],
  ...more,
});
const found = (config: DnsmasqConfig, reservations: HostReservation[] = []): string[] =>
  verifyConfig(config, reservations).map(({ pointer, code }) => `${pointer} ${code}`);
const dhcp = (more: object): DnsmasqConfig => ({ ...good, dhcp: { ...good.dhcp!, ...more } });
const dns = (more: object): DnsmasqConfig => ({ ...good, dns: more });

test('a good one has no problems, and every problem has a message and a remedy', (t) => {
  t.deepEqual(found(good, [host({ hostname: 'a', leaseTime: 'infinite', tags: ['x'] })]), []);
  for (const { message, hint } of verifyConfig(dns({ domain: 'a b' }), [host({ hostname: '"' })])) {
    t.true(message.length > 5 && hint.length > 2);
  }
});

test('text that could end, split or quote a line is refused everywhere', (t) => {
  for (const text of ['a\nb', 'a"b', "a'b", 'a,b', 'a#b', 'a b', 'a\\b', '', 'a\0', 'é', '-a', 'a/b']) {
    const label = JSON.stringify(text);
    t.deepEqual(found({ ...good, interfaces: [text] }).slice(0, 1), ['/interfaces/0 bad-interface'], label);
    t.deepEqual(found(dns({ domain: text })), ['/dns/domain bad-domain-name'], label);
    t.deepEqual(found(dns({ localDomains: [text] })), ['/dns/localDomains/0 bad-domain-name'], label);
    t.deepEqual(
      found(dns({ hostRecords: [{ address: parseIpv4('10.1.1.1')!, names: [text] }] })),
      ['/dns/hostRecords/0/names/0 bad-domain-name'],
      label,
    );
    t.deepEqual(found({ ...good, user: text }), ['/user bad-user'], label);
    t.deepEqual(found(dhcp({ leaseFile: text })), ['/dhcp/leaseFile bad-path'], label);
    t.deepEqual(found(good, [host({ hostname: text })]), ['/reservations/0/hostname bad-hostname'], label);
    t.deepEqual(found(good, [host({ tags: [text] })]), ['/reservations/0/tags/0 bad-tag'], label);
    t.deepEqual(found(good, [host({ mac: text as MacAddress })]), ['/reservations/0/mac bad-mac'], label);
    t.deepEqual(
      found(good, [host({ addresses: [text as IpAddress] })]),
      ['/reservations/0/addresses/0 bad-address'],
      label,
    );
  }
  t.deepEqual(found(dhcp({ leaseFile: '/run/../etc/shadow' })), ['/dhcp/leaseFile bad-path']);
  for (const text of ['a"b', 'a,b', 'a\nb', '12', '0x1f', '10.1.1.1', 'aa:bb', '5s']) {
    t.deepEqual(
      found(dhcp({ options: [{ family: 4, code: 224, value: { type: 'text', text } }] })),
      ['/dhcp/options/0/value/text unsafe-text'],
      text,
    );
  }
});

test('hosts: what is there twice, and addresses nobody serves', (t) => {
  const other = host({
    mac: parseMac('02:00:00:00:00:0b')!,
    addresses: [parseIpv4('10.1.1.11')!],
    hostname: 'a',
  });
  t.deepEqual(found(good, [host(), { ...other, mac: host().mac }]), ['/reservations/1/mac duplicate-mac']);
  t.deepEqual(found(good, [host(), { ...other, addresses: host().addresses }]), [
    '/reservations/1/addresses/0 duplicate-address',
  ]);
  t.deepEqual(found(good, [host({ hostname: 'A' }), other]), ['/reservations/1/hostname duplicate-hostname']);
  t.deepEqual(found(dhcp({ hosts: [host()] }), [host()]), [
    '/reservations/0/mac duplicate-mac',
    '/reservations/0/addresses/0 duplicate-address',
  ]);
  for (const address of ['10.1.2.10', '10.1.1.0', '10.1.1.255', '2001:db8::1']) {
    const value = (parseIpv4(address) ?? parseIpv6(address))!;
    t.deepEqual(
      found(good, [host({ addresses: [value] })]),
      ['/reservations/0/addresses/0 address-outside-range'],
      address,
    );
  }
  t.deepEqual(found(good, [host({ addresses: ['010.1.1.10' as Ipv4] })]), [
    '/reservations/0/addresses/0 bad-address',
  ]);
  t.deepEqual(found(good, [host({ mac: parseMac('01:00:5e:00:00:01')! })]), ['/reservations/0/mac bad-mac']);
  t.deepEqual(found(good, [host({ leaseTime: 60 })]), ['/reservations/0/leaseTime bad-lease-time']);
  for (const hostname of ['infinite', 'ignore', '120', '45m'])
    t.deepEqual(found(good, [host({ hostname })]), ['/reservations/0/hostname bad-hostname']);
});

test('ranges, numbers and the rest, all problems at once', (t) => {
  t.deepEqual(
    found({
      interfaces: [],
      bind: 'interfaces',
      dns: { port: 70_000, cacheSize: -1, aliases: [{ alias: 'a', target: 'a' }] },
      dhcp: {
        leaseFile: '/run/leases',
        maximumLeases: 0,
        ranges: [
          {
            kind: 'dynamic4',
            prefix: parseIpv4Prefix('10.1.0.0/16')!,
            first: parseIpv4('10.1.0.9')!,
            last: parseIpv4('10.1.0.1')!,
          },
          { kind: 'static4', prefix: parseIpv4Prefix('10.1.1.0/24')! },
          { kind: 'range6', first: parseIpv6('2001:db8::')!, modes: ['slaac'], prefixLength: 72 },
        ],
        options: [{ family: 4, code: 53, value: { type: 'number', value: 300, octets: 1 } }],
      },
      routerAdvertisements: [{ interface: 'guest', interval: 2 }],
    }),
    [
      '/interfaces listens-everywhere',
      '/dns/port bad-number',
      '/dns/cacheSize bad-number',
      '/dns/aliases/0/alias duplicate-alias',
      '/dhcp/ranges/0/last range-reversed',
      '/dhcp/ranges/2/prefixLength prefix-length',
      '/dhcp/ranges/1/prefix prefix-overlap',
      '/dhcp/options/0/code bad-option-code',
      '/dhcp/options/0/value/value bad-number',
      '/dhcp/maximumLeases bad-number',
      '/routerAdvertisements/0/interval bad-number',
    ],
  );
  const many = Array.from({ length: 1001 }, (_, index) =>
    host({
      mac: parseMac(
        `02:00:00:00:${(index >> 8).toString(16).padStart(2, '0')}:${(index & 255).toString(16).padStart(2, '0')}`,
      )!,
      addresses: [],
    }),
  );
  t.deepEqual(found(good, many), ['/dhcp/maximumLeases too-few-leases']);
});
