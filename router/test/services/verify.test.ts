import test from 'ava';
import type { DhcpHost, DhcpSubnet, MetadataGuest, RouterDocument } from 'documents';
import { dhcpFeature } from '../../dhcp/feature.ts';
import { dnsFeature } from '../../dns/feature.ts';
import type { Scope } from '../../feature.ts';
import { loadBalancerFeature } from '../../loadbalancer/feature.ts';
import { metadataFeature } from '../../metadata/feature.ts';
import { balancer, document } from './document.ts';

type Verify = (
  document: RouterDocument,
  scope?: Scope,
) => readonly { readonly pointer: string; readonly code: string }[];

const found = (verify: Verify, value: RouterDocument, scope?: Scope): string[] =>
  verify(value, scope).map(({ pointer, code }) => `${pointer} ${code}`);

const member = (id: string, address: string) => ({ id, address, port: 8000, draining: false });

test('load balancers: listeners, members, and translations in their way', (t) => {
  const { verify } = loadBalancerFeature;
  const sound = document({ loadBalancers: [balancer(), balancer({ id: 'lb-2', port: 81 })] });
  t.deepEqual(found(verify, sound), []);
  const broken = document({
    loadBalancers: [
      balancer({
        members: [
          member('mem-a', '10.1.1.11'),
          member('mem-a', '10.1.1.12'),
          member('mem-b', '10.1.1.11'),
          member('mem-c', '10.1.1.1'),
          member('mem-d', '192.0.2.1'),
        ],
      }),
      balancer({ id: 'lb-2' }),
      balancer({ id: 'lb-3', publicAddress: '203.0.113.99' }),
      balancer({ id: 'lb-4', publicAddress: '203.0.113.11' }),
      balancer({ id: 'lb-5', publicAddress: '10.1.1.1', port: 53 }),
    ],
    portForwards: [
      {
        id: 'pf-1',
        publicAddress: '203.0.113.10',
        protocol: 'tcp',
        publicPorts: { first: 70, last: 90 },
        guestAddress: '10.1.1.11',
        guestPorts: { first: 70, last: 90 },
      },
      {
        id: 'pf-2',
        publicAddress: '203.0.113.10',
        protocol: 'udp',
        publicPorts: { first: 80, last: 80 },
        guestAddress: '10.1.1.11',
        guestPorts: { first: 80, last: 80 },
      },
    ],
    staticNats: [{ id: 'sn-1', publicAddress: '203.0.113.11', guestAddress: '10.1.1.12' }],
  });
  t.deepEqual(found(verify, broken), [
    '/loadBalancers/0/members/1/id duplicate-member',
    '/loadBalancers/0/members/2 duplicate-member',
    '/loadBalancers/0/members/3/address member-is-router',
    '/loadBalancers/0/members/4/address member-outside-network',
    '/loadBalancers/1/port duplicate-listener',
    '/loadBalancers/2/publicAddress address-not-on-leg',
    '/loadBalancers/4/publicAddress address-not-on-leg',
    '/staticNats/0/publicAddress translated-listener',
    '/portForwards/0/publicPorts translated-listener',
    '/portForwards/0/publicPorts translated-listener',
  ]);
  t.deepEqual(found(verify, broken, { loadBalancers: new Set(['lb-2']) }), [
    '/loadBalancers/1/port duplicate-listener',
    '/portForwards/0/publicPorts translated-listener',
  ]);
  t.deepEqual(found(verify, broken, { staticNats: new Set(['sn-1']) }), [
    '/staticNats/0/publicAddress translated-listener',
  ]);
  t.deepEqual(found(verify, broken, { firewallRules: new Set(['fw-1']) }), []);
});

const subnet = (parts: Partial<DhcpSubnet> = {}): DhcpSubnet => ({
  id: 'dhs-1',
  leg: 'leg-guest0',
  prefix: '10.1.1.0/24',
  gateway: '10.1.1.1',
  dnsServers: [],
  domain: 'cloud.internal',
  leaseTime: 0,
  ...parts,
});

const host = (id: string, last: number, parts: Partial<DhcpHost> = {}): DhcpHost => ({
  id,
  leg: 'leg-guest0',
  mac: `02:00:00:00:01:${last.toString(16).padStart(2, '0')}`,
  address: `10.1.1.${last}`,
  hostname: id,
  ...parts,
});

test('DHCP: subnets on guest legs, hosts inside them, nothing twice', (t) => {
  const { verify } = dhcpFeature;
  t.deepEqual(
    found(verify, document({ dhcpSubnets: [subnet()], dhcpHosts: [host('a', 2), host('b', 254)] })),
    [],
  );
  const broken = document({
    dhcpSubnets: [
      subnet(),
      subnet({ id: 'dhs-2', gateway: '10.9.9.1' }),
      subnet({ id: 'dhs-3', leg: 'leg-public0', prefix: '198.51.100.0/24', gateway: '198.51.100.1' }),
    ],
    dhcpHosts: [
      host('a', 11),
      host('b', 11, { hostname: 'b' }),
      host('c', 1),
      host('d', 255),
      host('e', 14, { address: '10.1.2.14' }),
      host('f', 15, { leg: 'leg-nowhere' }),
    ],
  });
  t.deepEqual(found(verify, broken), [
    '/dhcpSubnets/1/leg duplicate-subnet',
    '/dhcpSubnets/1/gateway address-outside-prefix',
    '/dhcpSubnets/2/leg not-a-guest-leg',
    '/dhcpSubnets/2/prefix leg-outside-prefix',
    '/dhcpHosts/1/mac duplicate-mac',
    '/dhcpHosts/1/address duplicate-address',
    '/dhcpHosts/2/address address-of-router',
    '/dhcpHosts/3/address address-not-usable',
    '/dhcpHosts/4/address address-outside-prefix',
    '/dhcpHosts/5/leg no-subnet',
  ]);
  t.deepEqual(found(verify, broken, { dhcpHosts: new Set(['a']) }), [
    '/dhcpHosts/1/mac duplicate-mac',
    '/dhcpHosts/1/address duplicate-address',
  ]);
  t.deepEqual(found(verify, broken, { routes: new Set(['x']) }), []);
});

test('DNS: one owner for a name', (t) => {
  const { verify } = dnsFeature;
  const records = [{ id: 'rec-1', name: 'data-server', address: '10.1.1.1' }];
  const dns = { domain: 'cloud.internal', upstreams: [], records };
  const base = { dhcpSubnets: [subnet()], dns };
  t.deepEqual(found(verify, document({ ...base, dhcpHosts: [host('a', 11), host('b', 12)] })), []);
  const broken = document({
    ...base,
    dhcpHosts: [host('a', 11), host('b', 12, { hostname: 'a' }), host('c', 13, { hostname: 'data-server' })],
    dns: { ...dns, records: [...records, { id: 'rec-2', name: 'data-server', address: '10.1.1.1' }] },
  });
  t.deepEqual(found(verify, broken), [
    '/dns/records/1 duplicate-record',
    '/dhcpHosts/2/hostname hostname-is-record',
    '/dhcpHosts/1/hostname duplicate-hostname',
  ]);
});

const guest = (id: string, address: string, parts: Partial<MetadataGuest> = {}): MetadataGuest => ({
  id,
  leg: 'leg-guest0',
  address,
  instance: `ins-${id}`,
  hostname: id,
  userData: '',
  publicKeys: [],
  metaData: {},
  ...parts,
});

test('metadata: one guest an address, inside its network, user data that can be decoded', (t) => {
  const { verify } = metadataFeature;
  const largest = Buffer.alloc(32_768).toString('base64');
  t.deepEqual(
    found(verify, document({ metadataGuests: [guest('a', '10.1.1.11', { userData: largest })] })),
    [],
  );
  const broken = document({
    metadataGuests: [
      guest('a', '10.1.1.11', { userData: '!!' }),
      guest('b', '10.1.1.11', { userData: Buffer.alloc(32_769).toString('base64') }),
      guest('c', '10.9.9.9'),
      guest('d', '203.0.113.50', { leg: 'leg-public0' }),
    ],
  });
  const all = [
    '/metadataGuests/0/userData bad-base64',
    '/metadataGuests/1/address duplicate-address',
    '/metadataGuests/1/userData too-large',
    '/metadataGuests/2/address address-outside-prefix',
    '/metadataGuests/3/leg not-a-guest-leg',
  ];
  t.deepEqual(found(verify, broken), all);
  t.deepEqual(found(verify, broken, { metadataGuests: new Set(['c']) }), [all[3] as string]);
  t.deepEqual(found(verify, broken, { dhcpHosts: new Set(['c']) }), []);
});

test('every problem says what to do', (t) => {
  const value = document({
    loadBalancers: [balancer(), balancer({ id: 'lb-2' })],
    metadataGuests: [guest('c', '10.9.9.9')],
  });
  for (const { verify } of [loadBalancerFeature, metadataFeature]) {
    const problems = verify(value);
    t.true(problems.length > 0);
    for (const { message, hint } of problems) t.true(message.length > 10 && hint.length > 5);
  }
});
