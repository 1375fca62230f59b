import test from 'ava';
import { type Answer, harness, seedNetwork, seedZone } from '../harness.ts';

/** `pointer code` of every problem, sorted. */
const told = (answer: Answer): string[] =>
  (answer.body.problems ?? []).map(({ pointer, code }) => `${pointer} ${code}`).sort();

interface Case {
  readonly title: string;
  readonly path: string;
  readonly body: unknown;
  readonly status: number;
  /** Every problem, `pointer code`. */
  readonly problems: readonly string[];
  /** What one of the messages has to say, such as which rule is in the way. */
  readonly says?: RegExp;
}

test('bad requests are refused with every problem at once, each with a remedy, and change nothing', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { network, instance, publicIp } = await seedNetwork(h, agent, h.admin);
  const made = async (path: string, body: object): Promise<string> => {
    const answer = await h.admin('POST', `/v1/${path}`, body);
    t.is(answer.status, 201, answer.text);
    return String(answer.body['id']);
  };
  const firewall = await made('firewall-rules', {
    publicIp,
    protocol: 'tcp',
    ports: { first: 80, last: 90 },
  });
  const egress = await made('egress-rules', { network, protocol: 'tcp', ports: 443 });
  const forward = await made('port-forwards', {
    publicIp,
    protocol: 'tcp',
    publicPorts: { first: 80, last: 90 },
    instance,
  });
  const balancer = await made('load-balancers', { name: 'lb', publicIp, port: 443 });
  const natIp = await made('public-ips', { network });
  const nat = await made('static-nats', { publicIp: natIp, instance });
  const sourceNat = (await h.admin('GET', `/v1/public-ips?network=${network}`)).body.items?.find(
    (ip) => ip['sourceNat'] === true,
  );
  const otherNetwork = await made('networks', { name: 'other' });
  const stranger = await made('instances', { name: 'stranger', network: otherNetwork });

  const cases: Case[] = [
    {
      title: 'unknown fields, wrong types, bad formats and a name with quotes and newlines, all in one',
      path: 'networks',
      body: { name: '"\n', prefix: '010.0.0.0/24', mtu: '1500', domain: 'A_B', nonsense: 1, zone: 5 },
      status: 422,
      problems: [
        '/domain bad-format',
        '/mtu wrong-type',
        '/name bad-name',
        '/nonsense unknown-field',
        '/prefix bad-format',
        '/zone wrong-type',
      ],
      says: /line break.*quote/,
    },
    {
      title: 'a body that is no object',
      path: 'networks',
      body: '[]',
      status: 422,
      problems: [' wrong-type'],
    },
    {
      title: 'missing fields',
      path: 'port-forwards',
      body: {},
      status: 422,
      problems: ['/protocol missing-field', '/publicIp missing-field', '/publicPorts missing-field'],
    },
    {
      title: 'a prefix with host bits, and one that is too small',
      path: 'networks',
      body: { name: 'x', prefix: '10.1.1.1/24' },
      status: 422,
      problems: ['/prefix bad-format'],
    },
    {
      title: 'a prefix too small, in the public range',
      path: 'networks',
      body: { name: 'x', prefix: '203.0.113.0/31' },
      status: 422,
      problems: ['/prefix overlapping-prefix', '/prefix prefix-size'],
    },
    {
      title: 'a prefix no guest can have',
      path: 'networks',
      body: { name: 'x', prefix: '127.0.0.0/8' },
      status: 422,
      problems: ['/prefix reserved-prefix'],
    },
    {
      title: 'zone ids and leading zeros in addresses',
      path: 'zones',
      body: { name: 'z9', dns: ['fe80::1%eth0', '010.0.0.1', '10.1'] },
      status: 422,
      problems: ['/dns/0 bad-format', '/dns/1 bad-format', '/dns/2 bad-format'],
    },
    {
      title: 'a public range that overlaps, leaves its prefix and runs backwards',
      path: 'public-ip-ranges',
      body: {
        zone: 'z1',
        prefix: '203.0.113.0/24',
        gateway: '203.0.112.1',
        first: '203.0.113.40',
        last: '203.0.113.20',
      },
      status: 422,
      problems: ['/gateway address-outside-prefix', '/last range-backwards', '/prefix overlapping-prefix'],
    },
    {
      title: 'a public range over another one and a guest network',
      path: 'public-ip-ranges',
      body: { zone: 'z1', prefix: '203.0.113.0/24', gateway: '203.0.113.1', first: '203.0.113.200' },
      status: 422,
      problems: ['/first overlapping-range'],
      says: /range-[0-9a-z]{12} \(203\.0\.113\.10 to 203\.0\.113\.250\)/,
    },
    {
      title: 'a public range over a guest network',
      path: 'public-ip-ranges',
      body: { zone: 'z1', prefix: '10.1.0.0/16', gateway: '10.1.0.1' },
      status: 422,
      problems: ['/prefix overlapping-prefix', '/prefix overlapping-prefix'],
      says: new RegExp(network),
    },
    {
      title: 'an address outside the network, which another guest could not have either',
      path: 'instances',
      body: { name: 'x', network, address: '10.1.2.5', hostname: 'n1-a' },
      status: 422,
      problems: ['/address address-outside-prefix', '/hostname hostname-taken'],
    },
    {
      title: 'the gateway as a guest',
      path: 'instances',
      body: { name: 'x', network, address: '10.1.1.1' },
      status: 422,
      problems: ['/address address-taken'],
    },
    {
      title: 'an address that another guest has',
      path: 'instances',
      body: { name: 'x', network, address: '10.1.1.2' },
      status: 409,
      problems: ['/address address-taken'],
      says: new RegExp(instance),
    },
    {
      title: 'user data that is no base64, keys with newlines, meta data with odd keys',
      path: 'instances',
      body: { name: 'x', network, userData: 'nö', publicKeys: ['a\nb'], metaData: { 'A b': 'x' } },
      status: 422,
      problems: ['/metaData/A b unknown-field', '/publicKeys/0 bad-format', '/userData bad-format'],
    },
    {
      title: 'user data of absurd size',
      path: 'instances',
      body: { name: 'x', network, userData: 'AAAA'.repeat(20_000) },
      status: 422,
      problems: ['/userData too-large'],
    },
    {
      title: 'an instance on two kinds of networks and none',
      path: 'instances',
      body: { name: 'x', network, networks: [{ network }] },
      status: 422,
      problems: ['/network too-many-fields'],
    },
    {
      title: 'a port range of the wrong length, and one that ends beyond the last port',
      path: 'port-forwards',
      body: {
        publicIp,
        protocol: 'tcp',
        publicPorts: { first: 1000, last: 1009 },
        guestPorts: { first: 2000, last: 2004 },
        instance,
      },
      status: 422,
      problems: ['/guestPorts range-length'],
      says: /10 public ports .* 5 guest ports/,
    },
    {
      title: 'ports that are none',
      path: 'port-forwards',
      body: { publicIp, protocol: 'sctp', publicPorts: { first: 0, last: 70_000 }, instance },
      status: 422,
      problems: [
        '/protocol not-allowed',
        '/publicPorts/first out-of-bounds',
        '/publicPorts/last out-of-bounds',
      ],
    },
    {
      title: 'ports that are neither a number nor a range',
      path: 'port-forwards',
      body: { publicIp, protocol: 'tcp', publicPorts: '80', instance },
      status: 422,
      problems: ['/publicPorts wrong-type'],
    },
    {
      title: 'a port forward over another: which rule?',
      path: 'port-forwards',
      body: { publicIp, protocol: 'tcp', publicPorts: { first: 85, last: 95 }, instance },
      status: 409,
      problems: ['/publicPorts ports-in-use'],
      says: new RegExp(forward),
    },
    {
      title: 'a port forward over a load balancer',
      path: 'port-forwards',
      body: { publicIp, protocol: 'tcp', publicPorts: 443, instance },
      status: 409,
      problems: ['/publicPorts ports-in-use'],
      says: new RegExp(balancer),
    },
    {
      title: 'a load balancer over a port forward, with a member twice and one of another network',
      path: 'load-balancers',
      body: {
        name: 'lb2',
        publicIp,
        port: 90,
        members: [
          { instance, port: 80 },
          { instance, port: 80 },
          { instance: stranger, port: 80 },
        ],
      },
      status: 422,
      problems: ['/members/1 duplicate', '/members/2/instance other-network', '/port ports-in-use'],
      says: new RegExp(forward),
    },
    {
      title: 'a port forward on the address of a static NAT',
      path: 'port-forwards',
      body: { publicIp: natIp, protocol: 'udp', publicPorts: 53, instance },
      status: 409,
      problems: ['/publicIp static-nat-in-use'],
      says: new RegExp(nat),
    },
    {
      title: 'a static NAT on an address with other uses, for a guest that has one',
      path: 'static-nats',
      body: { publicIp, instance },
      status: 409,
      problems: ['/instance static-nat-in-use', '/publicIp address-in-use', '/publicIp address-in-use'],
      says: new RegExp(nat),
    },
    {
      title: 'a static NAT on the source NAT address',
      path: 'static-nats',
      body: { publicIp: sourceNat?.['id'], instance },
      status: 409,
      problems: ['/instance static-nat-in-use', '/publicIp source-nat-address'],
    },
    {
      title: 'a firewall rule that is there already: which rule?',
      path: 'firewall-rules',
      body: { publicIp, protocol: 'tcp', ports: { first: 80, last: 90 } },
      status: 409,
      problems: ['/sources duplicate-rule'],
      says: new RegExp(firewall),
    },
    {
      title: 'a firewall rule with ports for ICMP, and the other way round',
      path: 'firewall-rules',
      body: {
        publicIp,
        protocol: 'all',
        ports: 80,
        icmp: { code: 3 },
        sources: ['10.0.0.1/8', '10.0.0.0/8', '10.0.0.0/8'],
      },
      status: 422,
      problems: ['/sources/0 bad-format'],
    },
    {
      title: 'a firewall rule of fields that do not go together',
      path: 'firewall-rules',
      body: {
        publicIp,
        protocol: 'all',
        ports: { first: 9, last: 8 },
        icmp: { code: 3 },
        sources: ['10.0.0.0/8', '10.0.0.0/8'],
      },
      status: 422,
      problems: [
        '/icmp icmp-without-protocol',
        '/icmp/type missing-field',
        '/ports ports-without-protocol',
        '/ports range-backwards',
        '/sources/1 duplicate',
      ],
    },
    {
      title: 'an egress rule for guests of other networks',
      path: 'egress-rules',
      body: { network, protocol: 'udp', sources: ['192.168.0.0/24', '10.1.1.0/25'] },
      status: 422,
      problems: ['/sources/0 address-outside-prefix'],
    },
    {
      title: 'an egress rule that is there already: which rule?',
      path: 'egress-rules',
      body: { network, protocol: 'tcp', ports: 443 },
      status: 409,
      problems: ['/sources duplicate-rule'],
      says: new RegExp(egress),
    },
    {
      title: 'a public address outside the ranges',
      path: 'public-ips',
      body: { network, address: '203.0.113.251' },
      status: 422,
      problems: ['/address address-outside-range'],
    },
    {
      title: 'a public address that is taken',
      path: 'public-ips',
      body: { network, address: '203.0.113.10' },
      status: 409,
      problems: ['/address address-taken'],
    },
    {
      title: 'a name that is taken',
      path: 'networks',
      body: { name: 'n1' },
      status: 409,
      problems: ['/name name-taken'],
    },
    {
      title: 'an offering with a service twice and one that cannot work',
      path: 'network-offerings',
      body: { name: 'odd', services: ['dhcp', 'dhcp', 'port-forward'] },
      status: 422,
      problems: ['/services service-missing', '/services/1 duplicate'],
    },
    {
      title: 'what is not there',
      path: 'instances',
      body: { name: 'x', networks: [{ network: 'net-000000000000' }, { network: 'net-000000000001' }] },
      status: 404,
      problems: ['/networks/0/network not-found', '/networks/1/network not-found'],
    },
    {
      title: 'an absurdly long list',
      path: 'firewall-rules',
      body: {
        publicIp,
        protocol: 'tcp',
        ports: 1,
        sources: Array.from({ length: 300 }, (_, i) => `10.${i % 256}.${i >> 8}.0/24`),
      },
      status: 422,
      problems: ['/sources too-large'],
    },
    {
      title: 'a name of absurd length',
      path: 'zones',
      body: { name: 'x'.repeat(64) },
      status: 422,
      problems: ['/name bad-name', '/name too-large'],
    },
  ];
  for (const { title, path, body, status, problems, says } of cases) {
    const before = await h.dump();
    const answer = await h.admin('POST', `/v1/${path}`, body);
    t.is(answer.status, status, `${title}: ${answer.text}`);
    t.deepEqual(told(answer), [...problems].sort(), `${title}: ${answer.text}`);
    t.regex(String(answer.headers['content-type']), /^application\/problem\+json/);
    t.like(answer.body, { status, type: `urn:selvage:problem:${String(answer.body['code'])}` });
    for (const { message, hint } of answer.body.problems ?? []) {
      t.true(message.length > 10, title);
      t.true(hint.length > 2, title);
    }
    if (says !== undefined) t.regex(answer.text, says, title);
    t.is(await h.dump(), before, `${title}: something changed`);
  }
  // Control: the dump sees a change when there is one.
  const before = await h.dump();
  t.is((await h.admin('POST', '/v1/networks', { name: 'good' })).status, 201);
  t.not(await h.dump(), before);
});

test('what cannot be read at all is refused by its kind', async (t) => {
  const h = await harness(t);
  const before = await h.dump();
  const refused = async (
    [method, path, body, headers]: Parameters<typeof h.admin>,
    status: number,
    code: string,
  ) => {
    const answer = await h.admin(method, path, body, headers);
    t.is(answer.status, status, answer.text);
    t.is(answer.body['code'], code);
    t.regex(String(answer.headers['content-type']), /^application\/problem\+json/);
  };
  await refused(['POST', '/v1/zones', '{'], 400, 'malformed-json');
  await refused(['POST', '/v1/zones', '{"__proto__":{"a":1},"name":"x"}'], 400, 'malformed-json');
  await refused(['POST', '/v1/zones', '', {}], 400, 'malformed-json');
  await refused(['POST', '/v1/zones', `{"name":"${'x'.repeat(1 << 20)}"}`], 413, 'too-large');
  await refused(['POST', '/v1/zones', '<a/>', { 'content-type': 'text/xml' }], 415, 'not-json');
  await refused(['GET', '/v1/nothing'], 404, 'no-such-route');
  await refused(['GET', '/v1/networks/%zz'], 400, 'bad-url');
  await refused(['GET', '/v1/zones?limit=0'], 422, 'invalid-request');
  await refused(['GET', '/v1/zones?limit=5000&colour=red'], 422, 'invalid-request');
  await refused(['GET', '/v1/zones?cursor=zzz'], 422, 'invalid-request');
  await refused(['POST', '/v1/networks?wait=10h', { name: 'x' }], 422, 'invalid-request');
  await refused(['POST', '/v1/networks?dryRun=yes', { name: 'x' }], 422, 'invalid-request');
  await refused(['GET', '/v1/zones/zone-000000000000'], 404, 'not-found');
  const two = await h.admin('GET', '/v1/zones?limit=5000&colour=red');
  t.deepEqual(two.body.problems?.map(({ pointer, code }) => `${pointer} ${code}`).sort(), [
    '?colour unknown-field',
    '?limit out-of-bounds',
  ]);
  t.is(await h.dump(), before);
});

test('without a key nobody is let in, with a user key nobody administers', async (t) => {
  const h = await harness(t);
  await seedZone(h);
  const { call } = await h.account('bob');
  for (const key of ['', 'svk_', `svk_${'A'.repeat(43)}`, 'svh_x', 'x'.repeat(5000)]) {
    const answer = await h.as(key)('GET', '/v1/zones');
    t.is(answer.status, 401);
    t.is(answer.body['code'], 'no-api-key');
    t.regex(String(answer.headers['www-authenticate']), /^Bearer/);
  }
  const before = await h.dump();
  for (const [path, body] of [
    ['zones', { name: 'z2' }],
    ['hosts', { zone: 'z1', name: 'h2' }],
    ['accounts', { name: 'eve', role: 'admin' }],
    ['public-ip-ranges', { zone: 'z1', prefix: '198.51.100.0/24', gateway: '198.51.100.1' }],
    ['network-offerings', { name: 'mine' }],
  ] as const) {
    const answer = await call('POST', `/v1/${path}`, body);
    t.is(answer.status, 403, answer.text);
    t.is(answer.body['code'], 'admin-only');
  }
  t.is((await call('GET', '/v1/hosts')).status, 403);
  t.is((await call('GET', '/v1/zones')).status, 200);
  t.is((await call('POST', '/v1/networks', { name: 'n', account: 'admin' })).status, 404);
  t.is((await call('POST', '/v1/api-keys', { name: 'k', account: 'admin' })).status, 404);
  t.is(await h.dump(), before);
});
