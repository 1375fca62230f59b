import test from 'ava';
import { type Answer, harness, seedNetwork, seedZone } from '../harness.ts';

const codes = (answer: Answer) => (answer.body.problems ?? []).map(({ code }) => code);

test('nothing is removed that something else needs, and the refusal says what', async (t) => {
  const h = await harness(t);
  const { zone, agent } = await seedZone(h);
  const { call, id: account } = await h.account('alice');
  const { network, instance } = await seedNetwork(h, agent, call);
  const range = String((await h.admin('GET', '/v1/public-ip-ranges')).body.items?.[0]?.['id']);
  const offering = String((await call('GET', `/v1/networks/${network}`)).body['offering']);
  const before = await h.dump();
  for (const [path, says] of [
    [`zones/${zone}`, /host-.*range-.*net-.*ins-/],
    [`hosts/${agent.host}`, /rtr-.*ins-/],
    [`public-ip-ranges/${range}`, /pip-/],
    [`network-offerings/${offering}`, new RegExp(network)],
    [`accounts/${account}`, /net-.*ins-.*pip-/],
  ] as const) {
    const answer = await h.admin('DELETE', `/v1/${path}`);
    t.is(answer.status, 409, answer.text);
    t.deepEqual([...new Set(codes(answer))], ['in-use']);
    t.regex(answer.text, says);
  }
  const own = await h.admin('GET', '/v1/accounts/self');
  t.like(own.body, { name: 'admin', role: 'admin' });
  t.deepEqual(codes(await h.admin('DELETE', `/v1/accounts/${own.body['id']}`)), ['own-account']);
  const [key] = (await h.admin('GET', `/v1/api-keys?account=${own.body['id']}`)).body.items ?? [];
  t.deepEqual(codes(await h.admin('DELETE', `/v1/api-keys/${key?.['id']}`)), ['last-admin-key']);
  t.is(await h.dump(), before);

  t.is((await call('GET', '/v1/accounts/self')).body['id'], account);
  await call('DELETE', `/v1/instances/${instance}`);
  await call('DELETE', `/v1/networks/${network}`);
  for (const path of [
    `accounts/${account}`,
    `public-ip-ranges/${range}`,
    `hosts/${agent.host}`,
    `zones/${zone}`,
  ])
    t.is((await h.admin('DELETE', `/v1/${path}`)).status, 200, path);
  t.is((await call('GET', '/v1/networks')).status, 401, 'the keys of an account go with it');
});

test('keys can be replaced: a second one works, and the first one then goes', async (t) => {
  const h = await harness(t);
  const second = await h.admin('POST', '/v1/api-keys', { name: 'second' });
  const call = h.as(String(second.body['key']));
  const first = (await call('GET', '/v1/api-keys?name=first')).body.items?.[0];
  t.is((await call('DELETE', `/v1/api-keys/${first?.['id']}`)).status, 200);
  t.is((await h.admin('GET', '/v1/zones')).status, 401);
  t.is((await call('GET', '/v1/zones')).status, 200);
});

test('zones, accounts and offerings are changed; resolvers reach the routers', async (t) => {
  const h = await harness(t);
  const { zone, agent } = await seedZone(h);
  const { network } = await seedNetwork(h, agent, h.admin);
  const changed = await h.admin('PATCH', `/v1/zones/${zone}`, {
    name: 'renamed',
    dns: ['192.0.2.53', '2001:db8::53'],
    guestPrefix: '10.2.0.0/24',
  });
  t.is(changed.status, 200, changed.text);
  const router = String((await h.admin('GET', `/v1/networks/${network}`)).body['router']);
  t.deepEqual((await agent.routerDocument(router)).dns.upstreams, ['192.0.2.53', '2001:db8::53']);
  t.is((await h.admin('POST', '/v1/networks', { name: 'x' })).body['prefix'], '10.2.0.0/24');
  const wrong = await h.admin('PATCH', `/v1/zones/${zone}`, {
    guestPrefix: '203.0.113.0/25',
    dns: ['192.0.2.1', '192.0.2.1'],
  });
  t.deepEqual(codes(wrong).sort(), ['duplicate', 'overlapping-prefix']);

  const domain = await h.admin('PATCH', `/v1/networks/${network}`, { domain: 'tenant.example' });
  t.truthy(domain.body['operation']);
  t.is((await agent.routerDocument(router)).dns.domain, 'tenant.example');
  await agent.sync();
  t.is((await h.admin('GET', `/v1/operations/${domain.body['operation']}`)).body['state'], 'succeeded');

  const offering = await h.admin('POST', '/v1/network-offerings', {
    name: 'plain',
    services: ['dhcp', 'dns'],
  });
  t.is(offering.status, 201, offering.text);
  const path = `/v1/network-offerings/${offering.body['id']}`;
  t.is((await h.admin('PATCH', path, { state: 'disabled' })).body['state'], 'disabled');
  t.deepEqual(codes(await h.admin('POST', '/v1/networks', { name: 'y', offering: 'plain' })), [
    'offering-disabled',
  ]);
  t.is((await h.admin('DELETE', path)).status, 200);
  const { id } = await h.account('alice');
  t.is((await h.admin('PATCH', `/v1/accounts/${id}`, { name: 'bob' })).body['name'], 'bob');
});

test('what the offering has not cannot be used', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  await h.admin('POST', '/v1/network-offerings', { name: 'plain', services: ['dhcp', 'dns'] });
  await h.admin('POST', '/v1/network-offerings', { name: 'out', services: ['dhcp', 'source-nat'] });
  const plain = String((await h.admin('POST', '/v1/networks', { name: 'p', offering: 'plain' })).body['id']);
  const out = String((await h.admin('POST', '/v1/networks', { name: 'o', offering: 'out' })).body['id']);
  const instance = String((await h.admin('POST', '/v1/instances', { name: 'a', network: plain })).body['id']);
  await agent.sync();
  const roles = (await h.admin('GET', `/v1/ports?network=${plain}`)).body.items?.map(({ role }) => role);
  t.deepEqual(roles?.sort(), ['guest', 'router-guest'], 'no public leg without a public service');
  t.is((await h.admin('GET', `/v1/networks/${plain}`)).body['sourceNatAddress'], null);
  t.deepEqual(codes(await h.admin('POST', '/v1/public-ips', { network: plain })), ['service-not-offered']);
  t.deepEqual(codes(await h.admin('POST', '/v1/egress-rules', { network: out, protocol: 'all' })), [
    'service-not-offered',
  ]);
  const publicIp = String((await h.admin('POST', '/v1/public-ips', { network: out })).body['id']);
  const forward = await h.admin('POST', '/v1/port-forwards', {
    publicIp,
    protocol: 'tcp',
    publicPorts: 80,
    instance,
  });
  t.deepEqual(codes(forward).sort(), ['other-network', 'service-not-offered']);
});

test('a firewall rule and an instance are changed where they are', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { network, instance, publicIp } = await seedNetwork(h, agent, h.admin);
  const rule = (sources: string[]) =>
    h.admin('POST', '/v1/firewall-rules', { publicIp, protocol: 'tcp', ports: 22, sources });
  const first = await rule(['10.0.0.0/8']);
  const second = await rule(['192.168.0.0/16']);
  const path = `/v1/firewall-rules/${first.body['id']}`;
  const clash = await h.admin('PATCH', path, { sources: ['192.168.0.0/16'] });
  t.is(clash.status, 409);
  t.regex(clash.text, new RegExp(String(second.body['id'])));
  const changed = await h.admin('PATCH', path, { sources: ['172.16.0.0/12'] });
  t.deepEqual(changed.body['sources'], ['172.16.0.0/12']);
  t.truthy(changed.body['operation']);

  const told = await h.admin('PATCH', `/v1/instances/${instance}`, {
    userData: Buffer.from('hello').toString('base64'),
    publicKeys: ['ssh-ed25519 AAAA me'],
    metaData: { role: 'web' },
  });
  t.is(told.status, 200, told.text);
  const router = String((await h.admin('GET', `/v1/networks/${network}`)).body['router']);
  const document = await agent.routerDocument(router);
  t.like(document.metadataGuests[0], {
    userData: 'aGVsbG8=',
    publicKeys: ['ssh-ed25519 AAAA me'],
    metaData: { role: 'web' },
  });
  t.like(
    document.firewallRules.find(({ id }) => id === first.body['id']),
    { sources: ['172.16.0.0/12'] },
  );
});

test('an instance on two networks has a port on each, on one host', async (t) => {
  const h = await harness(t);
  const { zone, agent } = await seedZone(h);
  const a = String((await h.admin('POST', '/v1/networks', { name: 'a' })).body['id']);
  const b = String((await h.admin('POST', '/v1/networks', { name: 'b', prefix: '10.2.0.0/24' })).body['id']);
  const both = await h.admin('POST', '/v1/instances', {
    name: 'both',
    networks: [{ network: a }, { network: b, address: '10.2.0.77' }],
  });
  t.is(both.status, 201, both.text);
  const ports = both.body['ports'] as { network: string; address: string }[];
  t.deepEqual(ports.map(({ address }) => address).sort(), ['10.1.1.2', '10.2.0.77']);
  for (const network of [a, b])
    t.is((await h.admin('GET', `/v1/instances?network=${network}`)).body.items?.length, 1);
  await agent.sync();

  const other = await h.admin('POST', '/v1/hosts', { zone, name: 'h2' });
  await h.store.db
    .updateTable('host')
    .set({ last_seen_at: h.store.now() })
    .where('id', '=', String(other.body['id']))
    .execute();
  const c = String((await h.admin('POST', '/v1/networks', { name: 'c' })).body['id']);
  await h.admin('POST', '/v1/instances', { name: 'c', network: c });
  const routers = (await h.admin('GET', `/v1/routers?network=${c}`)).body.items;
  t.is(routers?.[0]?.['host'], other.body['id'], 'the least loaded host');
  const apart = await h.admin('POST', '/v1/instances', {
    name: 'apart',
    networks: [{ network: a }, { network: c }],
  });
  t.deepEqual(codes(apart), ['other-host']);
  const odd = await h.admin('POST', '/v1/instances', {
    name: 'odd',
    networks: [{ network: a }, { network: a }],
  });
  t.deepEqual(codes(odd), ['duplicate']);
  const reserved = await h.admin('POST', '/v1/instances', { name: 'data-server', network: a });
  t.deepEqual(codes(reserved), ['hostname-reserved']);
});

test('with two zones one has to say which', async (t) => {
  const h = await harness(t);
  t.deepEqual(codes(await h.admin('POST', '/v1/networks', { name: 'n' })), ['missing-field']);
  await h.admin('POST', '/v1/zones', { name: 'z1' });
  t.is((await h.admin('POST', '/v1/networks', { name: 'n' })).status, 201);
  await h.admin('POST', '/v1/zones', { name: 'z2' });
  t.deepEqual(codes(await h.admin('POST', '/v1/networks', { name: 'm' })), ['missing-field']);
  t.is((await h.admin('POST', '/v1/networks', { name: 'm', zone: 'z2' })).status, 201);
});
