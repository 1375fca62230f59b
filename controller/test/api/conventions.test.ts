import test from 'ava';
import { harness, seedNetwork, seedZone } from '../harness.ts';

test('a repeated create with the same key gets the same answer, secrets included, and does nothing', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { network } = await seedNetwork(h, agent, h.admin);
  const body = { name: 'x', network, generatePassword: true };
  const headers = { 'idempotency-key': 'one' };
  const first = await h.admin('POST', '/v1/instances', body, headers);
  t.is(first.status, 201, first.text);
  t.regex(String(first.body['password']), /^[A-Za-z0-9]{16}$/);
  const before = await h.dump();
  const again = await h.admin('POST', '/v1/instances', body, headers);
  t.is(again.status, 201);
  t.deepEqual(again.body, first.body);
  t.is(again.headers['location'], first.headers['location']);
  t.is(await h.dump(), before);
  t.false(before.includes(String(first.body['password'])));

  const other = await h.admin('POST', '/v1/instances', { ...body, name: 'y' }, headers);
  t.is(other.status, 422);
  t.is(other.body['code'], 'idempotency-key-reused');
  const elsewhere = await h.admin('POST', '/v1/networks', { name: 'x' }, headers);
  t.is(elsewhere.body['code'], 'idempotency-key-reused');
  const { call } = await h.account('bob');
  t.is((await call('POST', '/v1/networks', { name: 'x' }, headers)).status, 201, 'keys are per account');

  const storm = await Promise.all(
    Array.from({ length: 8 }, () =>
      h.admin('POST', '/v1/networks', { name: 'storm' }, { 'idempotency-key': 'two' }),
    ),
  );
  t.is(new Set(storm.map((answer) => answer.body['id'])).size, 1);
  t.true(storm.every(({ status }) => status === 201));

  const refused = await h.admin('POST', '/v1/networks', { name: '' }, { 'idempotency-key': 'three' });
  t.is(refused.status, 422);
  t.is((await h.admin('POST', '/v1/networks', { name: 'ok' }, { 'idempotency-key': 'three' })).status, 201);
  h.advance(25 * 3_600_000);
  await agent.sync();
  t.is((await h.admin('POST', '/v1/networks', { name: 'late' }, headers)).status, 201, 'kept for a day');
  t.is((await h.admin('POST', '/v1/networks', { name: 'z' }, { 'idempotency-key': 'a b' })).status, 422);
});

test('a change is refused when the resource is not the one that was read', async (t) => {
  const h = await harness(t);
  await seedZone(h);
  const network = await h.admin('POST', '/v1/networks', { name: 'n' });
  const path = `/v1/networks/${network.body['id']}`;
  t.is(network.headers['etag'], '"1"');
  const changed = await h.admin('PATCH', path, { name: 'm' }, { 'if-match': '"1"' });
  t.is(changed.status, 200, changed.text);
  t.is(changed.headers['etag'], '"2"');
  t.is((await h.admin('GET', path)).headers['etag'], '"2"');
  const before = await h.dump();
  for (const [method, body] of [
    ['PATCH', { name: 'o' }],
    ['DELETE', undefined],
  ] as const) {
    const stale = await h.admin(method, path, body, { 'if-match': '"1"' });
    t.is(stale.status, 412);
    t.is(stale.body['code'], 'version-mismatch');
  }
  t.is(await h.dump(), before);
  t.is((await h.admin('DELETE', path, undefined, { 'if-match': '*' })).status, 200);
});

test('a dry run says what would change in the documents and changes nothing', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { network, instance, publicIp } = await seedNetwork(h, agent, h.admin);
  const told: unknown[] = [];
  h.store.onChange((change) => told.push(change));
  const before = await h.dump();

  const forward = await h.admin('POST', '/v1/port-forwards?dryRun=plan', {
    publicIp,
    protocol: 'tcp',
    publicPorts: 80,
    instance,
    openFirewall: true,
  });
  t.is(forward.status, 200, forward.text);
  t.is(forward.body['plan'], true);
  const [router] = forward.body['routers'] as { collections: Record<string, { upsert: object[] }> }[];
  t.like(router?.collections['portForwards']?.upsert[0], {
    publicPorts: { first: 80, last: 80 },
    guestAddress: '10.1.1.2',
  });
  t.like(router?.collections['firewallRules']?.upsert[0], { sources: ['0.0.0.0/0'] });
  t.is(Object.keys(router?.collections ?? {}).length, 2, 'only what it touches');

  const guest = await h.admin('POST', '/v1/instances?dryRun=plan', {
    name: 'b',
    network,
    generatePassword: true,
  });
  const plan = guest.body as unknown as {
    routers: { collections: Record<string, { upsert: object[] }> }[];
    hosts: object[];
  };
  t.like(plan.routers[0]?.collections['dhcpHosts']?.upsert[0], { address: '10.1.1.3', hostname: 'b' });
  t.false(guest.text.includes('not-shown'));
  t.is(plan.hosts.length, 1);

  const removal = await h.admin('DELETE', `/v1/instances/${instance}?dryRun=plan`);
  t.is(removal.status, 200, removal.text);
  t.is((removal.body['resource'] as { id: string }).id, instance);

  const first = await h.admin('POST', '/v1/networks?dryRun=plan', {
    name: 'p',
    offering: 'isolated-persistent',
  });
  t.true((first.body['routers'] as { document: boolean }[])[0]?.document);

  const refused = await h.admin('POST', '/v1/port-forwards?dryRun=plan', {
    publicIp,
    protocol: 'tcp',
    publicPorts: 80,
    guestPorts: { first: 1, last: 5 },
    instance,
  });
  t.is(refused.status, 422, 'a dry run refuses what the write would');
  t.is(await h.dump(), before);
  t.deepEqual(told, []);
});

test('lists page by cursor, in the order things were made, without gaps or repeats', async (t) => {
  const h = await harness(t);
  await seedZone(h);
  const made: string[] = [];
  for (let index = 0; index < 23; index += 1) {
    if (index % 5 === 0) h.advance(1000);
    made.push(String((await h.admin('POST', '/v1/networks', { name: `n${index}` })).body['id']));
  }
  const seen: string[] = [];
  let cursor = '';
  for (let page = 0; page < 30; page += 1) {
    const answer = await h.admin('GET', `/v1/networks?limit=4${cursor === '' ? '' : `&cursor=${cursor}`}`);
    t.is(answer.status, 200, answer.text);
    seen.push(...(answer.body.items ?? []).map(({ id }) => String(id)));
    if (answer.body['next'] === null) break;
    cursor = String(answer.body['next']);
  }
  t.deepEqual([...seen].sort(), [...made].sort());
  t.is(seen.length, 23);
  const filtered = await h.admin('GET', '/v1/networks?name=n7&state=allocated');
  t.deepEqual(
    filtered.body.items?.map(({ name }) => name),
    ['n7'],
  );
});
