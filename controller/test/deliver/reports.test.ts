import test from 'ava';
import type { Problem, RouterDocument, RouterDocumentChange, RouterEvent } from 'documents';
import { startOperation, type WaitsFor } from '../../store/operations.ts';
import type { Store } from '../../store/store.ts';
import { touchHost } from '../../store/touch.ts';
import { addFirewallRule, hostStatus, ids, openRig, routerStatus } from './rig.ts';
import { until } from '../until.ts';

const statusPath = `/v1/agent/routers/${ids.router}/status`;

const begin = (store: Store, waitsFor: readonly WaitsFor[]): Promise<string> =>
  store.transaction(
    async (trx) =>
      (await startOperation(trx, {
        account: ids.account,
        type: 'firewall-rule.create',
        resource: 'fw-000000000001',
        waitsFor,
        message: 'recorded',
      })) ?? '',
  );

const operation = async (store: Store, id: string) => {
  const row = await store.db
    .selectFrom('operation')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  return {
    state: row.state,
    steps: (JSON.parse(row.steps) as { message: string }[]).map(({ message }) => message),
    problem: row.problem === null ? null : (JSON.parse(row.problem) as Problem),
  };
};

const events = async (store: Store): Promise<string[]> =>
  (await store.db.selectFrom('event').select('type').orderBy('sequence').execute()).map(({ type }) => type);

const failedApply = {
  type: 'Applied',
  status: 'False',
  reason: 'ApplyFailed',
  message: 'nft refused the ruleset',
  observedGeneration: 2,
  lastTransitionTime: 5,
} as const;

test('a malformed status is refused with its problems, and changes nothing', async (t) => {
  const { agent, store } = await openRig(t);
  const a = agent('a');
  const bad = await a.call('PUT', '/v1/agent/status', { ...hostStatus(), machines: [{ id: 'x' }], extra: 1 });
  t.is(bad.status, 422);
  const { problems } = bad.body as { problems: Problem[] };
  t.true(problems.some(({ pointer }) => pointer === '/extra'));
  t.true(problems.some(({ pointer }) => pointer.startsWith('/machines/0')));
  const other = await a.call('PUT', '/v1/agent/status', hostStatus({ id: ids.hosts.b }));
  t.is((other.body as { problems: Problem[] }).problems[0]?.code, 'other-id');
  t.is((await a.call('PUT', statusPath, { ...routerStatus(), observedGeneration: -1 })).status, 422);
  t.is((await a.call('PUT', statusPath, '{"id":')).status, 400);
  t.is((await a.call('POST', '/v1/agent/events', { items: [{ id: 'x' }] })).status, 422);
  t.is(await store.db.selectFrom('host_status').selectAll().executeTakeFirst(), undefined);
  t.is(await store.db.selectFrom('router_status').selectAll().executeTakeFirst(), undefined);
});

test('a stale status is ignored; a restarted program starts anew', async (t) => {
  const { agent, store } = await openRig(t);
  const put = (observedGeneration: number, startedAt: number) =>
    agent('a').call('PUT', statusPath, routerStatus({ observedGeneration, startedAt }));
  const held = async () =>
    (await store.db.selectFrom('router_status').select('observed_generation').executeTakeFirst())
      ?.observed_generation;
  t.is((await put(5, 1000)).status, 204);
  t.is((await put(4, 1000)).status, 204);
  t.is(await held(), 5);
  await put(3, 2000);
  t.is(await held(), 3, 'a new process knows less at first');
  await put(2, 500);
  t.is(await held(), 2, 'also one whose clock was set back');
  await agent('a').call('PUT', '/v1/agent/status', hostStatus({ observedGeneration: 4 }));
  await agent('a').call('PUT', '/v1/agent/status', hostStatus({ observedGeneration: 2 }));
  t.is(
    (await store.db.selectFrom('host_status').select('observed_generation').executeTakeFirst())
      ?.observed_generation,
    4,
  );
});

test('an operation succeeds when all it waits for is reported', async (t) => {
  const { agent, store } = await openRig(t);
  const woken: string[] = [];
  store.onChange((change) => woken.push(...change.operations));
  const generation = await addFirewallRule(store, 'fw-000000000001', 80);
  const id = await begin(store, [
    { router: ids.router, generation },
    { machine: ids.instance, state: 'running' },
  ]);
  await agent('a').call('PUT', statusPath, routerStatus());
  t.is((await operation(store, id)).state, 'running');
  await agent('a').call('PUT', statusPath, routerStatus({ observedGeneration: 2, appliedGeneration: 2 }));
  const halfway = await operation(store, id);
  t.is(halfway.state, 'running');
  t.is(halfway.steps.length, 2);
  woken.length = 0;
  await agent('a').call(
    'PUT',
    '/v1/agent/status',
    hostStatus({ machines: [{ id: ids.instance, state: 'running', message: '' }] }),
  );
  const done = await operation(store, id);
  t.is(done.state, 'succeeded');
  t.regex(done.steps.at(-1) ?? '', /^done after \d+ ms$/);
  t.deepEqual([...new Set(woken)], [id], 'who waits for the operation is woken');
  t.true((await events(store)).includes('instance.running'));
});

test('an operation fails with the reason when the router or the machine does', async (t) => {
  const { agent, store } = await openRig(t);
  const generation = await addFirewallRule(store, 'fw-000000000001', 80);
  const rule = await begin(store, [{ router: ids.router, generation }]);
  await agent('a').call(
    'PUT',
    statusPath,
    routerStatus({ observedGeneration: 2, appliedGeneration: 1, conditions: [failedApply] }),
  );
  const failed = await operation(store, rule);
  t.is(failed.state, 'failed');
  t.is(failed.problem?.code, 'apply-failed');
  t.regex(failed.problem?.message ?? '', /nft refused the ruleset/);
  t.true((await events(store)).includes('operation.failed'));
  t.true((await events(store)).includes('router.degraded'));

  const hostGeneration = (await store.transaction((trx) => touchHost(trx, ids.hosts.a))) ?? 0;
  const start = await begin(store, [
    { host: ids.hosts.a, generation: hostGeneration },
    { machine: ids.instance, state: 'running' },
  ]);
  const machines = [{ id: ids.instance, state: 'failed' as const, message: 'no memory' }];
  // The failure before the change is not that of the change.
  await agent('a').call('PUT', '/v1/agent/status', hostStatus({ machines }));
  t.is((await operation(store, start)).state, 'running');
  await agent('a').call(
    'PUT',
    '/v1/agent/status',
    hostStatus({ observedGeneration: hostGeneration, machines }),
  );
  t.regex((await operation(store, start)).problem?.message ?? '', /no memory/);
});

test('a router that waits for a leg, or refuses its document', async (t) => {
  const { agent, store } = await openRig(t);
  const generation = await addFirewallRule(store, 'fw-000000000001', 80);
  const id = await begin(store, [{ router: ids.router, generation }]);
  const waits = { ...failedApply, reason: 'LegMissing', message: 'public0 is not there yet' };
  await agent('a').call(
    'PUT',
    statusPath,
    routerStatus({ observedGeneration: generation, appliedGeneration: 0, conditions: [waits] }),
  );
  t.is((await operation(store, id)).state, 'running', 'waiting is not failing');
  t.false((await events(store)).includes('router.degraded'), 'nor is starting being degraded');
  const refused: RouterEvent = {
    id: 'refused',
    time: 7,
    type: 'host.router-document-refused',
    level: 'error',
    subject: ids.router,
    message: 'The router refused generation 2: /dns bad',
    generation: 1,
  };
  await agent('b').call('POST', '/v1/agent/events', { items: [refused] });
  t.is((await operation(store, id)).state, 'running', "another host's word does not count");
  await agent('a').call('POST', '/v1/agent/events', { items: [refused] });
  t.is((await operation(store, id)).problem?.code, 'document-refused');
});

test('an operation on something that was removed fails instead of waiting for ever', async (t) => {
  const { store } = await openRig(t);
  const id = await begin(store, [{ router: 'rtr-doesnotexist', generation: 1 }]);
  const ended = await until(
    () => operation(store, id),
    ({ state }) => state !== 'running',
  );
  t.is(ended.problem?.code, 'resource-gone');
});

test('a network is implemented when its router has its first document in force', async (t) => {
  const { agent, store } = await openRig(t);
  const state = async () =>
    (await store.db.selectFrom('network').select('state').executeTakeFirstOrThrow()).state;
  await agent('a').call('PUT', statusPath, routerStatus({ appliedGeneration: 0 }));
  t.is(await state(), 'implementing');
  await agent('a').call('PUT', statusPath, routerStatus());
  t.is(await state(), 'implemented');
  t.deepEqual(
    (await events(store)).filter((type) => type !== 'host.up'),
    ['router.running', 'network.implemented'],
  );
});

test('a state that did not change is not told again by a program that starts again', async (t) => {
  const { agent, store } = await openRig(t);
  const report = (startedAt: number, state: 'starting' | 'running' | 'stopped') =>
    agent('a').call(
      'PUT',
      '/v1/agent/status',
      hostStatus({ startedAt, machines: [{ id: ids.instance, state, message: '' }] }),
    );
  const told = async () => (await events(store)).filter((type) => type.startsWith('instance.'));
  await report(1, 'running');
  await report(2, 'starting');
  await report(2, 'running');
  t.deepEqual(await told(), ['instance.running']);
  await report(2, 'stopped');
  await report(2, 'running');
  t.deepEqual(await told(), ['instance.running', 'instance.stopped', 'instance.running']);
});

test('events are told once, and only of what is on the host', async (t) => {
  const { agent, store } = await openRig(t);
  const event = (id: string, subject: string): RouterEvent => ({
    id,
    time: 7,
    type: 'router.drift-healed',
    level: 'warning',
    subject,
    message: 'an address was put back',
    generation: 1,
  });
  const items = [event('one', ids.router), event('two', ids.instance), event('three', 'rtr-doesnotexist')];
  t.is((await agent('b').call('POST', '/v1/agent/events', { items })).status, 204);
  t.false((await events(store)).includes('router.drift-healed'));
  await agent('a').call('POST', '/v1/agent/events', { items });
  await agent('a').call('POST', '/v1/agent/events', { items });
  const told = await store.db
    .selectFrom('event')
    .select(['id', 'account_id', 'resource', 'created_at'])
    .where('type', '=', 'router.drift-healed')
    .execute();
  t.deepEqual(
    told.map((row) => ({ ...row })),
    [
      { id: 'one', account_id: ids.account, resource: ids.router, created_at: 7 },
      { id: 'two', account_id: ids.account, resource: ids.instance, created_at: 7 },
    ],
  );
});

test('a password that the guest has saved is erased everywhere', async (t) => {
  const { agent, store } = await openRig(t);
  const a = agent('a');
  const path = `/v1/agent/routers/${ids.router}/document`;
  const before = (await a.call('GET', path)).body as RouterDocument;
  t.is(before.metadataGuests[0]?.password, 's3cret-word');
  const saved = (id: string): RouterEvent => ({
    id,
    time: 7,
    type: 'guest.password-saved',
    level: 'info',
    subject: ids.instancePort,
    message: '',
    generation: 1,
  });
  await agent('b').call('POST', '/v1/agent/events', { items: [saved('not-his-guest')] });
  t.true(
    (await store.db.selectFrom('instance').select('password').executeTakeFirstOrThrow()).password !== null,
  );
  await a.call('POST', '/v1/agent/events', { items: [saved('one'), saved('two')] });
  t.is((await store.db.selectFrom('instance').select('password').executeTakeFirstOrThrow()).password, null);
  const change = (await a.call('GET', `${path}?since=1`)).body as RouterDocumentChange;
  t.is(change.generation, 2, 'touched once, however often it is told');
  t.deepEqual(Object.keys(change.collections), ['metadataGuests']);
  t.false('password' in (change.collections.metadataGuests?.upsert[0] ?? {}));
});

test('a host that falls silent is told of once, and again when it is back', async (t) => {
  let ahead = 0;
  const rig = await openRig(t, () => Date.now() + ahead);
  const lives = async (store: Store) => (await events(store)).filter((type) => type.startsWith('host.'));
  const come = (store: Store, expected: string[]) =>
    until(
      () => lives(store),
      (types) => JSON.stringify(types) === JSON.stringify(expected),
    );
  await rig.agent('a').call('PUT', '/v1/agent/status', hostStatus());
  await come(rig.store, ['host.up']);
  ahead = 80_000;
  await come(rig.store, ['host.up', 'host.down']);
  // A restart looks at what was told before, and gives hosts the time to come back that it was away itself.
  const next = await rig.reopen();
  await next.agent('a').call('PUT', '/v1/agent/status', hostStatus());
  await come(next.store, ['host.up', 'host.down', 'host.up']);
  await new Promise((resolve) => setTimeout(resolve, 600));
  t.deepEqual(await lives(next.store), ['host.up', 'host.down', 'host.up']);
});

test('what was under way is resumed after a kill between report and end', async (t) => {
  const rig = await openRig(t);
  const generation = await addFirewallRule(rig.store, 'fw-000000000001', 80);
  const id = await begin(rig.store, [{ router: ids.router, generation }]);
  const agent = rig.agent('a');
  const base = (await agent.call('GET', `/v1/agent/routers/${ids.router}/document?since=1`)).body;
  // The report lies in the store, the operation was not judged yet: as a kill between the two would leave it.
  const status = routerStatus({ observedGeneration: generation, appliedGeneration: generation });
  await rig.store.db
    .insertInto('router_status')
    .values({
      router_id: ids.router,
      observed_generation: generation,
      applied_generation: generation,
      reported_at: 1,
      status: JSON.stringify(status),
    })
    .execute();
  t.is((await operation(rig.store, id)).state, 'running');
  const next = await rig.reopen();
  const done = await until(
    () => operation(next.store, id),
    ({ state }) => state !== 'running',
  );
  t.is(done.state, 'succeeded');
  // What was not fetched before the kill is there after it, the same.
  t.deepEqual(
    (await next.agent('a').call('GET', `/v1/agent/routers/${ids.router}/document?since=1`)).body,
    base,
  );
  const channel = await next.agent('a').connect();
  await channel.frame(({ type }) => type === 'host-document');
  t.false(
    channel.frames.some(({ type }) => type === 'router-document'),
    'what is in force is not rung for again',
  );
});
