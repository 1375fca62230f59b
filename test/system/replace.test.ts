/** Routers are replaced under traffic, aborted and killed at every step, and nothing is lost and nothing is left. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Resource } from '../../cli/client.ts';
import { balance, everything, isBalanced, type MayFail, nothingLost } from './everything.ts';
import {
  daemonOf,
  type Footprint,
  footprintOf,
  haveEnded,
  killAll,
  programsOf,
  routersOf,
} from './footprint.ts';
import { startTestStack, type TestStack } from './stack.ts';
import { makeTenant, probeBothWays, type Tenant } from './tenant.ts';
import { until } from './until.ts';
import { holdAt } from './workflow-row.ts';

const STEPS = ['build', 'precopy', 'drain', 'flip', 'retire'] as const;

let stack: TestStack;
let tenant: Tenant;

test.before(async () => {
  stack = await startTestStack(`svt${process.pid}`);
  tenant = await makeTenant(stack, 'web');
});
test.after.always(() => stack?.destroy());

type Workflow = Resource & {
  readonly status: string;
  readonly step: string;
  readonly router: string;
  readonly successor: string;
  readonly operation: string;
  readonly steps: { name: string; startedAt: string; endedAt: string | null; message: string }[];
  readonly problem?: { message: string };
};

const serving = async (): Promise<string> =>
  String((await stack.client().get(`/v1/networks/${tenant.network.id}`))['router']);
const workflowOf = async (operation: string): Promise<Workflow> =>
  (await stack.client().list('/v1/workflows', { operation }))[0] as Workflow;
const show = (id: string): Promise<Workflow> => stack.client().get<Workflow>(`/v1/workflows/${id}`);
const begin = async (body: object = {}): Promise<Workflow> =>
  workflowOf(String((await stack.client().post(`/v1/routers/${await serving()}/replace`, body)).operation));
const ended = (id: string): Promise<Workflow> =>
  until(
    `the end of ${id}`,
    () => show(id),
    ({ status }) => !['running', 'aborting'].includes(status),
    120_000,
  );

const footprint = (): Promise<Footprint> => footprintOf(stack);

/** One router that is well, what was there before and no more. */
const settled = async (t: ExecutionContext, router: string, before: Footprint): Promise<void> => {
  t.is(await serving(), router);
  await until(
    'the router being well',
    () => stack.client().get(`/v1/routers/${router}`),
    (seen) =>
      seen['state'] === 'running' &&
      seen['role'] === 'active' &&
      seen['generation'] === seen['appliedGeneration'],
  );
  const after = await until(
    'nothing being left',
    footprint,
    (now) => JSON.stringify(now) === JSON.stringify(before),
    15_000,
  ).catch(footprint);
  t.deepEqual(after, before);
  // Its daemon may be starting.
  const { text } = await until(
    'the router answering',
    () => stack.client().post<{ text: string }>(`/v1/routers/${router}/diff`, {}),
    () => true,
  );
  t.is(text, '');
};

const probing = (count: number) => {
  const running = probeBothWays(stack, tenant, count);
  return async (t: ExecutionContext): Promise<void> => {
    for (const result of await running)
      t.like(result, { sent: count, lost: 0, doubled: 0 }, JSON.stringify(result));
  };
};

test.serial('a replacement under 1 kHz probes both ways loses and doubles none', async (t) => {
  const before = await footprint();
  const probes = probing(10_000);
  await new Promise((done) => setTimeout(done, 1000));
  const done = await ended((await begin()).id);
  t.is(done.status, 'succeeded', JSON.stringify(done));
  for (const { name, startedAt, endedAt, message } of done.steps)
    t.log(`${name} ${Date.parse(String(endedAt)) - Date.parse(startedAt)} ms: ${message}`);
  await probes(t);
  await settled(t, done.successor, before);
});

test.serial('five in a row under probes, and nothing is left of any', async (t) => {
  const before = await footprint();
  const probes = probing(30_000);
  for (let round = 0; round < 5; round += 1) {
    const done = await ended((await begin()).id);
    t.is(done.status, 'succeeded', JSON.stringify(done));
  }
  await probes(t);
  await settled(t, await serving(), before);
});

const pidOf = (program: 'controller' | 'agent'): number => {
  const pid = stack.stack().pids()[program];
  if (pid === undefined) throw new Error(`the ${program} does not run`);
  return pid;
};

/** Where a replacement may be killed: its steps, and in the last of them while the chain is changed. */
const PLACES = [...STEPS, 'retire down'] as const;
type Place = (typeof PLACES)[number];

/** Port of the load balancer whose session is under way. */
const BALANCED = 7001;
/** The session lasts until the old router drains, and ends early enough for it to leave under traffic, ms. */
const UNDER_WAY = { duration: 6500, held: 4200, port: BALANCED };
/** One that is to be cut lasts until it is, ms. */
const CUT = { ...UNDER_WAY, held: 30_000 };
/** Programs in machines have begun by then, ms. */
const BEGUN = 800;
/** So often a place that lasts some ms may be missed. */
const TRIES = 5;

interface Strike {
  readonly workflow: Workflow;
  readonly old: string;
  readonly before: Footprint;
  /** Where the workflow is by now. */
  readonly place: () => string;
}

/**
 * Replaces the router under traffic of all kinds, stops everything at a place, and strikes just there. What that comes to is
 * judged by `judge`; a round that missed its place has to be as good as any, and is repeated.
 */
const struckAt = async (
  t: ExecutionContext,
  place: Place,
  strike: (struck: Strike) => Promise<void>,
  judge: (struck: Strike, done: Workflow) => Promise<void>,
  may: MayFail = {},
): Promise<void> => {
  for (let round = 1; round <= TRIES; round += 1) {
    const before = await footprint();
    const old = await serving();
    const running = everything(stack, tenant, may.session === true ? CUT : UNDER_WAY);
    await new Promise((done) => setTimeout(done, BEGUN));
    const workflow = await begin();
    const made = (): boolean => routersOf(stack).some((id) => id !== old && daemonOf(stack, id).length > 0);
    const at = `running ${place}`;
    const hold = await holdAt(stack, workflow.id, at, place === 'build' ? made : undefined);
    const struck = { workflow, old, before, place: hold.place };
    try {
      if (hold.held) {
        await strike(struck);
        // What is taken back is at an earlier step by now.
        if (!hold.place().startsWith('aborting')) t.is(hold.place(), at, 'it was struck there');
      }
    } finally {
      hold.resume();
    }
    const done = await ended(workflow.id);
    if (hold.held) {
      await nothingLost(t, running, may);
      await judge(struck, done);
      return;
    }
    t.log(`${place} was missed`);
    await nothingLost(t, running);
    await replaced(struck, done, t);
  }
  t.fail(`${place} was missed ${TRIES} times`);
};

const replaced = async ({ before }: Strike, done: Workflow, t: ExecutionContext): Promise<void> => {
  t.is(done.status, 'succeeded', JSON.stringify(done));
  await settled(t, done.successor, before);
};

const kill = async (victims: readonly number[]): Promise<void> => {
  killAll(victims);
  await haveEnded(victims);
};

const successorOf = ({ old }: Strike): string => {
  const successor = routersOf(stack).find((id) => id !== old);
  if (successor === undefined) throw new Error('there is no successor yet');
  return successor;
};

test.serial('traffic of all kinds is balanced from here on', async (t) => {
  await balance(stack, tenant, BALANCED);
  await nothingLost(t, everything(stack, tenant, { ...UNDER_WAY, duration: 1500, held: 1500 }));
});

// Places one after another, so that no program is killed so often in a row that it is kept waiting.
for (const place of PLACES) {
  test.serial(`kill -9 of the controller in ${place}: the replacement is done all the same`, (t) =>
    struckAt(
      t,
      place,
      () => kill([pidOf('controller')]),
      (struck, done) => replaced(struck, done, t),
    ),
  );

  test.serial(`kill -9 of agent and router daemons in ${place}: the replacement is done all the same`, (t) =>
    struckAt(
      t,
      place,
      async () => {
        const daemons = routersOf(stack).flatMap((id) => daemonOf(stack, id));
        t.is(daemons.length, 2, 'of both routers');
        await kill([pidOf('agent'), ...daemons]);
      },
      (struck, done) => replaced(struck, done, t),
      { metadata: true },
    ),
  );

  if (place !== 'retire down')
    test.serial(`aborted in ${place}, a replacement is taken back without loss`, (t) =>
      struckAt(
        t,
        place,
        async ({ workflow }) => void (await stack.client().post(`/v1/workflows/${workflow.id}/abort`, {})),
        async ({ old, before }, done) => {
          t.is(done.status, 'aborted', JSON.stringify(done));
          await settled(t, old, before);
        },
      ),
    );
}

test.serial('kill -9 of all of them while it is taken back: it is taken back all the same', (t) =>
  struckAt(
    t,
    'flip',
    async ({ workflow, place }) => {
      await stack.client().post(`/v1/workflows/${workflow.id}/abort`, {});
      const daemons = routersOf(stack).flatMap((id) => daemonOf(stack, id));
      await kill([pidOf('controller'), pidOf('agent'), ...daemons]);
      t.is(place(), 'aborting flip');
    },
    async ({ old, before }, done) => {
      t.is(done.status, 'aborted', JSON.stringify(done));
      await settled(t, old, before);
    },
    { metadata: true },
  ),
);

const SERVICES = ['haproxy', 'dnsmasq'] as const;

for (const [place, whose] of [
  ['precopy', 'the successor'],
  ['flip', 'both'],
  ['retire', 'both'],
] as const)
  test.serial(
    `kill -9 of haproxy and dnsmasq of ${whose} in ${place}: daemons start them again`,
    async (t) => {
      const all = whose === 'both';
      await struckAt(
        t,
        place,
        async (struck) => {
          const victims = (all ? [struck.old] : []).concat(successorOf(struck));
          const pids = victims.map((id) => SERVICES.map((name) => programsOf(stack, id, name)));
          for (const of of pids)
            t.true(
              of.every(({ length }) => length > 0),
              JSON.stringify(pids),
            );
          await kill(pids.flat(2));
        },
        async (struck, done) => {
          await replaced(struck, done, t);
          await isBalanced(stack, tenant, BALANCED);
          // What is asked from here on is answered, by the programs that were started again.
          await nothingLost(t, everything(stack, tenant, { ...UNDER_WAY, duration: 1500, held: 1500 }));
        },
        all ? { names: true, session: true } : {},
      );
    },
  );

test.serial('a successor that does not prove it is ready never gets traffic', async (t) => {
  const before = await footprint();
  const old = await serving();
  const probes = probing(8000);
  const { id } = await begin({ readyWithin: 5 });
  const { successor } = await until(
    'the successor being made',
    () => show(id),
    (workflow) => workflow.successor !== null,
  );
  const file = join(stack.state, 'host/routers', successor, 'daemon.json');
  const pid = await until(
    'its daemon',
    async () => (existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid : 0),
    (found) => found > 0,
  );
  process.kill(pid, 'SIGSTOP');
  const done = await ended(id);
  t.is(done.status, 'failed');
  t.regex(done.problem?.message ?? '', /was not ready within 5 s/);
  t.log(done.problem?.message);
  await probes(t);
  await settled(t, old, before);
});

test.serial(
  'a session that ends in the router outlives four replacements, and keeps its router alone until it is over',
  async (t) => {
    const before = await footprint();
    const [guest] = tenant.guests;
    const balancer = await stack.create('/v1/load-balancers', {
      name: 'echo',
      publicIp: tenant.publicIp.id,
      port: 7000,
      members: [{ instance: guest.id, port: 7 }],
    });
    const rule = await stack.create('/v1/firewall-rules', {
      publicIp: tenant.publicIp.id,
      protocol: 'tcp',
      ports: { first: 7000, last: 7000 },
    });
    const withHaproxy = await footprint();
    const session = stack.run(
      'internet',
      [
        process.execPath,
        join(import.meta.dirname, 'session.ts'),
        String(tenant.publicIp['address']),
        '7000',
        '800',
        '50',
      ],
      120_000,
    );
    await new Promise((done) => setTimeout(done, 3000));
    const first = await begin({ drainDeadline: null });
    await until(
      'the session being seen',
      () => show(first.id),
      ({ sessions }) => (sessions as { local: number } | null)?.local === 1,
    );
    const later: Workflow[] = [];
    for (let round = 0; round < 3; round += 1) {
      const next = await begin({ drainDeadline: null });
      later.push(next);
      await stack.client().wait(next.operation, () => {});
    }
    // Those in the middle have left the chain; the first stays.
    for (const { id } of later) t.is((await ended(id)).status, 'succeeded');
    const routers = await stack.client().list('/v1/routers');
    t.is(routers.length, 2);
    t.is(routers[0]?.['role'], 'draining');
    t.is((await show(first.id)).status, 'running');
    const result = JSON.parse((await session).stdout) as {
      sent: number;
      echoed: number;
      broken: string | null;
    };
    t.like(result, { sent: 800, echoed: 800, broken: null }, JSON.stringify(result));
    t.is((await ended(first.id)).status, 'succeeded');
    await settled(t, await serving(), withHaproxy);
    await stack.remove(`/v1/load-balancers/${balancer.id}`);
    await stack.remove(`/v1/firewall-rules/${rule.id}`);
    t.true((await footprint()).daemons <= before.daemons + 1);
  },
);

test.serial('the network can be restarted with cleanup, and both requests at once are one', async (t) => {
  const before = await footprint();
  const old = await serving();
  const answers = await Promise.all([
    stack.client().post(`/v1/networks/${tenant.network.id}/restart`, { cleanup: true }),
    stack.client().post(`/v1/routers/${old}/replace`, {}),
  ]);
  t.is(answers[0].operation, answers[1].operation);
  const done = await ended((await workflowOf(String(answers[0].operation))).id);
  t.is(done.status, 'succeeded');
  await settled(t, done.successor, before);
});

test.serial('the command line follows a replacement step by step, and lists and shows it', async (t) => {
  const selvage = (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> =>
    new Promise((done, reject) => {
      const { SELVAGE_URL: _url, SELVAGE_API_KEY: _key, ...environment } = process.env;
      const program = join(import.meta.dirname, '../../cli/bin/selvage');
      const child = spawn(program, ['--state', stack.state, ...args], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: environment,
      });
      const output = { stdout: '', stderr: '' };
      child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
      child.once('error', reject);
      child.once('close', (code) => done({ code, ...output }));
    });
  const old = await serving();
  const replaced = await selvage('router', 'replace', old, '--drain-deadline', 'none');
  t.is(replaced.code, 0, replaced.stderr);
  for (const step of STEPS) {
    t.regex(replaced.stderr, new RegExp(`^${step}: `, 'm'));
    t.regex(replaced.stdout, new RegExp(`^${step} +(\\d+ ms|under way)`, 'm'));
  }
  const [workflow] = (await stack.client().list('/v1/workflows', { status: 'running' })) as Workflow[];
  if (workflow !== undefined) await ended(workflow.id);
  const listed = await selvage('workflow', 'list');
  t.regex(listed.stdout, /router\.replace +succeeded +retire/);
  const again = await selvage('router', 'replace', old);
  t.is(again.code, 1);
  t.regex(again.stderr, /There is no router/);
  const restarted = await selvage('network', 'restart', 'web');
  t.is(restarted.code, 0, restarted.stderr);
  const useless = await selvage('network', 'restart', 'web', '--drain-deadline', '5');
  t.regex(useless.stderr, /Without a fresh router there is nothing --drain-deadline could be about/);
});
