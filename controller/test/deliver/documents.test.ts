import test from 'ava';
import {
  applyRouterDocumentChange,
  type HostDocument,
  type RouterDocument,
  type RouterDocumentChange,
  verifyHostDocument,
  verifyRouterDocument,
} from 'documents';
import { touchRouter } from '../../store/touch.ts';
import { addFirewallRule, ids, openRig, removeFirewallRule } from './rig.ts';

const path = `/v1/agent/routers/${ids.router}/document`;

test('an agent fetches documents that verify, and 304 when it has them', async (t) => {
  const rig = await openRig(t);
  const agent = rig.agent('a');
  const host = await agent.call('GET', '/v1/agent/document');
  t.is(host.status, 200);
  t.deepEqual(verifyHostDocument(host.body), []);
  t.deepEqual(
    (host.body as HostDocument).machines.map(({ id }) => id),
    [ids.instance, ids.router],
  );
  t.is((host.body as HostDocument).ports.length, 3);
  t.is(
    (await agent.call('GET', '/v1/agent/document', undefined, { 'if-none-match': host.etag ?? '' })).status,
    304,
  );

  const routers = await agent.call('GET', '/v1/agent/routers');
  t.deepEqual(routers.body, { items: [{ id: ids.router, generation: 1 }] });

  const router = await agent.call('GET', path);
  t.deepEqual(verifyRouterDocument(router.body), []);
  t.is((router.body as RouterDocument).metadataGuests[0]?.password, 's3cret-word');
  t.is((await agent.call('GET', path, undefined, { 'if-none-match': router.etag ?? '' })).status, 304);
  t.is((await agent.call('GET', `${path}?since=1`)).status, 304);
  await addFirewallRule(rig.store, 'fw-000000000001', 80);
  t.is((await agent.call('GET', path, undefined, { 'if-none-match': router.etag ?? '' })).status, 200);
});

test('a change since a generation leads to the whole document', async (t) => {
  const { store, agent } = await openRig(t);
  const a = agent('a');
  const base = (await a.call('GET', path)).body as RouterDocument;
  for (let index = 0; index < 5; index += 1)
    await addFirewallRule(store, `fw-00000000000${index}`, 80 + index);
  await removeFirewallRule(store, 'fw-000000000003');
  const { body, status } = await a.call('GET', `${path}?since=${base.generation}`);
  t.is(status, 200);
  const change = body as RouterDocumentChange;
  t.is(change.baseGeneration, 1);
  t.deepEqual(Object.keys(change.collections), ['firewallRules']);
  t.deepEqual(change.collections.firewallRules?.remove, ['fw-000000000003']);
  const whole = (await a.call('GET', path)).body as RouterDocument;
  t.is(whole.firewallRules.length, 4);
  t.deepEqual(applyRouterDocumentChange(base, change), whole);
});

test('the whole document comes for a base that is too old, unknown or not told of', async (t) => {
  const { store, agent } = await openRig(t);
  const a = agent('a');
  await addFirewallRule(store, 'fw-000000000001', 80);
  await addFirewallRule(store, 'fw-000000000002', 81);
  t.true('baseGeneration' in ((await a.call('GET', `${path}?since=1`)).body as object));
  t.false('baseGeneration' in ((await a.call('GET', `${path}?since=99`)).body as object), 'from the future');
  await store.db.deleteFrom('router_change').where('generation', '=', 2).execute();
  t.false('baseGeneration' in ((await a.call('GET', `${path}?since=1`)).body as object), 'trimmed');
  t.true('baseGeneration' in ((await a.call('GET', `${path}?since=2`)).body as object));
  await store.transaction((trx) => touchRouter(trx, ids.router, [{ collection: '*', itemId: '*' }]));
  t.false('baseGeneration' in ((await a.call('GET', `${path}?since=3`)).body as object), 'everything');
  t.is((await a.call('GET', `${path}?since=x`)).status, 400);
});

test('a change bigger than half the document is the document', async (t) => {
  const { store, agent } = await openRig(t);
  const a = agent('a');
  await store.transaction((trx) =>
    touchRouter(
      trx,
      ids.router,
      Array.from({ length: 300 }, (_, index) => ({ collection: 'firewallRules', itemId: `fw-${index}` })),
    ),
  );
  t.false('baseGeneration' in ((await a.call('GET', `${path}?since=1`)).body as object));
});

test("another host's token reads nothing of this host", async (t) => {
  const rig = await openRig(t);
  const b = rig.agent('b');
  t.is((await b.call('GET', path)).status, 404);
  t.is((await b.call('GET', `${path}?since=1`)).status, 404);
  t.is((await b.call('PUT', `/v1/agent/routers/${ids.router}/status`, {})).status, 404);
  t.deepEqual((await b.call('GET', '/v1/agent/routers')).body, { items: [] });
  t.deepEqual(((await b.call('GET', '/v1/agent/document')).body as HostDocument).machines, []);
  // Control: the same calls with the host's own token.
  t.is((await rig.agent('a').call('GET', path)).status, 200);
});

test('no token, no answer', async (t) => {
  const rig = await openRig(t);
  for (const authorization of ['', 'Bearer nonsense', 'Basic abc', `Bearer ${'x'.repeat(1000)}`]) {
    const response = await fetch(rig.url + path, { headers: { authorization } });
    t.is(response.status, 401);
    t.is(((await response.json()) as { code: string }).code, 'no-host-token');
  }
});

test('a password that cannot be decrypted keeps the router from nothing else', async (t) => {
  const { store, agent } = await openRig(t);
  await store.db.updateTable('instance').set({ password: 'v1:nonsense' }).execute();
  const { status, body } = await agent('a').call('GET', path);
  t.is(status, 200);
  t.is((body as RouterDocument).metadataGuests.length, 1);
  t.false('password' in ((body as RouterDocument).metadataGuests[0] ?? {}));
});
