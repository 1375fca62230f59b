/** Routers are replaced under traffic, aborted and killed at every step, and nothing is lost and nothing is left. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { spawn } from 'node:child_process';
import test, { type ExecutionContext } from 'ava';
import type { Resource } from '../../cli/client.ts';
import { startTestStack, type TestStack } from './stack.ts';
import { makeTenant, probeBothWays, type Tenant } from './tenant.ts';

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

const until = async <Value>(
  what: string,
  look: () => Promise<Value>,
  holds: (value: Value) => boolean,
  limit = 60_000,
): Promise<Value> => {
  const deadline = performance.now() + limit;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const value = await look();
      last = value;
      if (holds(value)) return value;
    } catch (error) {
      last = String(error);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what} did not come about within ${limit} ms: ${JSON.stringify(last)}`);
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

/** Everything of this stack in the kernel: namespaces, devices of the fabric, places of MACs. */
const footprint = async () => {
  const links = JSON.parse((await stack.run('fabric', ['/usr/sbin/ip', '-j', '-d', 'link'])).stdout) as {
    ifname: string;
  }[];
  const fdb = JSON.parse((await stack.run('fabric', ['/usr/sbin/bridge', '-j', 'fdb'])).stdout) as unknown[];
  return {
    namespaces: readdirSync('/run/netns').filter((name) => name.startsWith(`${stack.prefix}-`)).length,
    devices: links.length,
    fdb: fdb.length,
    routers: readdirSync(`${stack.state}/host/routers`).length,
    daemons: processes(),
  };
};

/** Programs that run in this stack's state directory. */
const processes = (): number =>
  readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`${stack.state}/host/routers/`);
    } catch {
      return false;
    }
  }).length;

/** One router that is well, what was there before and no more. */
const settled = async (
  t: ExecutionContext,
  router: string,
  before: Awaited<ReturnType<typeof footprint>>,
): Promise<void> => {
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
  const { text } = await stack.client().post<{ text: string }>(`/v1/routers/${router}/diff`, {});
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

/** Calls `act` as soon as a workflow is at a step, which it is told; steps last some ten ms, so this looks into the store. */
const atStep = async (id: string, step: string, act: () => void): Promise<string> => {
  const database = new DatabaseSync(join(stack.state, 'controller/selvage.sqlite'), { readOnly: true });
  const look = database.prepare('select step from workflow where id = ?');
  try {
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; ) {
      const { step: now } = look.get(id) as { step: (typeof STEPS)[number] };
      if (STEPS.indexOf(now) >= STEPS.indexOf(step as typeof now)) {
        act();
        return now;
      }
      await new Promise((done) => setTimeout(done, 1));
    }
  } finally {
    database.close();
  }
  throw new Error(`${id} did not come to ${step}`);
};

const pidOf = (program: 'controller' | 'agent'): number => {
  const pid = stack.stack().pids()[program];
  if (pid === undefined) throw new Error(`the ${program} does not run`);
  return pid;
};

for (const step of STEPS) {
  test.serial(`kill -9 of the controller in ${step}: the replacement is done all the same`, async (t) => {
    const before = await footprint();
    const probes = probing(8000);
    const { id } = await begin();
    t.log(`killed in ${await atStep(id, step, () => process.kill(pidOf('controller'), 'SIGKILL'))}`);
    const done = await ended(id);
    t.is(done.status, 'succeeded', JSON.stringify(done));
    await probes(t);
    await settled(t, done.successor, before);
  });
}

const daemonOf = (router: string): number[] => {
  const file = join(stack.state, 'host/routers', router, 'daemon.json');
  return existsSync(file) ? [(JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid] : [];
};

for (const step of STEPS) {
  test.serial(
    `kill -9 of agent and router daemons in ${step}: the replacement is done all the same`,
    async (t) => {
      const before = await footprint();
      const probes = probing(8000);
      const { id } = await begin();
      const at = await atStep(id, step, () => {
        const routers = readdirSync(join(stack.state, 'host/routers'));
        for (const pid of [pidOf('agent'), ...routers.flatMap(daemonOf)]) {
          try {
            process.kill(pid, 'SIGKILL');
          } catch {
            // One that is starting anew.
          }
        }
      });
      t.log(`killed in ${at}`);
      const done = await ended(id);
      t.is(done.status, 'succeeded', JSON.stringify(done));
      await probes(t);
      await settled(t, done.successor, before);
    },
  );
}

for (const step of STEPS) {
  test.serial(`aborted in ${step}, a replacement is taken back without loss`, async (t) => {
    const before = await footprint();
    const old = await serving();
    const probes = probing(8000);
    const { id } = await begin();
    // A host that does nothing keeps the workflow where it is until the request to abort is in.
    const agent = pidOf('agent');
    const stopped = await atStep(id, step, () => process.kill(agent, 'SIGSTOP'));
    try {
      await stack.client().post(`/v1/workflows/${id}/abort`, {});
    } finally {
      process.kill(agent, 'SIGCONT');
    }
    t.is(stopped, step);
    const done = await ended(id);
    t.is(done.status, 'aborted', JSON.stringify(done));
    await probes(t);
    await settled(t, old, before);
  });
}

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
  t.regex(useless.stderr, /Only a replacement drains/);
});
