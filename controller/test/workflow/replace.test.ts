import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { type Calls, type Harness, harness, seedNetwork, seedZone } from '../harness.ts';
import { violations } from '../invariants.ts';
import { type FakeHost, fakeHost } from './fake-host.ts';

interface Scene {
  readonly h: Harness;
  readonly call: Calls;
  readonly fake: FakeHost;
  readonly network: string;
  readonly publicIp: string;
  /** Id of the router that serves. */
  readonly serving: () => Promise<string>;
  readonly workflow: (id: string) => Promise<Workflow>;
  readonly replace: (router: string, body?: object) => Promise<string>;
}

interface Workflow {
  readonly id: string;
  readonly status: string;
  readonly step: string;
  readonly router: string;
  readonly successor: string | null;
  readonly operation: string;
  readonly steps: { name: string; endedAt: string | null; undoneAt: string | null; message: string }[];
  readonly sessions: { local: number } | null;
  readonly problem?: { code: string; message: string; hint: string };
}

const LONGEST = 15_000;

const until = async <Value>(
  look: () => Promise<Value> | Value,
  holds: (value: Value) => boolean,
  longest = LONGEST,
): Promise<Value> => {
  const end = performance.now() + longest;
  for (;;) {
    const value = await look();
    if (holds(value)) return value;
    if (performance.now() > end) throw new Error(`it did not come about: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

const scene = async (t: ExecutionContext): Promise<Scene> => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { call } = await h.account('alice');
  const { network, publicIp } = await seedNetwork(h, agent, call);
  const fake = await fakeHost(t, h, agent);
  const serving = async () => String((await call('GET', `/v1/networks/${network}`)).body['router']);
  const workflow = async (id: string) =>
    (await call('GET', `/v1/workflows/${id}`)).body as unknown as Workflow;
  await until(
    async () => (await call('GET', `/v1/networks/${network}`)).body['state'],
    (state) => state === 'implemented',
  );
  return {
    h,
    call,
    fake,
    network,
    publicIp,
    serving,
    workflow,
    replace: async (router, body = {}) => {
      const answer = await call('POST', `/v1/routers/${router}/replace`, body);
      t.is(answer.status, 200, answer.text);
      const found = await call('GET', `/v1/workflows?operation=${answer.body['operation']}`);
      return String(found.body.items?.[0]?.['id']);
    },
  };
};

const ended = (s: Scene, id: string, longest?: number): Promise<Workflow> =>
  until(
    () => s.workflow(id),
    ({ status }) => !['running', 'aborting'].includes(status),
    longest,
  );

/** One router, nothing left of any other, and no moment at which a packet had no way. */
const healthy = async (t: ExecutionContext, s: Scene, router: string): Promise<void> => {
  t.is(await s.serving(), router);
  await until(
    () => s.fake.routers(),
    (routers) => routers.length === 1,
  );
  t.deepEqual(s.fake.routers(), [router]);
  t.is(s.fake.document()?.links, undefined);
  t.false('handover' in (s.fake.routerDocument(router) ?? { handover: null }));
  t.deepEqual(
    s.fake
      .document()
      ?.ports.filter(({ role }) => role === 'router')
      .map(({ active }) => active),
    [true, true],
  );
  t.deepEqual(s.fake.complaints, []);
  t.deepEqual(await violations(s.h.store.db), []);
};

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

const steps = ['build', 'precopy', 'drain', 'flip', 'retire'] as const;

/** Keeps a replacement in a step, and says how to let it go on. */
const holdAt = async (s: Scene, step: (typeof steps)[number]): Promise<string> => {
  const old = await s.serving();
  if (step === 'build') s.fake.successors = 'silent';
  if (step === 'precopy') s.fake.copiesRefused = true;
  if (step === 'retire') s.fake.sessions.set(old, { local: 2, translated: 0, holders: [] });
  if (step === 'drain' || step === 'flip') {
    const stop = s.h.store.onChange(({ routers, hosts }) => {
      // The old router's document, or the host's after the last of the old one's, is not fetched.
      const handsOver = routers.some(({ id }) => id === old);
      const flips = hosts.length > 0 && s.fake.routerDocument(old)?.handover !== undefined;
      if ((step === 'drain' && handsOver) || (step === 'flip' && flips)) {
        s.fake.paused = true;
        stop();
      }
    });
  }
  const id = await s.replace(old, { drainDeadline: null });
  await until(
    () => s.workflow(id),
    (workflow) =>
      workflow.step === step &&
      (step !== 'build' || s.fake.routers().length === 2) &&
      (step !== 'precopy' || (workflow.steps.at(-1)?.message ?? '').startsWith('tried')) &&
      ((step !== 'drain' && step !== 'flip') || s.fake.paused) &&
      (step !== 'retire' || workflow.sessions?.local === 2),
  );
  return id;
};

const letGo = async (s: Scene): Promise<void> => {
  s.fake.successors = 'well';
  s.fake.copiesRefused = false;
  s.fake.paused = false;
  s.fake.sessions.clear();
  s.h.advance(1000);
  await s.fake.sync();
};

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
      // A silent router stays silent; its replacement fails and is taken back.
      s.h.advance(61_000);
      return void t.pass();
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

/** The chain as the documents in force have it, oldest first; who is only heard is no part of it. */
const chainOf = (s: Scene): string[] => {
  const sent = (links: readonly { id: string; receiveOnly?: boolean }[] = []): string[] =>
    links.flatMap(({ id, receiveOnly }) => (receiveOnly === true ? [] : [id]));
  const routers = s.fake.routers().map((id) => ({ id, handover: s.fake.routerDocument(id)?.handover }));
  const chain = routers.filter(({ handover }) => sent(handover?.older).length === 0);
  for (let last = chain.at(-1); chain.length <= routers.length; last = chain.at(-1)) {
    const up = sent(last?.handover?.newer);
    const next = routers.find(({ handover }) => sent(handover?.older).some((id) => up.includes(id)));
    if (next === undefined) break;
    chain.push(next);
  }
  return chain.map(({ id }) => id);
};

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
  // Aborting in the middle of a chain is refused, with a way out.
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
    for (const helps of [true, false]) {
      const s = await scene(t);
      const old = await s.serving();
      s.fake.hung.set(old, helps);
      s.fake.mayLose = !helps;
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
      t.deepEqual(s.fake.copies.length > 0, helps);
      const operation = (await s.call('GET', `/v1/operations/${done.operation}`)).body;
      t.is(operation['state'], 'succeeded');
      t.is(/translated by it is lost/.test(JSON.stringify(operation['steps'])), !helps);
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
