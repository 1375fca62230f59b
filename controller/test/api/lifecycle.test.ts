import { setTimeout } from 'node:timers/promises';
import test from 'ava';
import type { Calls } from '../harness.ts';
import { harness, seedNetwork, seedZone } from '../harness.ts';

const state = async (call: Calls, network: string) =>
  (await call('GET', `/v1/networks/${network}`)).body['state'];

test('a network is a record until its first guest, then has a router, and is collected after its last', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { call } = await h.account('alice');

  const network = await call('POST', '/v1/networks', { name: 'web' });
  t.is(network.status, 201, network.text);
  t.like(network.body, {
    state: 'allocated',
    prefix: '10.1.1.0/24',
    gateway: '10.1.1.1',
    vni: null,
    router: null,
    operation: null,
    sourceNatAddress: null,
  });
  const id = String(network.body['id']);
  t.is((await agent.document()).machines.length, 0);

  const guest = await call('POST', '/v1/instances', { name: 'Web 1', network: id });
  t.is(guest.status, 201, guest.text);
  t.like(guest.body, { hostname: 'web-1', address: '10.1.1.2', state: 'starting' });
  t.regex(String((guest.body['ports'] as { mac: string }[])[0]?.mac), /^02:/);
  const implementing = (await call('GET', `/v1/networks/${id}`)).body;
  t.like(implementing, { state: 'implementing', vni: 1, sourceNatAddress: '203.0.113.10' });
  const operation = String(guest.body['operation']);
  t.is((await call('GET', `/v1/operations/${operation}`)).body['state'], 'running');

  await agent.sync();
  t.is(await state(call, id), 'implemented');
  t.is((await call('GET', `/v1/operations/${operation}?wait=5s`)).body['state'], 'succeeded');
  t.like((await call('GET', `/v1/instances/${guest.body['id']}`)).body, { state: 'running' });
  const router = (await call('GET', '/v1/routers')).body.items?.[0];
  t.like(router, { network: id, state: 'running', generation: 1, appliedGeneration: 1 });

  const second = await call('POST', '/v1/instances', { name: 'db', network: id });
  t.is(second.body['address'], '10.1.1.3');
  await agent.sync();
  t.is((await call('GET', `/v1/operations/${second.body['operation']}?wait=5s`)).body['state'], 'succeeded');

  for (const each of [guest, second])
    t.is((await call('DELETE', `/v1/instances/${each.body['id']}`)).status, 200);
  await agent.sync();
  t.deepEqual(await h.collect(600), [], 'not before its time');
  h.advance(601_000);
  await agent.sync();
  t.deepEqual(await h.collect(600), [id]);
  t.is(await state(call, id), 'shutting-down');
  await agent.sync();
  t.deepEqual(await h.collect(600), [id]);
  t.like((await call('GET', `/v1/networks/${id}`)).body, {
    state: 'allocated',
    vni: null,
    router: null,
    sourceNatAddress: '203.0.113.10',
  });
  t.is((await agent.document()).machines.length, 0);

  t.is((await call('POST', '/v1/instances', { name: 'again', network: id })).status, 201);
  await agent.sync();
  t.like((await call('GET', `/v1/networks/${id}`)).body, {
    state: 'implemented',
    sourceNatAddress: '203.0.113.10',
  });
});

test('a persistent network has its router at once and keeps it', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const network = await h.admin('POST', '/v1/networks', { name: 'p', offering: 'isolated-persistent' });
  t.is(network.body['state'], 'implementing');
  t.truthy(network.body['operation']);
  await agent.sync();
  h.advance(10_000_000);
  t.deepEqual(await h.collect(0), []);
  t.is(await state(h.admin, String(network.body['id'])), 'implemented');
});

test('without a host that is up nothing is implemented, and the refusal says so', async (t) => {
  const h = await harness(t);
  await h.admin('POST', '/v1/zones', { name: 'z1' });
  const network = await h.admin('POST', '/v1/networks', { name: 'n' });
  const before = await h.dump();
  const none = await h.admin('POST', '/v1/instances', { name: 'a', network: network.body['id'] });
  t.is(none.status, 409);
  t.is(none.body['code'], 'no-host');
  t.is(await h.dump(), before);
  await h.admin('POST', '/v1/hosts', { zone: 'z1', name: 'h1' });
  const down = await h.admin('POST', '/v1/instances', { name: 'a', network: network.body['id'] });
  t.is(down.body['code'], 'no-host');
  await h.store.db.updateTable('host').set({ last_seen_at: h.store.now() }).execute();
  const dry = await h.admin('POST', '/v1/instances', { name: 'a', network: network.body['id'] });
  t.is(dry.body['code'], 'no-public-address');
});

test('every rule reaches the router document by a generation and an operation, and leaves it again', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { call } = await h.account('alice');
  const { network, instance, publicIp, address } = await seedNetwork(h, agent, call);
  const router = String((await call('GET', `/v1/networks/${network}`)).body['router']);
  const second = String(
    (await call('POST', '/v1/public-ips', { network, address: '203.0.113.99' })).body['id'],
  );
  const rules: [
    path: string,
    body: object,
    collection: keyof Awaited<ReturnType<typeof agent.routerDocument>>,
  ][] = [
    [
      'firewall-rules',
      { publicIp, protocol: 'tcp', ports: 22, sources: ['198.51.100.0/24'] },
      'firewallRules',
    ],
    ['firewall-rules', { publicIp, protocol: 'icmp', icmp: { type: 8 } }, 'firewallRules'],
    ['egress-rules', { network, protocol: 'udp', ports: { first: 53 } }, 'egressRules'],
    ['egress-rules', { network, protocol: 'all', destinations: ['203.0.113.0/24'] }, 'egressRules'],
    [
      'port-forwards',
      {
        publicIp,
        protocol: 'tcp',
        publicPorts: { first: 8000, last: 8009 },
        instance,
        guestPorts: { first: 80, last: 89 },
      },
      'portForwards',
    ],
    ['static-nats', { publicIp: second, instance }, 'staticNats'],
    [
      'load-balancers',
      { name: 'lb', publicIp, port: 443, members: [{ instance, port: 8443 }] },
      'loadBalancers',
    ],
  ];
  const made: string[] = [];
  for (const [path, body, collection] of rules) {
    const created = await call('POST', `/v1/${path}`, body);
    t.is(created.status, 201, created.text);
    const id = String(created.body['id']);
    made.push(`/v1/${path}/${id}`);
    const conditions = created.body['conditions'] as { type: string; status: string; reason: string }[];
    t.like(conditions[0], { type: 'Applied', status: 'False', reason: 'Delivering' });
    const document = await agent.routerDocument(router);
    t.true(
      (document[collection] as { id: string }[]).some((item) => item.id === id),
      collection,
    );
    await agent.sync();
    const operation = await call('GET', `/v1/operations/${created.body['operation']}?wait=5s`);
    t.is(operation.body['state'], 'succeeded');
    const after = (await call('GET', `/v1/${path}/${id}`)).body;
    t.like((after['conditions'] as object[])[0], { type: 'Applied', status: 'True' });
  }
  t.is((await call('GET', `/v1/public-ips/${publicIp}`)).body['address'], address);
  t.is((await call('DELETE', `/v1/public-ips/${publicIp}`)).status, 409);
  for (const path of made) {
    const removed = await call('DELETE', path);
    t.is(removed.status, 200, removed.text);
    t.truthy(removed.body['operation']);
    t.is((await call('GET', path)).status, 404);
  }
  const document = await agent.routerDocument(router);
  for (const [, , collection] of rules) t.deepEqual(document[collection], []);
  t.is((await call('DELETE', `/v1/public-ips/${publicIp}`)).status, 200);
  await agent.sync();
  t.is((await call('GET', '/v1/operations?state=running')).body.items?.length, 0);
});

test('deleting an instance takes its rules along, frees its address, and tells', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { call } = await h.account('alice');
  const { network, instance, publicIp } = await seedNetwork(h, agent, call);
  const other = String((await call('POST', '/v1/instances', { name: 'b', network })).body['id']);
  const forward = await call('POST', '/v1/port-forwards', {
    publicIp,
    protocol: 'tcp',
    publicPorts: 80,
    instance,
    openFirewall: true,
  });
  t.is(forward.status, 201, forward.text);
  t.truthy(forward.body['firewallRule']);
  const balancer = await call('POST', '/v1/load-balancers', {
    name: 'lb',
    publicIp,
    port: 81,
    members: [
      { instance, port: 80 },
      { instance: other, port: 80, draining: true },
    ],
  });
  t.is(balancer.status, 201, balancer.text);
  t.is((await call('DELETE', `/v1/networks/${network}`)).status, 409);
  t.is((await call('DELETE', `/v1/instances/${instance}`)).status, 200);
  t.is((await call('GET', '/v1/port-forwards')).body.items?.length, 0);
  t.is((await call('GET', '/v1/firewall-rules')).body.items?.length, 0);
  const left = (await call('GET', `/v1/load-balancers/${balancer.body['id']}`)).body['members'] as object[];
  t.is(left.length, 1);
  t.like(left[0], { instance: other, draining: true });
  const types = (await call('GET', '/v1/events?limit=1000')).body.items?.map(({ type }) => type) ?? [];
  for (const type of [
    'port-forward.removed',
    'firewall-rule.removed',
    'load-balancer.changed',
    'instance.removed',
  ])
    t.true(types.includes(type), type);
  const again = await call('POST', '/v1/instances', { name: 'n1-a', network });
  t.is(again.body['address'], '10.1.1.2');

  for (const id of [other, String(again.body['id'])]) await call('DELETE', `/v1/instances/${id}`);
  const gone = await call('DELETE', `/v1/networks/${network}`);
  t.is(gone.status, 200, gone.text);
  for (const path of ['public-ips', 'load-balancers', 'routers', 'ports', 'networks'])
    t.deepEqual((await call('GET', `/v1/${path}`)).body.items, [], path);
  await agent.sync();
  t.is((await call('GET', `/v1/operations/${gone.body['operation']}`)).body['state'], 'succeeded');
});

test('a load balancer keeps the ids of members that stay', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { network, instance, publicIp } = await seedNetwork(h, agent, h.admin);
  const b = String((await h.admin('POST', '/v1/instances', { name: 'b', network })).body['id']);
  const balancer = await h.admin('POST', '/v1/load-balancers', {
    name: 'lb',
    publicIp,
    port: 80,
    members: [{ instance, port: 80 }],
  });
  const members = (answer: { body: Record<string, unknown> }) =>
    answer.body['members'] as { id: string; instance: string; draining: boolean }[];
  const kept = members(balancer)[0]?.id;
  const changed = await h.admin('PATCH', `/v1/load-balancers/${balancer.body['id']}`, {
    algorithm: 'leastconn',
    members: [
      { instance: b, port: 80 },
      { instance, port: 80, draining: true },
    ],
  });
  t.is(changed.status, 200, changed.text);
  t.is(changed.body['algorithm'], 'leastconn');
  t.is(members(changed).length, 2);
  t.like(
    members(changed).find((member) => member.instance === instance),
    { id: kept, draining: true },
  );
});

test('instances stop and start, and an apply that fails is told where one looks', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { call } = await h.account('alice');
  const { network, instance, publicIp } = await seedNetwork(h, agent, call);
  const stopped = await call('POST', `/v1/instances/${instance}/stop`);
  t.is(stopped.status, 200, stopped.text);
  t.is(stopped.body['wantedState'], 'stopped');
  await agent.sync();
  t.is((await call('GET', `/v1/instances/${instance}`)).body['state'], 'stopped');
  t.is((await call('GET', `/v1/operations/${stopped.body['operation']}`)).body['state'], 'succeeded');
  await call('POST', `/v1/instances/${instance}/start`);
  await agent.sync();
  t.is((await call('GET', `/v1/instances/${instance}`)).body['state'], 'running');

  const router = String((await call('GET', `/v1/networks/${network}`)).body['router']);
  agent.broken.set(router, 'nft says no');
  const rule = await call('POST', '/v1/firewall-rules', { publicIp, protocol: 'tcp', ports: 80 });
  await agent.sync();
  const operation = (await call('GET', `/v1/operations/${rule.body['operation']}`)).body;
  t.is(operation['state'], 'failed');
  t.regex(String((operation['problem'] as { message: string }).message), /nft says no/);
  const condition = (
    (await call('GET', `/v1/firewall-rules/${rule.body['id']}`)).body['conditions'] as object[]
  )[0];
  t.like(condition, { status: 'False', reason: 'ApplyFailed' });
  t.is((await call('GET', `/v1/routers/${router}`)).body['state'], 'degraded');
  agent.broken.clear();
  await agent.sync();
  t.is((await call('GET', `/v1/routers/${router}`)).body['state'], 'running');
});

test('an answer can wait for the work that follows', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const network = String((await h.admin('POST', '/v1/networks', { name: 'n' })).body['id']);
  const pending = h.admin('POST', '/v1/instances?wait=20s', { name: 'a', network });
  for (let round = 0; round < 500; round += 1) {
    const found = await h.admin('GET', '/v1/instances');
    if ((found.body.items?.length ?? 0) > 0) break;
    await setTimeout(10);
  }
  await agent.sync();
  const answer = await pending;
  t.is(answer.status, 201);
  t.is(answer.body['state'], 'running');
  const late = await h.admin('POST', '/v1/instances?wait=50ms', { name: 'b', network });
  t.is(late.body['state'], 'starting');
});
