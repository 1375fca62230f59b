import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import {
  type DnsmasqConfig,
  DnsmasqConfigError,
  type HostReservation,
  renderAddnHosts,
  renderConfig,
  renderFiles,
  renderHosts,
  renderOptions,
  verifyConfig,
} from 'dnsmasq-config';
import { type Ipv6, parseIpv4, parseIpv4Prefix, parseIpv6, parseMac } from 'ip';
import * as arbitrary from './support/arbitraries.ts';

const guestNetwork: DnsmasqConfig = {
  interfaces: ['guest0'],
  exceptInterfaces: ['lo'],
  listenAddresses: [parseIpv4('10.1.1.1')!],
  bind: 'dynamic',
  dns: {
    domain: 'net1.example',
    localDomains: ['net1.example'],
    domainNeeded: true,
    bogusPrivate: true,
    servers: [
      { address: parseIpv4('192.0.2.53')! },
      { address: parseIpv6('2001:db8::53')!, port: 5353, domains: ['corp.example', 'lab.example'] },
    ],
    cacheSize: 1000,
    hostRecords: [{ address: parseIpv4('10.1.1.1')!, names: ['data-server.net1.example', 'data-server'] }],
    aliases: [{ alias: 'www.net1.example', target: 'web.net1.example' }],
    txtRecords: [{ name: 'net1.example', text: 'owner=tenant 7' }],
    hostsDirectories: ['/run/router/r1/hosts'],
  },
  dhcp: {
    authoritative: true,
    ranges: [
      { kind: 'static4', prefix: parseIpv4Prefix('10.1.1.0/24')!, leaseTime: 'infinite', setTag: 'net1' },
      {
        kind: 'range6',
        first: '::' as Ipv6,
        constructedFrom: 'guest0',
        modes: ['ra-stateless', 'ra-names'],
        prefixLength: 64,
      },
    ],
    options: [
      {
        family: 4,
        code: 3,
        tags: ['net1'],
        value: { type: 'addresses', addresses: [parseIpv4('10.1.1.1')!] },
      },
      { family: 4, code: 26, value: { type: 'number', value: 1450, octets: 2 } },
      {
        family: 4,
        code: 121,
        value: { type: 'routes', routes: [{ to: '10.9.0.0/16', via: parseIpv4('10.1.1.9')! }] },
      },
      { family: 4, code: 224, force: true, value: { type: 'octets', octets: [1, 2, 255] } },
      { family: 4, code: 42, value: { type: 'none' } },
      { family: 6, code: 23, value: { type: 'addresses', addresses: [parseIpv6('2001:db8::53')!] } },
    ],
    hostsDirectories: ['/run/router/r1/dhcp-hosts'],
    leaseFile: '/run/router/r1/leases',
    maximumLeases: 70_000,
    noPing: true,
  },
  enableRouterAdvertisements: true,
  routerAdvertisements: [
    { interface: 'guest0', mtu: 1450, priority: 'high', interval: 60, routerLifetime: 1800 },
  ],
  user: 'root',
  pidFile: '/run/router/r1/dnsmasq.pid',
  log: { facility: '-', quietDhcp: true, quietRa: true },
};

const hosts: HostReservation[] = [
  {
    mac: parseMac('02:00:00:00:00:0a')!,
    addresses: [parseIpv4('10.1.1.10')!],
    hostname: 'web',
    leaseTime: 'infinite',
  },
  {
    mac: parseMac('02:00:00:00:00:0b')!,
    addresses: [parseIpv4('10.1.1.11')!, parseIpv6('2001:db8::b')!],
    hostname: 'db',
    leaseTime: 3600,
    tags: ['gold'],
    options: [{ family: 4, code: 3, value: { type: 'none' } }],
  },
];

test('golden: a guest network with DHCP, DNS and router advertisements, every kind of line', (t) => {
  t.deepEqual(verifyConfig(guestNetwork), []);
  t.is(
    renderConfig(guestNetwork),
    readFileSync(new URL('./golden/guest-network.conf', import.meta.url), 'utf8'),
  );
});

test('hosts, options and names files', (t) => {
  t.is(
    renderHosts(hosts),
    '02:00:00:00:00:0a,10.1.1.10,web,infinite\n02:00:00:00:00:0b,set:gold,set:host-02000000000b,10.1.1.11,[2001:db8::b],db,3600\n',
  );
  t.is(renderOptions(guestNetwork.dhcp?.options ?? []).split('\n')[0], 'tag:net1,3,10.1.1.1');
  t.is(
    renderAddnHosts([{ address: parseIpv4('10.1.1.10')!, names: ['web.net1.example', 'web'] }]),
    '10.1.1.10 web.net1.example web\n',
  );
  t.is(renderAddnHosts([]), '');
  const files = renderFiles({ directory: '/run/r', config: guestNetwork, reservations: hosts, names: [] });
  t.deepEqual(
    files.map(({ path }) => path),
    [
      '/run/r/dnsmasq.conf',
      '/run/r/hosts/names',
      '/run/r/dhcp-options',
      '/run/r/dhcp-hosts/02-00-00-00-00-0a',
      '/run/r/dhcp-hosts/02-00-00-00-00-0b',
    ],
  );
  t.is(files[2]?.text, 'tag:host-02000000000b,3\n');
});

test('the real dnsmasq takes every configuration that verifies', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'svt-dnsmasq-conf-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'conf');
  const accepts = (text: string): string | null => {
    writeFileSync(file, text);
    const { status, stderr } = spawnSync('/usr/sbin/dnsmasq', ['--test', `--conf-file=${file}`], {
      encoding: 'utf8',
    });
    return status === 0 ? null : stderr;
  };
  t.truthy(accepts('dhcp-range=nonsense\n'), 'control: it refuses nonsense');
  t.is(accepts(readFileSync(new URL('./golden/guest-network.conf', import.meta.url), 'utf8')), null);
  fc.assert(
    fc.property(arbitrary.config, (config) => {
      const problems = verifyConfig(config);
      const text = renderConfig(config);
      const refusal = accepts(text);
      if (problems.length > 0 || refusal !== null)
        throw new Error(`${JSON.stringify(problems)}\n${refusal}\n${text}`);
    }),
    { numRuns: 200 },
  );
});

test('what is not verified does not render: text that would break out of its line throws', (t) => {
  for (const text of ['a\nuser=root', 'a"b', 'a,b', 'a#b', 'a\\b', 'a\rb', 'a\0b', 'é']) {
    const config: DnsmasqConfig = { ...guestNetwork, dns: { domain: text } };
    t.throws(
      () => renderConfig(config),
      { instanceOf: DnsmasqConfigError, code: 'DNSMASQ_UNSAFE_TEXT' },
      JSON.stringify(text),
    );
    t.throws(() => renderHosts([{ ...(hosts[0] as HostReservation), hostname: text }]), {
      instanceOf: DnsmasqConfigError,
    });
    t.throws(() => renderAddnHosts([{ address: parseIpv4('10.1.1.1')!, names: [text] }]), {
      instanceOf: DnsmasqConfigError,
    });
  }
});

test('whatever text is put in, the number of lines stays', (t) => {
  const expected = renderConfig({ ...guestNetwork, dns: { ...guestNetwork.dns, domain: 'x' } }).split(
    '\n',
  ).length;
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[a-z,"#\n\r\\. ]{1,12}$/)),
      (text) => {
        const config: DnsmasqConfig = { ...guestNetwork, dns: { ...guestNetwork.dns, domain: text } };
        if (verifyConfig(config).length > 0) return true;
        return renderConfig(config).split('\n').length === expected;
      },
    ),
    { numRuns: 1000 },
  );
  t.pass();
});
