import test from 'ava';
import fc from 'fast-check';
import { sql } from 'kysely';
import { type Answer, harness, seedZone } from './harness.ts';
import { violations } from './invariants.ts';

test('a hundred guests asked for at once get a hundred addresses, and a small network fills up exactly', async (t) => {
  const h = await harness(t);
  await seedZone(h);
  const network = String(
    (await h.admin('POST', '/v1/networks', { name: 'n', prefix: '10.9.0.0/26' })).body['id'],
  );
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, index) =>
      h.admin('POST', '/v1/instances', { name: `g${index}`, network }),
    ),
  );
  const made = answers.filter(({ status }) => status === 201);
  t.is(made.length, 61, 'a /26 has 62 host addresses, one is the gateway');
  t.is(new Set(made.map(({ body }) => body['address'])).size, 61);
  for (const answer of answers.filter(({ status }) => status !== 201)) {
    t.is(answer.status, 409);
    t.is(answer.body['code'], 'no-address');
  }
  t.is((await h.admin('GET', '/v1/routers')).body.items?.length, 1);
  t.deepEqual(await violations(h.store.db), []);
});

test('public addresses run out without one being given twice', async (t) => {
  const h = await harness(t);
  const { zone } = await seedZone(h);
  await h.admin('POST', '/v1/public-ip-ranges', {
    zone,
    prefix: '198.51.100.0/29',
    gateway: '198.51.100.1',
  });
  const networks = await Promise.all(
    ['a', 'b', 'c'].map((name) => h.admin('POST', '/v1/networks', { name })),
  );
  const asked = await Promise.all(
    Array.from({ length: 260 }, (_, index) =>
      h.admin('POST', '/v1/public-ips', { network: networks[index % 3]?.body['id'] }),
    ),
  );
  const made = asked.filter(({ status }) => status === 201).map(({ body }) => body['address']);
  t.is(made.length, 241 + 5);
  t.is(new Set(made).size, made.length);
  t.true(
    asked.filter(({ status }) => status !== 201).every(({ body }) => body['code'] === 'no-public-address'),
  );
  t.deepEqual(await violations(h.store.db), []);
});

test('control: the invariants are seen to be broken when they are', async (t) => {
  const h = await harness(t);
  await seedZone(h);
  const network = String((await h.admin('POST', '/v1/networks', { name: 'n' })).body['id']);
  await h.admin('POST', '/v1/instances', { name: 'a', network });
  await h.admin('POST', '/v1/instances', { name: 'b', network });
  t.deepEqual(await violations(h.store.db), []);
  await sql`drop index port_by_network_id_address`.execute(h.store.db);
  await sql`drop index network_by_zone_id_vni`.execute(h.store.db);
  await h.store.db.updateTable('port').set({ address: '10.1.1.2' }).where('role', '=', 'guest').execute();
  await h.store.db.updateTable('network').set({ vni: null, idle_since: 1 }).execute();
  await h.store.db.updateTable('public_ip').set({ address: '203.0.113.1' }).execute();
  const wrong = (await violations(h.store.db)).join('\n');
  for (const what of [/guest address twice/, /without VNI/, /idle with guests/, /in no range/])
    t.regex(wrong, what);
});

type Step =
  | { readonly kind: 'network'; readonly at: number }
  | { readonly kind: 'instance'; readonly at: number }
  | { readonly kind: 'public-ip'; readonly at: number }
  | { readonly kind: 'rule'; readonly at: number; readonly port: number }
  | { readonly kind: 'delete'; readonly what: string; readonly at: number }
  | { readonly kind: 'collect' }
  | { readonly kind: 'sync' };

test('random concurrent work keeps every invariant, and what is deleted is free again', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const at = fc.nat(20);
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('network' as const), at }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('instance' as const), at }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('public-ip' as const), at }) },
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('rule' as const), at, port: fc.integer({ min: 1, max: 8 }) }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('delete' as const),
        what: fc.constantFrom('instances', 'networks', 'public-ips', 'port-forwards', 'load-balancers'),
        at,
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('collect' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('sync' as const) }) },
  );
  let serial = 0;
  const pick = async (path: string, index: number): Promise<string | undefined> => {
    const items = (await h.admin('GET', `/v1/${path}`)).body.items ?? [];
    return items.length === 0 ? undefined : String(items[index % items.length]?.['id']);
  };
  const run = async (one: Step): Promise<Answer | undefined> => {
    serial += 1;
    const name = `x${serial}`;
    switch (one.kind) {
      case 'network':
        return h.admin('POST', '/v1/networks', { name });
      case 'instance':
        return h.admin('POST', '/v1/instances', {
          name,
          network: (await pick('networks', one.at)) ?? 'net-none',
        });
      case 'public-ip':
        return h.admin('POST', '/v1/public-ips', { network: (await pick('networks', one.at)) ?? 'net-none' });
      case 'rule': {
        const publicIp = (await pick('public-ips', one.at)) ?? 'pip-none';
        const instance = (await pick('instances', one.at)) ?? 'ins-none';
        if (one.port % 3 === 0) return h.admin('POST', '/v1/static-nats', { publicIp, instance });
        if (one.port % 3 === 1)
          return h.admin('POST', '/v1/load-balancers', {
            name,
            publicIp,
            port: one.port,
            members: [{ instance, port: 80 }],
          });
        return h.admin('POST', '/v1/port-forwards', {
          publicIp,
          protocol: 'tcp',
          publicPorts: { first: one.port, last: one.port + 2 },
          instance,
          openFirewall: true,
        });
      }
      case 'delete':
        return h.admin('DELETE', `/v1/${one.what}/${(await pick(one.what, one.at)) ?? 'x'}`);
      case 'collect':
        await h.collect(0);
        return undefined;
      case 'sync':
        await agent.sync();
        return undefined;
    }
  };
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 6 }),
      async (rounds) => {
        for (const round of rounds) {
          const answers = await Promise.all(round.map(run));
          for (const answer of answers)
            if (answer !== undefined && answer.status >= 500) throw new Error(answer.text);
          const wrong = await violations(h.store.db);
          if (wrong.length > 0) throw new Error(wrong.join('\n'));
        }
        return true;
      },
    ),
    { numRuns: 15 },
  );
  for (const path of ['instances', 'networks'])
    for (;;) {
      const items = (await h.admin('GET', `/v1/${path}`)).body.items ?? [];
      if (items.length === 0) break;
      for (const { id } of items) {
        const answer = await h.admin('DELETE', `/v1/${path}/${String(id)}`);
        if (answer.status !== 200) throw new Error(answer.text);
      }
    }
  for (const table of [
    'port',
    'router',
    'public_ip',
    'firewall_rule',
    'port_forward',
    'static_nat',
    'load_balancer',
    'load_balancer_member',
    'router_change',
    'router_status',
  ] as const)
    t.deepEqual(await h.store.db.selectFrom(table).selectAll().execute(), [], `${table} leaks`);
  await agent.sync();
  t.is((await agent.document()).machines.length, 0);
});
