import test from 'ava';
import fc from 'fast-check';
import { violations } from '../invariants.ts';
import { until } from '../until.ts';
import {
  chainOf,
  ended,
  healthy,
  holdAt,
  letGo,
  replaceScene as scene,
  steps,
  upload,
} from './replace-scene.ts';

test.serial(
  'a router is replaced step by step, and the operation ends when traffic is on the new one',
  async (t) => {
    const s = await scene(t);
    const old = await s.serving();
    const before = s.fake.routerDocument(old);
    const id = await s.replace(old);
    const done = await ended(s, id);
    t.is(done.status, 'succeeded');
    t.deepEqual(
      done.steps.map(({ name, endedAt, undoneAt }) => [name, endedAt !== null, undoneAt]),
      ['build', 'precopy', 'drain', 'flip', 'retire'].map((name) => [name, true, null]),
    );
    const successor = String(done.successor);
    await healthy(t, s, successor);
    t.deepEqual(s.fake.copies, [`${old}>${successor}`, `${old}>${successor}`]);
    const after = s.fake.routerDocument(successor);
    t.deepEqual(
      after?.legs.map(({ mac, addresses }) => [mac, addresses]).toSorted(),
      before?.legs.map(({ mac, addresses }) => [mac, addresses]).toSorted(),
    );
    t.notDeepEqual(after?.sourceNats[0]?.ports, before?.sourceNats[0]?.ports);
    const operation = await s.call('GET', `/v1/operations/${done.operation}`);
    t.is(operation.body['state'], 'succeeded');
    const messages = (operation.body['steps'] as { message: string }[]).map(({ message }) => message);
    for (const word of ['build: ', 'precopy: ', 'drain: ', 'flip: ', 'retire: ', 'done after '])
      t.true(
        messages.some((message) => message.startsWith(word)),
        `${word} in ${messages.join('\n')}`,
      );
    t.is((await s.call('GET', `/v1/routers/${old}`)).status, 404);
    t.regex(
      (await s.h.admin('GET', '/metrics')).text,
      /selvage_workflows\{type="router\.replace",status="succeeded",step="retire"\} 1/,
    );
    const [event] = (await s.call('GET', '/v1/events?type=router.replace-succeeded')).body.items ?? [];
    t.is(event?.['resource'], s.network);
  },
);

test.serial('rules that come amid a replacement are in force in every router, and said to be', async (t) => {
  const s = await scene(t);
  const old = await s.serving();
  s.fake.sessions.set(old, { local: 1, translated: 0, holders: [] });
  const id = await s.replace(old, { drainDeadline: null });
  await until(
    () => s.workflow(id),
    ({ sessions }) => sessions?.local === 1,
  );
  const rule = await s.call('POST', '/v1/firewall-rules?wait=10s', {
    publicIp: s.publicIp,
    protocol: 'tcp',
    ports: 80,
  });
  t.is(rule.status, 201, rule.text);
  const isApplied = async () =>
    (
      (await s.call('GET', `/v1/firewall-rules/${rule.body['id']}`)).body['conditions'] as {
        type: string;
        status: string;
      }[]
    ).find(({ type }) => type === 'Applied')?.status;
  t.is(await isApplied(), 'True');
  await s.fake.sync();
  for (const router of s.fake.routers()) t.is(s.fake.routerDocument(router)?.firewallRules.length, 1, router);
  const [draining] = (await s.call('GET', `/v1/routers?role=draining`)).body.items ?? [];
  t.is(draining?.['id'], old);
  t.regex(JSON.stringify(draining?.['conditions']), /is kept for as long as they last by 1 session/);
  s.fake.sessions.delete(old);
  await ended(s, id);
  t.is(await isApplied(), 'True');
  await healthy(t, s, await s.serving());
});

test.serial(
  'changes asked for since any generation lead to the document, also over a replacement',
  async (t) => {
    const s = await scene(t);
    const old = await s.serving();
    s.fake.sessions.set(old, { local: 1, translated: 0, holders: [] });
    const id = await s.replace(old);
    await until(
      () => s.workflow(id),
      ({ sessions }) => sessions !== null,
    );
    for (let port = 1; port < 4; port += 1)
      await s.call('POST', '/v1/firewall-rules', { publicIp: s.publicIp, protocol: 'tcp', ports: port });
    const rows = await s.h.store.db.selectFrom('router').select(['id', 'generation']).execute();
    t.is(rows.length, 2);
    t.is(new Set(rows.map(({ generation }) => generation)).size, 1, 'rules have one number for both');
    s.fake.sessions.delete(old);
    await ended(s, id);
    await healthy(t, s, await s.serving());
  },
);

test.serial('two requests at once are one replacement', async (t) => {
  const s = await scene(t);
  const old = await s.serving();
  const [one, two, three] = await Promise.all([
    s.replace(old),
    s.replace(old),
    s.call('POST', `/v1/networks/${s.network}/restart`, { cleanup: true }),
  ]);
  t.is(one, two);
  const first = await s.workflow(String(one));
  t.is(three?.body['operation'], first.operation);
  await ended(s, String(one));
  t.is(s.fake.routers().length, 1);
  t.is((await s.call('GET', '/v1/workflows')).body.items?.length, 1);
});

test.serial('a successor that is not well never gets traffic, and the reasons are told', async (t) => {
  for (const [fault, reason] of [
    ['unhealthy', /dnsmasq: dnsmasq is not well/],
    ['broken', /nft refused the ruleset/],
    ['silent', /has not reported yet/],
  ] as const) {
    const s = await scene(t);
    const old = await s.serving();
    const before = s.fake.routerDocument(old)?.generation;
    s.fake.successors = fault;
    const id = await s.replace(old);
    await until(
      () => s.fake.routers(),
      (routers) => routers.length === 2,
    );
    await s.fake.sync();
    await new Promise((resolve) => setTimeout(resolve, 700));
    s.h.advance(61_000);
    const done = await ended(s, id);
    t.is(done.status, 'failed');
    t.is(done.problem?.code, 'successor-not-ready');
    t.regex(done.problem?.message ?? '', reason);
    const operation = (await s.call('GET', `/v1/operations/${done.operation}`)).body;
    t.is(operation['state'], 'failed');
    t.regex(JSON.stringify(operation['problem']), reason);
    await healthy(t, s, old);
    t.is(s.fake.routerDocument(old)?.generation, before, 'the old one was not disturbed');
  }
});

test.serial('a copy that is refused again and again is given up before the hand-over', async (t) => {
  const s = await scene(t);
  const old = await s.serving();
  s.fake.copiesRefused = true;
  const id = await s.replace(old);
  await until(
    () => s.workflow(id),
    ({ steps }) => (steps.at(-1)?.message ?? '').startsWith('tried '),
  );
  s.h.advance(31_000);
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.is((await s.workflow(id)).status, 'running', 'a daemon that starts again is waited for');
  s.h.advance(31_000);
  const done = await ended(s, id);
  t.is(done.problem?.code, 'copy-refused');
  await healthy(t, s, old);
});

test.serial(
  'a late copy that is refused keeps the old router for what it translates, and is made again',
  async (t) => {
    const s = await scene(t);
    const old = await s.serving();
    const id = await s.replace(old, { drainDeadline: null });
    await until(
      () => s.fake.copies,
      (copies) => copies.length === 1,
    );
    s.fake.copiesRefused = true;
    await until(
      () => s.workflow(id),
      ({ steps }) => (steps.at(-1)?.message ?? '').startsWith('tried '),
    );
    s.h.advance(61_000);
    const held = await until(
      () => s.workflow(id),
      ({ sessions }) => sessions !== null,
    );
    t.regex(held.steps.at(-1)?.message ?? '', /up to 7 connections that were not carried over/);
    t.is(s.fake.routers().length, 2);
    s.fake.copiesRefused = false;
    s.h.advance(11_000);
    const done = await ended(s, id);
    t.is(done.status, 'succeeded');
    await healthy(t, s, String(done.successor));
  },
);

test.serial(
  'while it drains its neighbour is told again and again, and once more before it goes',
  async (t) => {
    const s = await scene(t);
    const old = await s.serving();
    const id = await holdAt(s, 'retire');
    const copies = (count: number) =>
      until(
        () => s.fake.copies.length,
        (seen) => seen === count,
      );
    await copies(2);
    s.h.advance(30_000);
    await until(
      () => s.workflow(id),
      ({ sessions }) => sessions !== null,
    );
    s.h.advance(31_000);
    await copies(3);
    s.h.advance(6000);
    t.is(s.fake.copies.length, 3);
    s.fake.sessions.clear();
    s.h.advance(1000);
    const done = await ended(s, id);
    t.deepEqual(
      s.fake.copies,
      Array.from({ length: 4 }, () => `${old}>${String(done.successor)}`),
    );
    await healthy(t, s, String(done.successor));
  },
);

test.serial('an old router that cannot hand over goes on serving', async (t) => {
  const s = await scene(t);
  const old = await s.serving();
  s.fake.broken.add(old);
  const id = await s.replace(old);
  const done = await ended(s, id);
  t.is(done.problem?.code, 'hand-over-failed');
  s.fake.broken.delete(old);
  await s.fake.sync();
  await healthy(t, s, old);
});

test.serial('one whose services are ill hands over: packets take their way all the same', async (t) => {
  const s = await scene(t);
  const old = await s.serving();
  s.fake.ailing.add(old);
  const done = await ended(s, await s.replace(old));
  t.is(done.status, 'succeeded', JSON.stringify(done));
  s.fake.ailing.clear();
  await healthy(t, s, String(done.successor));
  // Control: one that does not tell its way apart from its services looks as if it had refused.
  const next = String(done.successor);
  s.fake.ailing.add(next);
  s.fake.tellsForwarding = false;
  const refused = await ended(s, await s.replace(next));
  t.is(refused.problem?.code, 'hand-over-failed');
  t.true(
    s.fake.copies.includes(`${String(refused.successor)}>${next}`),
    'what it may have had was copied back',
  );
});

for (const step of steps) {
  test.serial(
    `aborted in ${step}, a replacement is taken back without a packet losing its way`,
    async (t) => {
      const s = await scene(t);
      const old = await s.serving();
      const id = await holdAt(s, step);
      const answer = await s.call('POST', `/v1/workflows/${id}/abort`);
      t.is(answer.status, 200, answer.text);
      t.is((await s.call('POST', `/v1/workflows/${id}/abort`)).body['operation'], answer.body['operation']);
      await letGo(s);
      const done = await ended(s, id);
      t.is(done.status, 'aborted', JSON.stringify(done));
      await healthy(t, s, old);
      t.is(
        (await s.call('GET', `/v1/operations/${answer.body['operation']}?wait=5s`)).body['state'],
        'succeeded',
      );
      t.is((await s.call('POST', `/v1/workflows/${id}/abort`)).status, 409);
      // And it can be replaced as if nothing had been.
      const again = await ended(s, await s.replace(old));
      t.is(again.status, 'succeeded');
      await healthy(t, s, String(again.successor));
    },
  );

  test.serial(`restarted in ${step}, the engine goes on where it was`, async (t) => {
    const s = await scene(t);
    const id = await holdAt(s, step);
    await s.h.restartWorkflows();
    if (step === 'build') s.fake.close();
    await letGo(s);
    if (step === 'build') {
      // A successor that nobody hears of is not waited for, and never serves.
      s.h.advance(61_000);
      const failing = await until(
        () => s.workflow(id),
        ({ status }) => status !== 'running',
      );
      t.is(failing.status, 'aborting');
      t.is(failing.steps.at(-1)?.name, 'build');
      t.regex(failing.steps.at(-1)?.message ?? '', /was not ready within 60 s/);
      t.is(await s.serving(), failing.router);
      return;
    }
    const done = await ended(s, id);
    t.is(done.status, 'succeeded', JSON.stringify(done));
    await healthy(t, s, String(done.successor));
  });
}

test.serial('a deadline ends what sessions would keep', async (t) => {
  const s = await scene(t);
  const old = await s.serving();
  s.fake.sessions.set(old, {
    local: 3,
    translated: 0,
    holders: [{ address: '192.0.2.1', port: 80, protocol: 'tcp', count: 3 }],
  });
  const id = await s.replace(old, { drainDeadline: 20 });
  const draining = await until(
    () => s.workflow(id),
    ({ sessions }) => sessions !== null,
  );
  const operation = (await s.call('GET', `/v1/operations/${draining.operation}`)).body;
  t.is(operation['state'], 'succeeded');
  t.regex(
    JSON.stringify(operation['steps']),
    /is kept by 3 sessions \(3 of 192\.0\.2\.1 tcp 80\), until \S+ at the latest/,
  );
  t.deepEqual(s.fake.routers().length, 2);
  t.regex(draining.steps.at(-1)?.message ?? '', /3 sessions \(3 of 192\.0\.2\.1 tcp 80\) left/);
  s.fake.mayCut = true;
  s.h.advance(19_000);
  const done = await ended(s, id);
  t.is(done.status, 'succeeded');
  t.regex(done.steps.at(-1)?.message ?? '', /3 sessions .* were cut/);
  await healthy(t, s, String(done.successor));
});

test.serial(
  'many in a row while the first one’s session never ends: those in the middle leave the chain',
  async (t) => {
    const s = await scene(t);
    const first = await s.serving();
    s.fake.sessions.set(first, { local: 1, translated: 0, holders: [] });
    const workflows: string[] = [];
    let serving = first;
    for (let round = 0; round < 6; round += 1) {
      const id = await s.replace(serving, { drainDeadline: null });
      workflows.push(id);
      const { successor } = await until(
        () => s.workflow(id),
        ({ steps }) => steps.some(({ name }) => name === 'retire'),
      );
      s.h.advance(1500);
      serving = String(successor);
      await until(
        () => s.serving(),
        (id) => id === serving,
      );
      // A restart in the middle of it, at any stage.
      if (round % 2 === 1) await s.h.restartWorkflows();
      await until(
        async () => {
          s.h.advance(500);
          return s.workflow(workflows[round === 0 ? 0 : round] as string);
        },
        ({ status, sessions }) => (round === 0 ? sessions?.local === 1 : status === 'succeeded'),
      );
      await until(
        () => chainOf(s),
        (chain) => chain.join() === [first, serving].join(),
      );
      t.is(s.fake.routers().length, 2);
      t.deepEqual(s.fake.complaints, []);
    }
    t.is(s.fake.document()?.links?.length, 2);
    s.fake.sessions.clear();
    s.h.advance(1500);
    t.is((await ended(s, String(workflows[0]))).status, 'succeeded');
    await healthy(t, s, serving);
  },
);

test.serial('three in a row while sessions last: they leave in the order in which they end', async (t) => {
  const s = await scene(t);
  const routers = [await s.serving()];
  const workflows: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    const serving = routers.at(-1) as string;
    s.fake.sessions.set(serving, { local: 1, translated: 0, holders: [] });
    const id = await s.replace(serving, { drainDeadline: null });
    const draining = await until(
      () => s.workflow(id),
      ({ sessions }) => sessions?.local === 1,
    );
    routers.push(String(draining.successor));
    workflows.push(id);
  }
  t.deepEqual(chainOf(s), routers);
  const [first, second, third, last] = routers as [string, string, string, string];
  // In the middle of a chain it takes a third router, which cannot be had without the bundle: refused, with a way out.
  const refused = await s.call('POST', `/v1/workflows/${workflows[2]}/abort`);
  t.is(refused.status, 409);
  t.regex(refused.body.problems?.[0]?.hint ?? '', new RegExp(`Replace ${last} instead`));
  const early = await s.call('POST', `/v1/routers/${second}/replace`, {});
  t.is(early.status, 409);
  t.is(early.body.problems?.[0]?.code, 'not-active');
  // Both at once: one after the other.
  s.fake.sessions.delete(second);
  s.fake.sessions.delete(third);
  s.h.advance(1500);
  for (const id of workflows.slice(1)) {
    s.h.advance(1500);
    t.is((await ended(s, id)).status, 'succeeded');
  }
  t.deepEqual(chainOf(s), [first, last]);
  t.is(s.fake.routers().length, 2);
  s.fake.sessions.delete(first);
  s.h.advance(1500);
  t.is((await ended(s, String(workflows[0]))).status, 'succeeded');
  await healthy(t, s, last);
});

test.serial('what cannot change places any more is taken back by a third router', async (t) => {
  const s = await scene(t, '1.0');
  const bundleOf = async (router: string): Promise<unknown> =>
    ((await s.call('GET', `/v1/routers/${router}`)).body['wantedBundle'] as { version: string } | null)
      ?.version;
  const routers = [await s.serving()];
  const workflows: string[] = [];
  for (const version of ['1.1', '2.0']) {
    await upload(s.h, version);
    const serving = routers.at(-1) as string;
    s.fake.sessions.set(serving, { local: 1, translated: 0, holders: [] });
    const id = await s.replace(serving, { drainDeadline: null });
    const draining = await until(
      () => s.workflow(id),
      ({ sessions }) => sessions?.local === 1,
    );
    routers.push(String(draining.successor));
    workflows.push(id);
  }
  const [, second, third] = routers as [string, string, string];
  t.is(await bundleOf(third), '2.0');
  const answer = await s.call('POST', `/v1/workflows/${workflows[1]}/abort`);
  t.is(answer.status, 200, answer.text);
  const back = (await s.call('GET', `/v1/workflows?operation=${answer.body['operation']}`)).body.items?.[0];
  t.is(back?.['router'], third);
  const again = await s.call('POST', `/v1/workflows/${workflows[1]}/abort`);
  t.is(again.status, 409);
  t.regex(again.body.problems?.[0]?.hint ?? '', new RegExp(`Abort ${String(back?.['id'])} first`));
  t.is((await ended(s, String(back?.['id']))).status, 'succeeded');
  const last = await s.serving();
  t.false(routers.includes(last));
  t.is(await bundleOf(last), '1.1');
  t.is(await bundleOf(last), await bundleOf(second));
  t.deepEqual(chainOf(s), [routers[0], second, last]);
  s.fake.sessions.clear();
  for (const id of workflows) {
    s.h.advance(1500);
    t.is((await ended(s, id)).status, 'succeeded');
  }
  await healthy(t, s, last);
});

for (const step of ['drain', 'flip'] as const)
  test.serial(
    `aborted in ${step} with another behind, it is taken back by a third router in the end`,
    async (t) => {
      const s = await scene(t, '1.0');
      const bundleOf = async (router: string): Promise<unknown> =>
        ((await s.call('GET', `/v1/routers/${router}`)).body['wantedBundle'] as { version: string } | null)
          ?.version;
      const first = await s.serving();
      s.fake.sessions.set(first, { local: 1, translated: 0, holders: [] });
      const behind = await s.replace(first, { drainDeadline: null });
      const { successor: second } = await until(
        () => s.workflow(behind),
        ({ sessions }) => sessions?.local === 1,
      );
      await upload(s.h, '2.0');
      const id = await holdAt(s, step);
      const given = (await s.workflow(id)).operation;
      const answer = await s.call('POST', `/v1/workflows/${id}/abort`);
      t.is(answer.status, 200, answer.text);
      const operation = String(answer.body['operation']);
      t.not(operation, given);
      t.is((await s.call('GET', `/v1/operations/${given}`)).body['state'], 'failed');
      t.is((await s.call('POST', `/v1/workflows/${id}/abort`)).body['operation'], operation, 'asked again');
      await s.h.restartWorkflows();
      await letGo(s);
      const state = await until(
        async () => {
          s.h.advance(500);
          return (await s.call('GET', `/v1/operations/${operation}`)).body['state'];
        },
        (now) => now !== 'running',
      );
      t.is(state, 'succeeded');
      const last = await s.serving();
      t.false([first, String(second)].includes(last));
      t.is(await bundleOf(last), '1.0');
      s.h.advance(1500);
      for (const one of [id, behind]) t.is((await ended(s, one)).status, 'succeeded');
      await healthy(t, s, last);
    },
  );

test.serial('a replacement may be told which bundle, by an administrator', async (t) => {
  const s = await scene(t, '1.0');
  const [first] = (await s.h.admin('GET', '/v1/router-bundles')).body.items ?? [];
  const old = await s.serving();
  await upload(s.h, '2.0');
  const path = `/v1/routers/${old}/replace`;
  t.is((await s.call('POST', path, { bundle: first?.['id'] })).status, 403);
  t.is((await s.h.admin('POST', path, { bundle: 'bdl-000000000000' })).status, 404);
  const answer = await s.h.admin('POST', path, { bundle: first?.['id'] });
  t.is(answer.status, 200, answer.text);
  const [workflow] =
    (await s.call('GET', `/v1/workflows?operation=${answer.body['operation']}`)).body.items ?? [];
  const done = await ended(s, String(workflow?.['id']));
  t.is(done.status, 'succeeded');
  t.like((await s.call('GET', `/v1/routers/${String(done.successor)}`)).body, {
    wantedBundle: { version: '1.0' },
  });
});

test.serial(
  'a neighbour that dies when it is to forget is not waited for: nobody sends there any more',
  async (t) => {
    const s = await scene(t);
    const first = await s.serving();
    s.fake.sessions.set(first, { local: 1, translated: 0, holders: [] });
    const one = await s.replace(first, { drainDeadline: null });
    const { successor: second } = await until(
      () => s.workflow(one),
      ({ sessions }) => sessions?.local === 1,
    );
    const toSecond = new Set((s.fake.routerDocument(first)?.handover?.newer ?? []).map(({ id }) => id));
    const stop = s.h.store.onChange(({ routers }) => {
      // Once it hands past the one that leaves, and only hears it, the next it is told is to forget it.
      const newer = s.fake.routerDocument(first)?.handover?.newer ?? [];
      const onlyHears = newer.some(({ id, receiveOnly }) => toSecond.has(id) && receiveOnly === true);
      if (!onlyHears || !routers.some(({ id }) => id === first)) return;
      s.fake.hung.set(first, false);
      stop();
    });
    const two = await s.replace(String(second), { drainDeadline: null });
    const done = await until(
      async () => {
        s.h.advance(1000);
        return s.workflow(two);
      },
      ({ status }) => status !== 'running',
    );
    t.is(done.status, 'succeeded', JSON.stringify(done));
    t.true(s.fake.hung.has(first), 'it died in time');
    t.true(
      s.fake.routerDocument(first)?.handover?.newer.some(({ id }) => toSecond.has(id)),
      'it hears the other still',
    );
    t.false(s.fake.routers().includes(String(second)));
    t.deepEqual(chainOf(s), [first, String(done.successor)]);
    t.deepEqual(s.fake.complaints, []);
    s.fake.hung.clear();
    s.fake.sessions.clear();
    await s.fake.sync();
    await until(
      async () => {
        s.h.advance(1500);
        return s.workflow(one);
      },
      ({ status }) => status === 'succeeded',
    );
    await healthy(t, s, String(done.successor));
  },
);

test.serial('a neighbour that cannot be told keeps a router in the chain, until it can', async (t) => {
  const s = await scene(t);
  const first = await s.serving();
  s.fake.sessions.set(first, { local: 1, translated: 0, holders: [] });
  const one = await s.replace(first, { drainDeadline: null });
  const { successor: second } = await until(
    () => s.workflow(one),
    ({ sessions }) => sessions?.local === 1,
  );
  s.fake.sessions.set(String(second), { local: 1, translated: 0, holders: [] });
  const two = await s.replace(String(second), { drainDeadline: null });
  const { successor: third } = await until(
    () => s.workflow(two),
    ({ sessions }) => sessions?.local === 1,
  );
  s.fake.hung.set(first, false);
  s.fake.sessions.delete(String(second));
  await until(
    async () => {
      s.h.advance(1000);
      const { operation } = await s.workflow(two);
      return s.h.store.db
        .selectFrom('router')
        .select('heard_newer_id')
        .where('id', '=', first)
        .execute()
        .then(([row]) => [row?.heard_newer_id ?? null, operation]);
    },
    ([heard]) => heard !== null,
  );
  // It gives up: the chain is as before, and free for others.
  await until(
    async () => {
      s.h.advance(2000);
      return s.h.store.db.selectFrom('workflow').select('claim').where('id', '=', two).executeTakeFirst();
    },
    (row) => row?.claim === null,
  );
  t.true(s.fake.restarts.includes(first));
  s.fake.hung.clear();
  await s.fake.sync();
  await until(
    () => chainOf(s),
    (chain) => chain.length === 3,
  );
  await until(
    async () => {
      s.h.advance(5000);
      return s.workflow(two);
    },
    ({ status }) => status === 'succeeded',
  );
  t.deepEqual(chainOf(s), [first, third]);
  s.fake.sessions.clear();
  s.h.advance(1500);
  t.is((await ended(s, one)).status, 'succeeded');
  await healthy(t, s, String(third));
});

test.serial(
  'a router whose daemon hangs is started anew and replaced as ever; one that stays dead is left out',
  async (t) => {
    for (const [helps, readable] of [
      [true, true],
      [false, true],
      [false, false],
    ] as const) {
      const s = await scene(t);
      const old = await s.serving();
      s.fake.hung.set(old, helps);
      s.fake.mayLose = !helps;
      s.fake.readsKernels = readable;
      const id = await s.replace(old, { drainDeadline: null });
      const done = await until(
        async () => {
          s.h.advance(400);
          return s.workflow(id);
        },
        ({ status }) => !['running', 'aborting'].includes(status),
      );
      t.is(done.status, 'succeeded', JSON.stringify(done));
      t.deepEqual(s.fake.restarts, [old]);
      t.is(s.fake.copies.length > 0, readable);
      const operation = (await s.call('GET', `/v1/operations/${done.operation}`)).body;
      t.is(operation['state'], 'succeeded');
      const told = JSON.stringify(operation['steps']);
      t.is(/is replaced without its help/.test(told), !helps);
      t.is(/retire: 3 connections carried over.*read from its kernel/.test(told), !helps && readable);
      t.is(/nothing more could be copied/.test(told), !readable);
      if (!helps) t.regex(done.steps.at(-1)?.message ?? '', /what ended in it is lost/);
      await healthy(t, s, String(done.successor));
    }
  },
);

test.serial(
  'a router that dies at any later step is not waited for, and keeps those before it',
  async (t) => {
    for (const step of ['drain', 'retire'] as const) {
      const s = await scene(t);
      const first = await s.serving();
      s.fake.sessions.set(first, { local: 1, translated: 0, holders: [] });
      const one = await s.replace(first, { drainDeadline: null });
      const { successor: old } = await until(
        () => s.workflow(one),
        ({ sessions }) => sessions?.local === 1,
      );
      const id = await holdAt(s, step);
      s.fake.hung.set(String(old), false);
      s.fake.mayLose = true;
      s.fake.paused = false;
      await s.fake.sync();
      const done = await until(
        async () => {
          s.h.advance(2000);
          return s.workflow(id);
        },
        ({ status }) => !['running', 'aborting'].includes(status),
        30_000,
      );
      t.is(done.status, 'succeeded', JSON.stringify(done));
      t.is((await s.call('POST', `/v1/workflows/${id}/abort`)).status, 409);
      t.regex(done.steps.at(-1)?.message ?? '', /what ended in it is lost/);
      t.deepEqual(chainOf(s), [first, String(done.successor)]);
      s.fake.sessions.clear();
      s.h.advance(1500);
      t.is((await ended(s, one)).status, 'succeeded');
      await healthy(t, s, String(done.successor));
    }
  },
);

test.serial('what cannot be taken back because the old router died meanwhile goes on instead', async (t) => {
  for (const step of ['drain', 'retire'] as const) {
    const s = await scene(t);
    const old = await s.serving();
    const id = await holdAt(s, step);
    const answer = await s.call('POST', `/v1/workflows/${id}/abort`);
    t.is(answer.status, 200, answer.text);
    s.fake.hung.set(old, false);
    s.fake.mayLose = true;
    await letGo(s);
    const done = await until(
      async () => {
        s.h.advance(2000);
        return s.workflow(id);
      },
      ({ status }) => !['running', 'aborting'].includes(status),
      30_000,
    );
    t.is(done.status, 'succeeded', JSON.stringify(done));
    const operation = (await s.call('GET', `/v1/operations/${answer.body['operation']}`)).body;
    t.is(operation['state'], 'failed');
    t.regex(JSON.stringify(operation['problem']), /It cannot be taken back/);
    await healthy(t, s, String(done.successor));
  }
});

test.serial('of two requests for one replacement the stricter deadline counts', async (t) => {
  const s = await scene(t);
  const old = await s.serving();
  const id = await holdAt(s, 'precopy');
  t.is(await s.replace(old, { drainDeadline: 50 }), id);
  t.is(await s.replace(old, { drainDeadline: 100 }), id);
  t.is((await s.call('GET', `/v1/workflows/${id}`)).body['drainDeadline'], 50);
  await letGo(s);
  t.is((await ended(s, id)).status, 'succeeded');
});

test.serial('a network that is removed amid a replacement takes its workflow with it', async (t) => {
  const s = await scene(t);
  const id = await holdAt(s, 'retire');
  const { items = [] } = (await s.call('GET', '/v1/instances')).body;
  for (const instance of items) await s.call('DELETE', `/v1/instances/${instance['id']}`);
  t.is((await s.call('DELETE', `/v1/networks/${s.network}`)).status, 200);
  const done = await s.workflow(id);
  t.is(done.status, 'aborted');
  await s.fake.sync();
  t.deepEqual(s.fake.routers(), []);
  t.deepEqual(s.fake.document()?.links, undefined);
});

test.serial('what cannot be is refused with a remedy, and a dry run does nothing', async (t) => {
  const s = await scene(t);
  const old = await s.serving();
  const before = await s.h.dump();
  const dry = await s.call('POST', `/v1/routers/${old}/replace?dryRun=plan`, {});
  t.is(dry.status, 200, dry.text);
  t.is(await s.h.dump(), before);
  const bad = await s.call('POST', `/v1/routers/${old}/replace`, { drainDeadline: -1, drain: 3 });
  t.is(bad.status, 422);
  t.deepEqual(bad.body.problems?.map(({ pointer }) => pointer).toSorted(), ['/drain', '/drainDeadline']);
  const empty = String((await s.call('POST', '/v1/networks', { name: 'empty' })).body['id']);
  const none = await s.call('POST', `/v1/networks/${empty}/restart`, {});
  t.is(none.status, 409);
  t.is(none.body.problems?.[0]?.code, 'no-router');
  const again = await s.call('POST', `/v1/networks/${s.network}/restart?wait=10s`, {});
  t.is(again.status, 200);
  t.not(again.body['operation'], null);
  t.is(await s.serving(), old);
  s.fake.close();
  s.h.advance(120_000);
  const down = await s.call('POST', `/v1/routers/${old}/replace`, {});
  t.is(down.status, 409);
  t.is(down.body.problems?.[0]?.code, 'host-down');
});

test.serial('control: the fake sees a packet without a way', async (t) => {
  const s = await scene(t);
  const old = await s.serving();
  const id = await holdAt(s, 'retire');
  const { successor } = await s.workflow(id);
  // The old one is taken away before its neighbour stops asking it.
  await s.h.store.transaction(async (trx) => {
    await trx.deleteFrom('port').where('router_id', '=', old).execute();
    await trx.deleteFrom('router').where('id', '=', old).execute();
    await trx
      .updateTable('host')
      .set((eb) => ({ generation: eb('generation', '+', 1) }))
      .execute();
  });
  await s.fake.sync();
  t.true(s.fake.complaints.some((complaint) => complaint.includes(String(successor))));
});

const acts = ['replace', 'abort', 'restart', 'rule', 'sessions', 'end', 'pass'] as const;

test.serial(
  'whatever is asked for in whatever order, packets have a way and one router is left',
  async (t) => {
    t.timeout(180_000);
    const counts = { replaced: 0, aborted: 0, refused: 0 };
    const program = fc.array(
      fc.record({ act: fc.constantFrom(...acts), wait: fc.constantFrom(0, 5, 40, 120), pick: fc.nat(5) }),
      { minLength: 10, maxLength: 25 },
    );
    await fc.assert(
      fc.asyncProperty(program, async (steps) => {
        const s = await scene(t);
        let port = 1;
        for (const { act, wait, pick } of steps) {
          const { items = [] } = (await s.call('GET', '/v1/workflows')).body;
          const routers = s.fake.routers();
          const some = routers[pick % routers.length] as string;
          switch (act) {
            case 'replace': {
              const answer = await s.call('POST', `/v1/routers/${await s.serving()}/replace`, {
                drainDeadline: null,
              });
              counts[answer.status === 200 ? 'replaced' : 'refused'] += 1;
              break;
            }
            case 'abort': {
              const workflow = items[items.length - 1 - (pick % Math.max(1, Math.min(2, items.length)))];
              if (workflow === undefined) break;
              const answer = await s.call('POST', `/v1/workflows/${workflow['id']}/abort`);
              t.true([200, 409].includes(answer.status), answer.text);
              counts[answer.status === 200 ? 'aborted' : 'refused'] += 1;
              break;
            }
            case 'restart':
              await s.h.restartWorkflows();
              break;
            case 'rule':
              await s.call('POST', '/v1/firewall-rules', {
                publicIp: s.publicIp,
                protocol: 'tcp',
                ports: (port += 1),
              });
              break;
            case 'sessions':
              // New sessions begin where new connections go.
              s.fake.sessions.set(await s.serving(), { local: 1, translated: 0, holders: [] });
              break;
            case 'end':
              s.fake.sessions.delete(some);
              break;
            case 'pass':
              s.h.advance(1500);
              break;
          }
          await new Promise((resolve) => setTimeout(resolve, wait));
          t.deepEqual(await violations(s.h.store.db), []);
        }
        s.fake.sessions.clear();
        await until(
          async () => {
            s.h.advance(1100);
            return (await s.call('GET', '/v1/workflows')).body.items ?? [];
          },
          (items) => items.every(({ status }) => status !== 'running' && status !== 'aborting'),
        );
        await healthy(t, s, await s.serving());
      }),
      { numRuns: 8, endOnFailure: true },
    );
    t.log(counts);
    t.true(counts.replaced > 0 && counts.aborted > 0);
  },
);
