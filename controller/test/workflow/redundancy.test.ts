import test, { type ExecutionContext } from 'ava';
import type { RouterStatus } from 'documents';
import { takeRouterStatus } from '../../deliver/router-status.ts';
import { startSickRouters } from '../../redundancy/sick-routers.ts';
import { type Calls, type Harness, harness, seedNetwork, seedZone } from '../harness.ts';
import { violations } from '../invariants.ts';
import { until } from '../until.ts';
import { type FakeHost, fakeHost } from './fake-host.ts';
import { sealVersion } from './seal-version.ts';

interface Scene {
  readonly h: Harness;
  readonly call: Calls;
  readonly fake: FakeHost;
  readonly network: string;
  readonly publicIp: string;
  readonly show: () => Promise<NetworkView>;
  readonly pair: () => Promise<{ router: string; standby: string }>;
  readonly workflows: (type?: string) => Promise<Workflow[]>;
}

interface NetworkView {
  readonly router: string;
  readonly standby: string | null;
  readonly redundant: boolean;
  readonly conditions: { type: string; status: string; reason: string; message: string }[];
}

interface Workflow {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly step: string;
  readonly router: string | null;
  readonly successor: string | null;
  readonly operation: string;
  readonly sessions: { local: number } | null;
  readonly steps: { name: string; message: string }[];
  readonly problem?: { code: string };
}

const redundancyOf = ({ conditions }: NetworkView) => conditions.find(({ type }) => type === 'Redundant');

const scene = async (t: ExecutionContext, redundant = true): Promise<Scene> => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { call } = await h.account('alice');
  const { network, publicIp } = await seedNetwork(h, agent, call);
  const fake = await fakeHost(t, h, agent);
  const show = async () => (await call('GET', `/v1/networks/${network}`)).body as unknown as NetworkView;
  const s: Scene = {
    h,
    call,
    fake,
    network,
    publicIp,
    show,
    pair: async () => {
      const { router, standby } = await show();
      return { router, standby: String(standby) };
    },
    workflows: async (type) =>
      ((await call('GET', `/v1/workflows${type === undefined ? '' : `?type=${type}`}`)).body.items ??
        []) as unknown as Workflow[],
  };
  await until(
    async () => (await call('GET', `/v1/networks/${network}`)).body['state'],
    (state) => state === 'implemented',
  );
  if (!redundant) return s;
  const answer = await call('PATCH', `/v1/networks/${network}?wait=10s`, { redundant: true });
  t.is(answer.status, 200, answer.text);
  await synced(s);
  return s;
};

const synced = async (s: Scene, router?: string): Promise<NetworkView> => {
  try {
    return await until(
      s.show,
      (network) =>
        redundancyOf(network)?.status === 'True' && (router === undefined || network.router === router),
    );
  } catch (error) {
    const workflows = JSON.stringify(await s.workflows());
    throw new Error(`${s.fake.complaints.join('; ')} ${workflows} ${s.h.log.slice(-10).join('\n')}`, {
      cause: error,
    });
  }
};

const quiet = (s: Scene): Promise<Workflow[]> =>
  until(
    async () => {
      s.h.advance(1100);
      return s.workflows();
    },
    (items) => items.every(({ status }) => status !== 'running' && status !== 'aborting'),
  );

/** The network's routers by role, from the store; nothing else is there, and all that ought to hold does. */
const settled = async (t: ExecutionContext, s: Scene, active: string): Promise<string> => {
  const network = await synced(s, active);
  t.is(network.router, active);
  await until(
    () => s.fake.routers(),
    (routers) => routers.length === 2,
  );
  const rows = await s.h.store.db
    .selectFrom('router')
    .select([
      'id',
      'generation',
      'role',
      'parity',
      'older_id',
      'newer_id',
      'heard_older_id',
      'heard_newer_id',
    ])
    .orderBy('role')
    .execute();
  // The network is redundant also while what was asked for a moment ago is on its way to each of the two.
  const { generation } = await s.h.store.db
    .selectFrom('host')
    .select('generation')
    .where('id', '=', s.fake.host)
    .executeTakeFirstOrThrow();
  await until(
    () => [s.fake.document(), ...rows.map(({ id }) => s.fake.routerDocument(id))],
    (documents) =>
      [generation, ...rows.map((row) => row.generation)].every(
        (wanted, index) => (documents[index]?.generation ?? 0) >= wanted,
      ),
  );
  t.deepEqual(
    rows.map(({ role }) => role),
    ['active', 'standby'],
  );
  for (const row of rows)
    t.deepEqual(
      [row.parity, row.older_id, row.newer_id, row.heard_older_id, row.heard_newer_id],
      [rows[0]?.parity, null, null, null, null],
    );
  t.deepEqual(
    s.fake.document()?.standbys?.map(({ router, standby }) => ({ router, standby })),
    [{ router: active, standby: String(network.standby) }],
  );
  t.deepEqual(s.fake.failovers, []);
  t.is(s.fake.document()?.links, undefined);
  t.deepEqual(s.fake.complaints, []);
  t.deepEqual(await violations(s.h.store.db), []);
  const documents = [active, String(network.standby)].map((id) => s.fake.routerDocument(id));
  t.deepEqual(comparable(documents[1]), comparable(documents[0]));
  return String(network.standby);
};

/** A document without what is a router's own: its id and number, and the ids of its ports. */
const comparable = (document: ReturnType<FakeHost['routerDocument']>): unknown => {
  if (document === undefined) return undefined;
  let text = JSON.stringify({
    ...document,
    generation: 0,
    legs: document.legs.toSorted((a, b) => (a.device < b.device ? -1 : 1)),
    dhcpSubnets: document.dhcpSubnets,
  });
  text = text.replaceAll(document.id, 'ROUTER');
  for (const leg of document.legs)
    text = text.replaceAll(leg.id.slice(leg.id.indexOf('-') + 1), leg.device.toUpperCase());
  return JSON.parse(text);
};

test.serial('redundancy is switched on and off on a running network, and said to be', async (t) => {
  const s = await scene(t, false);
  const { router, standby, redundant, conditions } = await s.show();
  t.deepEqual([standby, redundant, conditions.length], [null, false, 1]);
  s.fake.standbys = 'syncing';
  const on = await s.call('PATCH', `/v1/networks/${s.network}`, { redundant: true });
  t.is(on.status, 200, on.text);
  t.is(redundancyOf(on.body as unknown as NetworkView)?.reason, 'Building');
  await until(s.show, (network) => redundancyOf(network)?.reason === 'Syncing');
  t.is((await s.call('GET', `/v1/operations/${on.body['operation']}`)).body['state'], 'running');
  s.fake.standbys = 'synced';
  await s.call('POST', '/v1/firewall-rules', { publicIp: s.publicIp, protocol: 'tcp', ports: 80 });
  const other = await settled(t, s, router);
  t.is((await s.call('GET', `/v1/operations/${on.body['operation']}?wait=5s`)).body['state'], 'succeeded');
  const [row] = (await s.call('GET', '/v1/routers?role=standby')).body.items ?? [];
  t.is(row?.['id'], other);
  const off = await s.call('PATCH', `/v1/networks/${s.network}?wait=5s`, { redundant: false });
  t.is(off.status, 200, off.text);
  t.is((await s.call('GET', `/v1/operations/${off.body['operation']}`)).body['state'], 'succeeded');
  t.deepEqual(s.fake.routers(), [router]);
  t.is(s.fake.document()?.standbys, undefined);
  t.is((await s.show()).router, router);
  t.is(redundancyOf(await s.show()), undefined);
  const refused = await s.call('POST', `/v1/routers/${router}/replace?dryRun=plan`, {});
  t.is(refused.status, 200);
  t.deepEqual(s.fake.complaints, []);
});

test.serial('a network that is redundant from the start gets both, and gives both back', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const made = await h.admin('POST', '/v1/networks', { name: 'n', redundant: true });
  t.is(made.body['standby'], null);
  const guest = await h.admin('POST', '/v1/instances', { name: 'a', network: made.body['id'] });
  const routers = (await h.admin('GET', '/v1/routers')).body.items ?? [];
  t.deepEqual(routers.map(({ role }) => role).toSorted(), ['active', 'standby']);
  // A standby that is quicker than the router serves nobody.
  const standby = routers.find(({ role }) => role === 'standby');
  agent.broken.set(String(routers.find(({ role }) => role === 'active')?.['id']), 'not yet');
  await agent.sync();
  const show = async () => (await h.admin('GET', `/v1/networks/${made.body['id']}`)).body;
  t.is((await show())['state'], 'implementing');
  t.is((await show())['standby'], standby?.['id']);
  agent.broken.clear();
  await agent.sync();
  t.is((await show())['state'], 'implemented');
  t.deepEqual(await violations(h.store.db), []);
  await h.admin('DELETE', `/v1/instances/${guest.body['id']}`);
  await h.collect(0);
  await agent.sync();
  t.is((await show())['state'], 'shutting-down');
  t.deepEqual((await agent.document()).machines, []);
});

test.serial('what is asked for waits for the active router alone, and reaches the standby too', async (t) => {
  const s = await scene(t);
  const { standby } = await s.pair();
  s.fake.broken.add(String(standby));
  const rule = await s.call('POST', '/v1/firewall-rules?wait=5s', {
    publicIp: s.publicIp,
    protocol: 'tcp',
    ports: 80,
  });
  t.is((await s.call('GET', `/v1/operations/${rule.body['operation']}`)).body['state'], 'succeeded');
  const applied = (rule.body['conditions'] as { type: string; status: string }[])[0];
  t.like(applied, { type: 'Applied', status: 'True' });
  t.like(
    await until(
      async () => redundancyOf(await s.show()),
      (condition) => condition?.status === 'False',
    ),
    { reason: 'Building' },
  );
  s.fake.broken.clear();
  await s.fake.sync();
  await settled(t, s, (await s.show()).router);
});

test.serial('a router that dies is stood in for, and another stands by: again and again', async (t) => {
  const s = await scene(t);
  let { router } = await s.show();
  for (let round = 0; round < 3; round += 1) {
    const rule = s.call('POST', '/v1/firewall-rules?wait=5s', {
      publicIp: s.publicIp,
      protocol: 'tcp',
      ports: 80 + round,
    });
    const promoted = s.fake.die(router);
    await until(
      () => s.fake.failovers,
      (failovers) => failovers.length === 0,
    );
    // What was asked for of the dead one is answered by the other.
    const { body } = await rule;
    t.is((await s.call('GET', `/v1/operations/${body['operation']}?wait=5s`)).body['state'], 'succeeded');
    t.is((await s.call('GET', `/v1/routers/${router}`)).status, 404);
    const standby = await settled(t, s, promoted);
    t.false([router, promoted].includes(standby));
    router = promoted;
  }
  const events = (await s.call('GET', '/v1/events?type=router.failed-over')).body.items ?? [];
  t.is(events.length, 3);
  t.regex(String(events[0]?.['message']), /died \(its namespace went\), and \S+ took over within 0\.9 ms/);
  t.is(events[0]?.['level'], 'warning');
  await quiet(s);
});

test.serial('reports that are repeated, late, or about what is gone change nothing', async (t) => {
  const s = await scene(t);
  const { router, standby } = await s.pair();
  const agent = async (failovers: object[]) => {
    const held = await s.h.store.db.selectFrom('host_status').select('status').executeTakeFirstOrThrow();
    const { takeHostStatus } = await import('../../deliver/host-status.ts');
    return takeHostStatus(s.h.store, { ...JSON.parse(held.status), failovers });
  };
  const report = (dead: string, promoted: string) => ({
    router: dead,
    promoted,
    at: s.h.store.now(),
    reason: 'gone',
    microseconds: 1,
  });
  const before = await s.show();
  await agent([report('rtr-000000000000', String(standby)), report(router, 'rtr-000000000000')]);
  await agent([report(String(standby), router)]);
  t.deepEqual((await s.show()).router, before.router);
  const promoted = s.fake.die(router);
  await settled(t, s, promoted);
  await agent([report(router, promoted)]);
  await agent([report(router, promoted), report(promoted, router)]);
  await settled(t, s, promoted);
  t.is((await s.call('GET', '/v1/events?type=router.failed-over')).body.items?.length, 1);
});

const steps = ['build', 'precopy', 'drain', 'flip', 'retire'] as const;
type StepName = (typeof steps)[number];

/** Keeps a replacement in a step. */
const holdAt = async (s: Scene, step: StepName): Promise<Workflow> => {
  const { router } = await s.show();
  if (step === 'build') s.fake.successors = 'silent';
  if (step === 'precopy') s.fake.copiesRefused = true;
  if (step === 'retire') s.fake.sessions.set(router, { local: 2, translated: 0, holders: [] });
  if (step === 'drain' || step === 'flip') {
    const stop = s.h.store.onChange(({ routers, hosts }) => {
      const handsOver = routers.some(({ id }) => id === router);
      const flips = hosts.length > 0 && s.fake.routerDocument(router)?.handover !== undefined;
      if ((step === 'drain' && handsOver) || (step === 'flip' && flips)) {
        s.fake.paused = true;
        stop();
      }
    });
  }
  const answer = await s.call('POST', `/v1/routers/${router}/replace`, { drainDeadline: null });
  const id = ((await s.call('GET', `/v1/workflows?operation=${answer.body['operation']}`)).body.items ??
    [])[0]?.['id'];
  return until(
    async () => (await s.call('GET', `/v1/workflows/${id}`)).body as unknown as Workflow,
    (workflow) =>
      workflow.step === step &&
      (step !== 'build' || s.fake.routers().length === 3) &&
      (step !== 'precopy' || (workflow.steps.at(-1)?.message ?? '').startsWith('tried')) &&
      ((step !== 'drain' && step !== 'flip') || s.fake.paused) &&
      (step !== 'retire' || workflow.sessions?.local === 2),
  );
};

const letGo = async (s: Scene): Promise<void> => {
  s.fake.successors = 'well';
  s.fake.copiesRefused = false;
  s.fake.paused = false;
  s.fake.sessions.clear();
  s.h.advance(1000);
  await s.fake.sync();
};

/** While documents catch up with what the host did by itself packets may lack a way; afterwards none does. */
const catchUp = async (s: Scene): Promise<void> => {
  await until(
    () => s.fake.failovers,
    (failovers) => failovers.length === 0,
  );
  await s.fake.sync();
  await s.fake.sync();
  s.fake.complaints.length = 0;
};

for (const step of steps)
  for (const abort of [false, true])
    test.serial(
      `the old router dies in ${step}${abort ? ', and the replacement is aborted' : ''}: its standby stands in`,
      async (t) => {
        const s = await scene(t);
        const held = await holdAt(s, step);
        const { router: serving } = await s.show();
        // In the last step it is the successor that serves and is stood in for.
        const dying = step === 'retire' ? serving : String(held.router);
        s.fake.successors = 'well';
        s.fake.silence.clear();
        const promoted = s.fake.die(dying);
        s.fake.mayLose = true;
        if (abort) {
          const answer = await s.call('POST', `/v1/workflows/${held.id}/abort`);
          t.is(answer.status, 200, answer.text);
        }
        await letGo(s);
        await catchUp(s);
        const done = (await quiet(s)).find(({ id }) => id === held.id);
        t.is(done?.status, abort ? 'aborted' : 'succeeded', JSON.stringify(done));
        const { router } = await s.show();
        t.true([promoted, held.successor, held.router].includes(router));
        if (done?.status === 'succeeded') t.is(router, String(done.successor));
        else t.is(router, String(done?.router));
        await settled(t, s, router);
      },
    );

test.serial(
  'at the flip of a replacement the standby is paired with the new router, and has its ports',
  async (t) => {
    const s = await scene(t);
    const { router, standby } = await s.pair();
    const ports = s.fake.routerDocument(String(standby))?.sourceNats[0]?.ports;
    const answer = await s.call('POST', `/v1/routers/${router}/replace?wait=10s`, {});
    t.is(answer.status, 200, answer.text);
    await quiet(s);
    const { router: after } = await s.show();
    t.not(after, router);
    t.is(String(await settled(t, s, after)), String(standby));
    t.notDeepEqual(s.fake.routerDocument(String(standby))?.sourceNats[0]?.ports, ports);
  },
);

for (const step of ['precopy', 'drain'] as const)
  test.serial(
    `a router's daemon dies before ${step}: the successor gets what its standby knows`,
    async (t) => {
      const s = await scene(t);
      const { router, standby } = await s.pair();
      if (step === 'drain') await holdAt(s, 'drain');
      s.fake.hung.set(router, false);
      // What ended in it is lost.
      s.fake.mayLose = true;
      s.fake.readsKernels = false;
      s.fake.copies.length = 0;
      s.fake.paused = false;
      await s.fake.sync();
      if (step === 'precopy') await s.call('POST', `/v1/routers/${router}/replace`, {});
      const done = (await quiet(s)).find(({ type }) => type === 'router.replace');
      t.is(done?.status, 'succeeded', JSON.stringify(done));
      t.deepEqual([...new Set(s.fake.copies)], [`${standby}>${done?.successor}`]);
      const told = JSON.stringify((await s.call('GET', `/v1/operations/${done?.operation}`)).body['steps']);
      t.regex(told, /goes on as far as its kernel or a standby can tell/);
      if (step === 'precopy') t.regex(told, new RegExp(`carried over.*from its standby ${standby}`));
      t.is(await settled(t, s, String(done?.successor)), standby);
    },
  );

test.serial('a standby is replaced: the old one goes when the new one is synced', async (t) => {
  const s = await scene(t);
  const { router, standby } = await s.pair();
  s.fake.standbys = 'syncing';
  const answer = await s.call('POST', `/v1/routers/${standby}/replace`, {});
  t.is(answer.status, 200, answer.text);
  const again = await s.call('POST', `/v1/routers/${standby}/replace`, {});
  t.is(again.body['operation'], answer.body['operation'], 'two requests are one');
  await until(
    () => s.workflows('router.rebuild-standby'),
    (items) => items.at(-1)?.step === 'sync',
  );
  await s.h.restartWorkflows();
  t.is(s.fake.routers().length, 3);
  s.fake.standbys = 'synced';
  await s.fake.sync();
  t.is(
    (await s.call('GET', `/v1/operations/${answer.body['operation']}?wait=5s`)).body['state'],
    'succeeded',
  );
  t.not(await settled(t, s, router), standby);
});

for (const step of ['build', 'sync'] as const) {
  test.serial(`a standby that is not there in time is taken back in ${step}, and on request`, async (t) => {
    const s = await scene(t);
    const { router, standby } = await s.pair();
    const begin = async (): Promise<Workflow> => {
      if (step === 'build') s.fake.successors = 'unhealthy';
      else s.fake.standbys = 'broken';
      await s.call('POST', `/v1/routers/${standby}/replace`, {});
      return until(
        async () => (await s.workflows('router.rebuild-standby')).at(-1) as Workflow,
        (workflow) => workflow.step === step && workflow.status === 'running' && workflow.successor !== null,
      );
    };
    const { id } = await begin();
    const late = until(
      async () => {
        s.h.advance(5000);
        await s.fake.sync();
        return (await s.call('GET', `/v1/workflows/${id}`)).body as unknown as Workflow;
      },
      ({ status }) => status === 'failed',
    );
    t.is((await late).problem?.code, step === 'build' ? 'standby-not-ready' : 'standby-not-synced');
    s.fake.standbys = 'synced';
    await s.fake.sync();
    t.is(await settled(t, s, router), standby);
    const second = await begin();
    await s.h.restartWorkflows();
    const aborted = await s.call('POST', `/v1/workflows/${second.id}/abort?wait=5s`);
    t.is(aborted.status, 200, aborted.text);
    s.fake.standbys = 'synced';
    s.fake.successors = 'well';
    await s.fake.sync();
    t.is((await s.call('GET', `/v1/workflows/${second.id}`)).body['status'], 'aborted');
    t.is(await settled(t, s, router), standby);
  });
}

for (const who of ['old', 'new'] as const)
  test.serial(`the active router dies while its standby is rebuilt: the ${who} one stands in`, async (t) => {
    const s = await scene(t);
    const { router, standby } = await s.pair();
    s.fake.standbys = 'syncing';
    await s.call('POST', `/v1/routers/${standby}/replace`, {});
    const workflow = await until(
      async () => (await s.workflows('router.rebuild-standby')).at(-1) as Workflow,
      ({ step }) => step === 'sync',
    );
    const promoted = String(who === 'old' ? standby : workflow.successor);
    t.is(s.fake.die(router, promoted), promoted);
    s.fake.standbys = 'synced';
    await s.fake.sync();
    await quiet(s);
    const left = await settled(t, s, promoted);
    t.is(left, String(who === 'old' ? workflow.successor : standby), 'the other one stands by for it');
  });

test.serial('redundancy is switched off while a standby is built, and while one takes over', async (t) => {
  const s = await scene(t);
  const { router, standby } = await s.pair();
  s.fake.standbys = 'syncing';
  await s.call('POST', `/v1/routers/${standby}/replace`, {});
  await until(
    () => s.workflows('router.rebuild-standby'),
    (items) => items.at(-1)?.step === 'sync',
  );
  await s.call('PATCH', `/v1/networks/${s.network}`, { redundant: false });
  await quiet(s);
  await until(
    () => s.fake.routers(),
    (routers) => routers.length === 1,
  );
  t.deepEqual(s.fake.routers(), [router]);
  s.fake.standbys = 'synced';
  await s.call('PATCH', `/v1/networks/${s.network}`, { redundant: true });
  await settled(t, s, router);
  s.fake.paused = true;
  s.fake.die(router);
  await s.call('PATCH', `/v1/networks/${s.network}`, { redundant: false });
  s.fake.paused = false;
  await s.fake.sync();
  // The standby is wanted no more, so the host makes the dead one anew.
  t.deepEqual(s.fake.routers(), [router]);
  t.deepEqual(s.fake.failovers, []);
  t.is((await s.show()).router, router);
  t.deepEqual(await violations(s.h.store.db), []);
});

test.serial('sick routers are replaced, standbys that are missing built; once in a while', async (t) => {
  const s = await scene(t);
  const limits = { silent: 200, unwell: 300 };
  const look = startSickRouters({
    store: s.h.store,
    link: s.h.delivery,
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: (context) => t.fail(String(context)) },
    autoReplace: true,
    limits,
    pause: 600_000,
    every: 60_000,
  });
  t.teardown(() => look.stop());
  const { router, standby } = await s.pair();
  await look.look();
  t.is((await s.workflows('router.replace')).length, 0);
  // Not heard, but it answers: it is not sick.
  s.h.advance(1000);
  await look.look();
  t.is((await s.workflows('router.replace')).length, 0);
  s.fake.hung.set(router, false);
  await look.look();
  const [workflow] = await s.workflows('router.replace');
  t.is(workflow?.router, router);
  s.fake.mayLose = true;
  const [event] = (await s.call('GET', '/v1/events?type=network.router-sick')).body.items ?? [];
  t.regex(
    String(event?.['message']),
    /is sick: its daemon has not been heard for \d+ s, and does not answer/,
  );
  s.h.advance(6000);
  await quiet(s);
  const { router: after } = await s.show();
  t.not(after, router);
  s.fake.complaints.length = 0;
  t.is(String(await settled(t, s, after)), String(standby));
  // The next one has to wait.
  s.fake.hung.set(after, false);
  s.h.advance(1000);
  await look.look();
  t.is((await s.workflows('router.replace')).length, 1);
  s.fake.hung.clear();
  s.h.advance(600_000);
  await s.fake.sync();
  await s.h.store.transaction(async (trx) => {
    await trx.deleteFrom('port').where('router_id', '=', String(standby)).execute();
    await trx.deleteFrom('router').where('id', '=', String(standby)).execute();
    await trx
      .updateTable('host')
      .set((eb) => ({ generation: eb('generation', '+', 1), last_seen_at: s.h.store.now() }))
      .execute();
  });
  await s.fake.sync();
  t.is(redundancyOf(await s.show())?.reason, 'NoStandby');
  await look.look();
  await quiet(s);
  await settled(t, s, after);
});

const lookAfter = (t: ExecutionContext, s: Scene) => {
  const look = startSickRouters({
    store: s.h.store,
    link: s.h.delivery,
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: (context) => t.fail(String(context)) },
    autoReplace: true,
    limits: { silent: 3_600_000, unwell: 60_000 },
    every: 60_000_000,
  });
  t.teardown(() => look.stop());
  return look;
};

/** What a router says of itself, as its host would report it. */
const reports = async (
  s: Scene,
  router: string,
  [observedGeneration, appliedGeneration]: readonly [number, number],
  failing: readonly string[],
): Promise<void> => {
  const { status: held } = await s.h.store.db
    .selectFrom('router_status')
    .select('status')
    .where('router_id', '=', router)
    .executeTakeFirstOrThrow();
  const ready = observedGeneration === appliedGeneration;
  const taken = await takeRouterStatus(s.h.store, {
    ...(JSON.parse(held) as RouterStatus),
    observedGeneration,
    appliedGeneration,
    conditions: [
      {
        type: 'Ready',
        status: ready ? 'True' : 'False',
        reason: ready ? 'Ready' : 'ApplyFailed',
        message: '',
        observedGeneration,
        lastTransitionTime: 1,
      },
    ],
    health: failing.map((name) => ({ name, status: 'fail', message: '', checkedAt: 1 })),
  });
  if (!taken) throw new Error(`the report of ${router} is stale`);
};

const generationOf = async (s: Scene, router: string): Promise<number> =>
  (
    await s.h.store.db
      .selectFrom('router')
      .select('generation')
      .where('id', '=', router)
      .executeTakeFirstOrThrow()
  ).generation;

test.serial('a rule that comes meanwhile does not make a sick router well', async (t) => {
  const s = await scene(t, false);
  const { router } = await s.show();
  const look = lookAfter(t, s);
  const inForce = await generationOf(s, router);
  s.fake.paused = true;
  await reports(s, router, [inForce, inForce], ['dnsmasq']);
  await look.look();
  s.h.advance(40_000);
  // It can apply nothing any more, so each new rule is stuck in it.
  await reports(s, router, [inForce + 1, inForce], ['dnsmasq']);
  await look.look();
  t.is((await s.workflows('router.replace')).length, 0, 'not yet');
  s.h.advance(25_000);
  await reports(s, router, [inForce + 2, inForce], ['dnsmasq']);
  await s.h.store.db.updateTable('host').set({ last_seen_at: s.h.store.now() }).execute();
  await look.look();
  t.is((await s.workflows('router.replace'))[0]?.router, router);
  const [event] = (await s.call('GET', '/v1/events?type=network.router-sick')).body.items ?? [];
  t.regex(String(event?.['message']), /is sick: its health check dnsmasq fails for 65 s/);
});

test.serial('a document that no router can apply gets none replaced; one that others can does', async (t) => {
  const s = await scene(t);
  const { router, standby } = await s.pair();
  const look = lookAfter(t, s);
  const inForce = await generationOf(s, router);
  s.fake.paused = true;
  const both = async (generation: number, standbyHas: number) => {
    await reports(s, router, [generation, inForce], ['dnsmasq']);
    await reports(s, standby, [generation, standbyHas], standbyHas === generation ? [] : ['dnsmasq']);
    await s.h.store.db.updateTable('host').set({ last_seen_at: s.h.store.now() }).execute();
    await look.look();
  };
  for (let turn = 1; turn <= 20; turn += 1) {
    await both(inForce + 1 + Math.floor(turn / 5), inForce);
    s.h.advance(60_000);
  }
  t.is((await s.workflows('router.replace')).length, 0);
  t.deepEqual((await s.call('GET', '/v1/events?type=network.standby-sick')).body.items, []);
  // The standby has it: it is the router.
  for (let turn = 0; turn < 3; turn += 1) {
    await both(inForce + 9, inForce + 9);
    s.h.advance(31_000);
  }
  t.is((await s.workflows('router.replace'))[0]?.router, router);
});

test.serial('whoever stands in for a router runs its bundle, whatever the default is by now', async (t) => {
  const s = await scene(t);
  const upload = async (version: string) =>
    String(
      (
        await s.h.admin('POST', '/v1/router-bundles', {
          content: sealVersion(s.h.signingKey, version).toString('base64'),
          default: true,
        })
      ).body['id'],
    );
  const bundles = async () =>
    Object.fromEntries(
      (await s.h.store.db.selectFrom('router').select(['role', 'bundle_id']).execute()).map(
        ({ role, bundle_id }) => [role, bundle_id],
      ),
    );
  const old = await upload('1.0');
  const first = await s.pair();
  for (const id of [first.router, first.standby])
    t.is((await s.h.admin('POST', `/v1/routers/${id}/patch?wait=10s`, {})).status, 200);
  await quiet(s);
  // As after a run that halted at its canary: it is the default all the same.
  const bad = await upload('2.0');
  t.not(bad, old);
  const look = lookAfter(t, s);
  const inForce = await generationOf(s, first.router);
  s.fake.paused = true;
  await reports(s, first.router, [inForce, inForce], ['dnsmasq']);
  await look.look();
  s.h.advance(60_000);
  await s.h.store.db.updateTable('host').set({ last_seen_at: s.h.store.now() }).execute();
  await look.look();
  s.fake.paused = false;
  await s.fake.sync();
  t.is((await s.workflows('router.replace')).length, 1);
  await quiet(s);
  const { router } = await s.show();
  t.not(router, first.router);
  t.is(await settled(t, s, router), first.standby);
  t.deepEqual(await bundles(), { active: old, standby: old });
  // It dies: its standby goes on with what it ran, and so does the new standby.
  const promoted = s.fake.die(router);
  await settled(t, s, promoted);
  t.deepEqual(await bundles(), { active: old, standby: old });
  await quiet(s);
  // Control: one that is asked for by name of nothing gets the default.
  t.is((await s.call('POST', `/v1/routers/${promoted}/replace?wait=10s`, {})).status, 200);
  await quiet(s);
  t.is((await bundles())['active'], bad);
});

test.serial('killed after any of its transactions, the building of a standby goes on', async (t) => {
  const s = await scene(t);
  const { router } = await s.pair();
  let commits = 1;
  for (let died = true; died; commits += 1) {
    const { standby } = await s.pair();
    await s.h.restartWorkflows(commits);
    const answer = await s.call('POST', `/v1/routers/${standby}/replace`, {});
    const status = async () =>
      (await s.call('GET', `/v1/operations/${answer.body['operation']}`)).body['state'];
    await until(
      async () => s.h.workflowsDied() || (await status()) === 'succeeded',
      (over) => over,
    );
    died = s.h.workflowsDied();
    await s.h.restartWorkflows();
    t.is(await until(status, (state) => state !== 'running'), 'succeeded');
    t.not(await settled(t, s, router), standby);
    t.true(commits < 20);
  }
  t.true(commits > 5, 'it was killed at every step');
});
