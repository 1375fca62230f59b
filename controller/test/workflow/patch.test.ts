import { createHash, generateKeyPairSync } from 'node:crypto';
import test from 'ava';
import { harness, seedZone } from '../harness.ts';
import { violations } from '../invariants.ts';
import { until } from '../until.ts';
import { patchScene as scene, STEPS, wanted } from './patching-host.ts';
import { sealVersion } from './seal-version.ts';

test.serial('only what a trusted key has signed is taken, and who may see it', async (t) => {
  const h = await harness(t);
  const post = (content: Buffer | string, more: object = {}) =>
    h.admin('POST', '/v1/router-bundles', {
      content: typeof content === 'string' ? content : content.toString('base64'),
      ...more,
    });
  const good = sealVersion(h.signingKey, '1.0.0');
  const made = await post(good);
  t.is(made.status, 201, made.text);
  t.like(made.body, { version: '1.0.0', default: true, size: good.length });
  t.is(made.body['checksum'], createHash('sha256').update(good).digest('hex'));
  t.false('content' in made.body);
  const codes = async (content: Buffer | string): Promise<unknown> => {
    const answer = await post(content);
    return [answer.status, answer.body.problems?.[0]?.code];
  };
  t.deepEqual(await codes(sealVersion(generateKeyPairSync('ed25519').privateKey, '1.0.1')), [
    422,
    'unknown-key',
  ]);
  t.deepEqual(await codes(Buffer.concat([good, Buffer.from('x')])), [422, 'bad-signature']);
  t.deepEqual(await codes(Buffer.from('console.log(1)')), [422, 'not-a-bundle']);
  t.deepEqual(await codes('no base64!'), [422, 'not-base64']);
  t.deepEqual(await codes(good), [409, 'bundle-exists']);
  const other = await post(sealVersion(h.signingKey, '1.1.0'));
  t.is(other.body['default'], false);
  const changed = await h.admin('PATCH', `/v1/router-bundles/${String(other.body['id'])}`, { default: true });
  t.is(changed.body['default'], true);
  const list = (await h.admin('GET', '/v1/router-bundles')).body.items ?? [];
  t.deepEqual(
    list.map((item) => [item['version'], item['default']]),
    [
      ['1.0.0', false],
      ['1.1.0', true],
    ],
  );
  const refused = await h.admin('DELETE', `/v1/router-bundles/${String(other.body['id'])}`);
  t.deepEqual([refused.status, refused.body.problems?.[0]?.code], [409, 'is-default']);
  t.is((await h.admin('DELETE', `/v1/router-bundles/${String(made.body['id'])}`)).status, 200);
  const { call } = await h.account('alice');
  t.is((await call('GET', '/v1/router-bundles')).status, 403);
  const { agent } = await seedZone(h);
  t.is((await h.as(agent.token)('GET', `/v1/agent/bundles/${'0'.repeat(64)}`)).status, 404);
  t.is((await call('GET', `/v1/agent/bundles/${String(other.body['checksum'])}`)).status, 401);
});

test.serial('a router says what it needs, and is patched step by step', async (t) => {
  const s = await scene(t);
  t.like(await s.show(), { needs: 'patch', image: 'namespace/1 node/24.0.0', memory: null });
  t.regex(String((await s.show())['needsBecause']), /runs the bundle 1\.0\.0.*2\.0\.0/);
  const listed = async (needs: string) =>
    (await s.call('GET', `/v1/routers?needs=${needs}`)).body.items?.length;
  t.deepEqual([await listed('patch'), await listed('upToDate')], [1, 0]);
  const { id } = await s.begin();
  const done = await s.ended(id);
  t.is(done.status, 'succeeded', JSON.stringify(done));
  t.deepEqual(
    done.steps.map(({ name, endedAt, undoneAt }) => [name, endedAt !== null, undoneAt]),
    STEPS.map((name) => [name, true, null]),
  );
  const operation = (await s.call('GET', `/v1/operations/${done.operation}`)).body;
  t.is(operation['state'], 'succeeded');
  t.like(await s.show(), {
    needs: 'upToDate',
    needsBecause: '',
    bundle: { id: s.bundles[1], version: '2.0.0' },
  });
  t.deepEqual([await listed('patch'), await listed('upToDate')], [0, 1]);
  t.is((await s.h.admin('GET', `/v1/router-bundles/${s.bundles[1]}`)).body['routers'], 1);
  t.deepEqual(await violations(s.h.store.db), []);
  // Back to what it was, by name.
  t.is((await s.ended((await s.begin({ bundle: s.bundles[0] })).id)).status, 'succeeded');
  t.is(await s.running(), '1.0.0');
});

test.serial('a bundle that does not prove itself is taken back, with what the proof said', async (t) => {
  const s = await scene(t);
  s.host.bad.add(s.checksums[1]);
  for (const _attempt of [1, 2]) {
    const done = await s.ended((await s.begin()).id);
    t.is(done.status, 'failed');
    t.is(done.problem?.code, 'bundle-refused');
    t.regex(String(done.problem?.message), /the kernel would change/);
    t.is(await wanted(s), s.bundles[0]);
    t.like(await s.show(), { needs: 'patch', bundle: { version: '1.0.0' } });
  }
  const { body } = await s.call('GET', `/v1/events?resource=${s.network}`);
  t.true(JSON.stringify(body).includes('router.patch-failed'));
});

test.serial('a bundle that is never ready is taken back when its time is over', async (t) => {
  const s = await scene(t);
  s.host.unready.add(s.checksums[1]);
  const { id } = await s.begin();
  await until(
    async () => (await s.call('GET', `/v1/routers/${s.router}/status`)).body['bundle'] as { version: string },
    (bundle) => bundle?.version === '2.0.0',
  );
  t.like(await s.workflow(id), { status: 'running', step: 'confirm' });
  s.h.advance(120_000);
  const done = await s.ended(id);
  t.is(done.status, 'failed');
  t.regex(String(done.problem?.message), /within 90 s: dnsmasq does not run/);
  t.is(await s.running(), '1.0.0');
});

for (const step of STEPS) {
  test.serial(`aborted in ${step}, a patch is taken back`, async (t) => {
    const s = await scene(t);
    s.host.stopsBefore = step;
    const { id } = await s.begin();
    await s.at(id, step === 'deliver' ? 'switch' : step);
    const answer = await s.call('POST', `/v1/workflows/${id}/abort`);
    t.is(answer.status, 200, answer.text);
    s.host.stopsBefore = null;
    const done = await s.ended(id);
    t.is(done.status, 'aborted');
    t.is(await wanted(s), s.bundles[0]);
    await until(s.running, (version) => version === '1.0.0');
    t.is(
      (await s.call('GET', `/v1/operations/${String(answer.body['operation'])}`)).body['state'],
      'succeeded',
    );
    t.is((await s.call('POST', `/v1/workflows/${id}/abort`)).status, 409);
  });

  test.serial(`restarted in ${step}, the engine goes on with a patch where it was`, async (t) => {
    const s = await scene(t);
    s.host.stopsBefore = step;
    const { id } = await s.begin();
    await s.at(id, step === 'deliver' ? 'switch' : step);
    await s.h.restartWorkflows();
    s.host.stopsBefore = null;
    t.is((await s.ended(id)).status, 'succeeded');
    t.is(await s.running(), '2.0.0');
  });

  test.serial(`restarted in ${step} while it is taken back, the engine goes on with that`, async (t) => {
    const s = await scene(t);
    s.host.stopsBefore = step;
    const { id } = await s.begin();
    await s.at(id, step === 'deliver' ? 'switch' : step);
    s.host.stopsBefore = 'deliver';
    await s.call('POST', `/v1/workflows/${id}/abort`);
    await s.h.restartWorkflows();
    s.host.stopsBefore = null;
    t.is((await s.ended(id)).status, 'aborted');
    await until(s.running, (version) => version === '1.0.0');
  });
}

test.serial('the same patch is joined; what cannot be is refused with a remedy', async (t) => {
  const s = await scene(t);
  s.host.stopsBefore = 'switch';
  const { id } = await s.begin();
  t.is((await s.begin()).id, id);
  const refusal = async (body: object, call = s.h.admin) => {
    const answer = await call('POST', `/v1/routers/${s.router}/patch`, body);
    return [answer.status, answer.body.problems?.[0]?.code];
  };
  const own = await s.call('POST', `/v1/routers/${s.router}/patch`, { bundle: s.bundles[1] });
  t.is(own.status, 200, 'an account may name the default');
  for (const bundle of [s.bundles[0], 'bdl-000000000000'])
    t.deepEqual(await refusal({ bundle }, s.call), [403, 'admin-only'], 'and no other');
  t.deepEqual(await refusal({ bundle: s.bundles[0] }), [409, 'being-patched']);
  t.deepEqual(await refusal({ bundle: 'bdl-000000000000' }), [404, 'not-found']);
  const used = await s.h.admin('DELETE', `/v1/router-bundles/${s.bundles[0]}`);
  t.deepEqual([used.status, used.body.problems?.[0]?.code], [409, 'in-use']);
  s.host.stopsBefore = null;
  await s.ended(id);
  const before = await s.h.dump();
  t.is((await s.call('POST', `/v1/routers/${s.router}/patch?dryRun=plan`, {})).status, 200);
  t.is(await s.h.dump(), before);
  s.host.stopsBefore = 'deliver';
  t.is((await s.call('POST', `/v1/routers/${s.router}/replace`, {})).status, 200);
  t.deepEqual(await refusal({}), [409, 'being-replaced']);
  s.h.advance(600_000);
  t.true(
    (await s.call('POST', `/v1/routers/${s.router}/patch`, {})).body.problems?.some(
      ({ code }) => code === 'host-down',
    ),
  );
});

test.serial('a network that goes takes the patch of its router with it', async (t) => {
  const s = await scene(t);
  s.host.stopsBefore = 'switch';
  const { id, operation } = await s.begin();
  for (const { id: instance } of ((await s.call('GET', '/v1/instances')).body.items ?? []) as {
    id: string;
  }[])
    await s.call('DELETE', `/v1/instances/${instance}`);
  const gone = await s.call('DELETE', `/v1/networks/${s.network}`);
  t.is(gone.status, 200, gone.text);
  t.is((await s.ended(id)).status, 'aborted');
  t.is((await s.call('GET', `/v1/operations/${operation}`)).body['state'], 'failed');
});
