import test from 'ava';
import { type Calls, harness, type Method, seedNetwork, seedZone } from '../harness.ts';

interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly security?: readonly object[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: object }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> };
  readonly responses?: Readonly<Record<string, unknown>>;
}

/** One of everything that an account can own, by the path of its kind. */
const possessions = async (h: Awaited<ReturnType<typeof harness>>, call: Calls, account: string) => {
  const { agent } = await seedZone(h);
  const { network, instance, publicIp } = await seedNetwork(h, agent, call);
  const nat = await call('POST', '/v1/public-ips', { network });
  const made = async (path: string, body: object) =>
    String((await call('POST', `/v1/${path}`, body)).body['id']);
  const first = async (path: string) => String((await call('GET', `/v1/${path}`)).body.items?.[0]?.['id']);
  const owned: Record<string, string> = {
    accounts: account,
    'api-keys': await first('api-keys'),
    networks: network,
    instances: instance,
    'public-ips': publicIp,
    'firewall-rules': await made('firewall-rules', { publicIp, protocol: 'tcp', ports: 1 }),
    'egress-rules': await made('egress-rules', { network, protocol: 'tcp', ports: 1 }),
    'port-forwards': await made('port-forwards', { publicIp, protocol: 'tcp', publicPorts: 1, instance }),
    'static-nats': await made('static-nats', { publicIp: nat.body['id'], instance }),
    'load-balancers': await made('load-balancers', {
      name: 'lb',
      publicIp,
      port: 2,
      members: [{ instance, port: 1 }],
    }),
    ports: await first('ports'),
    routers: await first('routers'),
    operations: await first('operations'),
  };
  await call('POST', `/v1/networks/${network}/restart`, { cleanup: true });
  owned['workflows'] = await first('workflows');
  // Its successor is made in the background, and then waited for.
  for (let wait = 0; wait < 500 && (await call('GET', '/v1/routers')).body.items?.length !== 2; wait += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  return owned;
};

/** Bodies that pass validation, for routes whose body comes before the look at the id. */
const bodies: Readonly<Record<string, object>> = {
  'PATCH firewall-rules': { sources: ['10.0.0.0/8'] },
  'POST routers/diagnostics': { type: 'ping', address: '10.1.1.2' },
};

test("another account's ids answer 404 on every route of the API description, and nothing changes", async (t) => {
  const h = await harness(t);
  const alice = await h.account('alice');
  const owned = await possessions(h, alice.call, alice.id);
  for (const [path, id] of Object.entries(owned))
    t.is((await alice.call('GET', `/v1/${path}/${id}`)).status, 200, `${path} ${id}`);
  const { call } = await h.account('bob');
  const description = (await h.admin('GET', '/openapi.json')).body as unknown as OpenApi;
  const before = await h.dump();
  let tried = 0;
  for (const [path, operations] of Object.entries(description.paths)) {
    const match = /^\/v1\/([a-z-]+)\/\{id\}(?:\/([a-z-]+))?$/.exec(path);
    if (match === null) continue;
    const [, kind = '', action] = match;
    const id = owned[kind];
    if (id === undefined) {
      t.true(
        [
          'zones',
          'hosts',
          'public-ip-ranges',
          'network-offerings',
          'router-bundles',
          'upgrade-runs',
        ].includes(kind),
        `${kind} is owned by nobody?`,
      );
      continue;
    }
    for (const verb of Object.keys(operations)) {
      const method = verb.toUpperCase() as Method;
      const body = bodies[`${method} ${kind}${action === undefined ? '' : `/${action}`}`];
      const needsBody = operations[verb]?.requestBody !== undefined;
      const answer = await call(method, path.replace('{id}', id), needsBody ? (body ?? {}) : undefined);
      t.is(answer.status, 404, `${method} ${path}: ${answer.text}`);
      t.is(answer.body['code'], 'not-found');
      const nobody = await call(
        method,
        path.replace('{id}', `${id.split('-')[0]}-000000000000`),
        needsBody ? (body ?? {}) : undefined,
      );
      t.is(nobody.status, 404);
      t.is(
        answer.text.replaceAll(id, 'ID').replace(/"instance":"[^"]+"/, ''),
        nobody.text.replace(/[a-z]+-000000000000/g, 'ID').replace(/"instance":"[^"]+"/, ''),
        'what is another account’s looks the same as what is not there',
      );
      tried += 1;
    }
  }
  t.true(tried >= 25, String(tried));
  t.is(await h.dump(), before);
});

test("another account's ids cannot be referred to, and its things are in no list", async (t) => {
  const h = await harness(t);
  const alice = await h.account('alice');
  const owned = await possessions(h, alice.call, alice.id);
  const bob = await h.account('bob');
  const mine = String((await bob.call('POST', '/v1/networks', { name: 'mine' })).body['id']);
  const myInstance = String(
    (await bob.call('POST', '/v1/instances', { name: 'mine', network: mine })).body['id'],
  );
  const myIp = String((await bob.call('POST', '/v1/public-ips', { network: mine })).body['id']);
  const before = await h.dump();
  const { networks: network, instances: instance, 'public-ips': publicIp, ports: port } = owned;
  const tries: [path: string, body: object][] = [
    ['public-ips', { network }],
    ['instances', { name: 'x', network }],
    ['instances', { name: 'x', networks: [{ network: mine }, { network }] }],
    ['instances', { name: 'x', network: mine, account: 'alice' }],
    ['networks', { name: 'x', account: alice.id }],
    ['api-keys', { name: 'x', account: alice.id }],
    ['firewall-rules', { publicIp, protocol: 'tcp' }],
    ['egress-rules', { network, protocol: 'tcp' }],
    ['port-forwards', { publicIp, protocol: 'tcp', publicPorts: 80, instance: myInstance }],
    ['port-forwards', { publicIp: myIp, protocol: 'tcp', publicPorts: 80, instance }],
    ['port-forwards', { publicIp: myIp, protocol: 'tcp', publicPorts: 80, port }],
    ['static-nats', { publicIp, instance: myInstance }],
    ['static-nats', { publicIp: myIp, instance }],
    ['load-balancers', { name: 'x', publicIp, port: 80 }],
    ['load-balancers', { name: 'x', publicIp: myIp, port: 80, members: [{ instance, port: 80 }] }],
  ];
  for (const [path, body] of tries) {
    const answer = await bob.call('POST', `/v1/${path}`, body);
    t.is(answer.status, 404, `${path} ${JSON.stringify(body)}: ${answer.text}`);
  }
  t.is(await h.dump(), before);
  const ids = [...Object.values(owned), alice.id];
  for (const path of [...Object.keys(owned), 'events'])
    for (const query of ['', `?account=${alice.id}`, `?network=${network}`]) {
      const answer = await bob.call('GET', `/v1/${path}${query}`);
      t.true([200, 404, 422].includes(answer.status));
      if (answer.status === 200) for (const id of ids) t.false(answer.text.includes(id), `${path}${query}`);
    }
  for (const path of ['hosts', 'public-ip-ranges']) t.is((await bob.call('GET', `/v1/${path}`)).status, 403);
});

test('the API description is whole: every route is named, every reference leads somewhere', async (t) => {
  const h = await harness(t);
  const description = (await h.admin('GET', '/openapi.json')).body as unknown as OpenApi;
  t.regex(description.openapi, /^3\.1\./);
  const names = new Set<string>();
  for (const [path, operations] of Object.entries(description.paths))
    for (const [verb, operation] of Object.entries(operations)) {
      const where = `${verb} ${path}`;
      t.regex(operation.operationId ?? '', /^[a-z][A-Za-z]+$/, where);
      t.false(names.has(String(operation.operationId)), where);
      names.add(String(operation.operationId));
      t.true((operation.summary ?? '').length > 5, where);
      t.true(Object.keys(operation.responses ?? {}).length > 0, where);
      if (path.startsWith('/v1/')) t.deepEqual(operation.security, [{ apiKey: [] }], where);
      const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
      const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      t.deepEqual(
        declared.map(({ name }) => name),
        inPath,
        where,
      );
      const json = operation.requestBody?.content['application/json'];
      if (operation.requestBody !== undefined)
        t.like(
          json?.schema,
          { type: 'object', additionalProperties: false },
          `${where} takes unknown fields`,
        );
    }
  for (const name of ['createNetwork', 'listEvents', 'deletePortForward', 'startInstance', 'getOperation'])
    t.true(names.has(name), name);
  const references = JSON.stringify(description).matchAll(/"\$ref":"([^"]+)"/g);
  for (const [, reference = ''] of references) {
    const name = reference.replace('#/components/schemas/', '');
    t.truthy(description.components.schemas[name], reference);
  }
  t.is((await h.admin('GET', '/docs/')).status, 200);
  const routes = h.app.printRoutes({ commonPrefix: false });
  t.true(routes.includes('/v1/networks'));
});
