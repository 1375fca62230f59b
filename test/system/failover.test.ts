/** The router of a redundant network dies under traffic: its host has the standby take over, and the controller follows. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { LAB_SERVER } from '../../cli/lab/up.ts';
import { everything, nothingLost } from './everything.ts';
import { daemonOf, footprintOf, haveEnded, killAll, routersOf } from './footprint.ts';
import { startTestStack, type TestStack } from './stack.ts';
import { makeTenant, probeBothWays, type Tenant } from './tenant.ts';
import { until as comes } from './until.ts';
import { holdAt } from './workflow-row.ts';

const SESSION = join(import.meta.dirname, 'session.ts');

let stack: TestStack;
let tenant: Tenant;

test.before(async () => {
  stack = await startTestStack(`svt${process.pid}`);
  tenant = await makeTenant(stack, 'web');
  const forward = { publicIp: tenant.publicIp.id, protocol: 'tcp' };
  await stack.create('/v1/port-forwards', {
    ...forward,
    publicPorts: { first: 7, last: 7 },
    instance: tenant.guests[0].id,
    openFirewall: true,
  });
});
test.after.always(() => stack?.destroy());

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

interface Network {
  readonly router: string;
  readonly standby: string | null;
  readonly redundant: Condition | undefined;
}

const network = async (): Promise<Network> => {
  const seen = await stack.client().get(`/v1/networks/${tenant.network.id}`);
  return {
    router: String(seen['router']),
    standby: seen['standby'] as string | null,
    redundant: (seen['conditions'] as Condition[]).find(({ type }) => type === 'Redundant'),
  };
};

const until = async (what: string, holds: (seen: Network) => boolean, limit = 30_000): Promise<Network> => {
  const deadline = performance.now() + limit;
  for (;;) {
    const seen = await network();
    if (holds(seen)) return seen;
    if (performance.now() > deadline)
      throw new Error(`${what} did not come about within ${limit} ms: ${JSON.stringify(seen)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
};

const synced = (without: readonly string[] = []): Promise<Network> =>
  until(
    'a synced standby',
    ({ router, redundant }) => redundant?.reason === 'Synced' && !without.includes(router),
  );

/** A connection that lasts `seconds`, echoing every 50 ms; ends with what became of it. */
const session = async (machine: string, address: string, port: string, seconds: number) => {
  const messages = String(seconds * 20);
  const { stdout, stderr } = await stack.run(
    machine,
    [process.execPath, SESSION, address, port, messages, '50'],
    seconds * 1000 + 60_000,
  );
  if (stdout === '') throw new Error(`the session said nothing: ${stderr}`);
  return JSON.parse(stdout) as { sent: number; echoed: number; broken: string | null; longestGapMs: number };
};

/** Everything that is under way: datagrams both ways, one long connection out by source NAT, one in by a port forward. */
const traffic = (seconds: number) => {
  const address = String(tenant.publicIp['address']);
  const probes = probeBothWays(stack, tenant, seconds * 1000);
  const sessions = Promise.all([
    session(tenant.guests[0].id, LAB_SERVER, '7', seconds),
    session('internet', address, '7', seconds),
  ]);
  return { probes, sessions };
};

const well = async (t: ExecutionContext, router: string): Promise<void> => {
  // Its daemon may be starting.
  const { text } = await comes(
    `${router} answering`,
    () => stack.client().post<{ text: string }>(`/v1/routers/${router}/diff`, {}),
    () => true,
  );
  t.is(text, '');
};

test.serial(
  'redundancy is switched on, off and on again under 1 kHz probes without losing one',
  async (t) => {
    const probes = probeBothWays(stack, tenant, 8000);
    const change = async (redundant: boolean): Promise<void> => {
      const answer = await stack
        .client()
        .patch<{ operation: string }>(`/v1/networks/${tenant.network.id}`, { redundant });
      await stack.client().wait(answer.operation, () => {});
    };
    await change(true);
    await synced();
    await change(false);
    t.is((await network()).standby, null);
    await change(true);
    const { router, standby } = await synced();
    for (const result of await probes)
      t.like(result, { sent: 8000, lost: 0, doubled: 0 }, JSON.stringify(result));
    await well(t, router);
    await well(t, String(standby));
  },
);

/** Who is killed while a standby is built and while it goes: all of each kind, then all of all. */
const VICTIMS = [
  ['the controller', 'build', () => [stack.stack().pids().controller]],
  ['the agent and router daemons', 'build', () => [stack.stack().pids().agent, ...daemons()]],
  ['all of them', 'sync', () => [stack.stack().pids().controller, stack.stack().pids().agent, ...daemons()]],
] as const;

const daemons = (): number[] => routersOf(stack).flatMap((id) => daemonOf(stack, id));

const kill = async (victims: readonly (number | undefined)[]): Promise<void> => {
  const pids = victims.filter((pid) => pid !== undefined);
  if (pids.length < victims.length) throw new Error('one of them does not run');
  killAll(pids);
  await haveEnded(pids);
};

const succeeded = async (t: ExecutionContext, operation: string): Promise<void> => {
  const ended = await comes(
    `the end of ${operation}`,
    () => stack.client().get(`/v1/operations/${operation}`),
    ({ state }) => state !== 'running',
  );
  t.is(ended['state'], 'succeeded', JSON.stringify(ended));
};

/** Nothing more and nothing less is there than was. */
const isThere = async (
  t: ExecutionContext,
  before: Awaited<ReturnType<typeof footprintOf>>,
): Promise<void> => {
  const after = await comes(
    'nothing being left',
    () => footprintOf(stack),
    (now) => JSON.stringify(now) === JSON.stringify(before),
    15_000,
  ).catch(() => footprintOf(stack));
  t.deepEqual(after, before);
};

test.serial(
  'kill -9 of anybody while a standby is built or goes: there is one, or none, and nothing lost',
  async (t) => {
    const alter = async (redundant: boolean): Promise<string> =>
      (await stack.client().patch<{ operation: string }>(`/v1/networks/${tenant.network.id}`, { redundant }))
        .operation;
    const pair = await footprintOf(stack);
    const { router } = await synced();
    await succeeded(t, await alter(false));
    const alone = await comes(
      'the standby being gone',
      () => footprintOf(stack),
      ({ routers }) => routers === 1,
    );
    t.true(alone.daemons < pair.daemons && alone.namespaces < pair.namespaces && alone.fdb < pair.fdb);
    for (const [who, step, victims] of VICTIMS) {
      const running = everything(stack, tenant, { duration: 9000 });
      await new Promise((done) => setTimeout(done, 800));
      let built = '';
      for (let round = 1; built === ''; round += 1) {
        const on = await alter(true);
        const [workflow] = await stack.client().list('/v1/workflows', { operation: on });
        const made = (): boolean => daemons().length === 2;
        // What the standby is to know it is told by this one's daemon: stopped, it does not get beyond that step.
        const teller = step === 'sync' ? daemonOf(stack, router) : [];
        for (const pid of teller) process.kill(pid, 'SIGSTOP');
        const hold = await holdAt(stack, String(workflow?.id), `running ${step}`, made);
        try {
          if (hold.held) {
            await kill(victims());
            t.is(hold.place(), `running ${step}`, `${who} killed there`);
          } else for (const pid of teller) process.kill(pid, 'SIGCONT');
        } finally {
          hold.resume();
        }
        await succeeded(t, on);
        const { router: active, standby } = await synced();
        t.is(active, router);
        if (hold.held) built = String(standby);
        else if (round === 4) return t.fail(`${step} was missed ${round} times`);
        else await succeeded(t, await alter(false));
      }
      await isThere(t, pair);
      for (const id of [router, built]) await well(t, id);

      // Whoever is to take it away is killed before, or while it does.
      const agent = Number(stack.stack().pids().agent);
      const all = victims();
      process.kill(agent, 'SIGSTOP');
      const off = await alter(false);
      t.true(routersOf(stack).includes(built), 'it is still there');
      if (who === 'the controller') {
        await kill(all);
        process.kill(agent, 'SIGCONT');
      } else {
        const [daemon] = daemonOf(stack, built);
        process.kill(agent, 'SIGCONT');
        await haveEnded([Number(daemon)]);
        t.log(
          `${who} killed with ${routersOf(stack).includes(built) ? 'half' : 'nothing'} of the standby left`,
        );
        await kill(all.filter((pid) => pid !== daemon));
      }
      await succeeded(t, off);
      t.is((await network()).standby, null);
      await isThere(t, alone);
      await well(t, router);
      await nothingLost(t, running, who === 'the controller' ? {} : { metadata: true });
    }
    await succeeded(t, await alter(true));
    t.is((await synced()).router, router);
    await isThere(t, pair);
  },
);

test.serial('a router that is killed is stood in for, twice, and connections last', async (t) => {
  const gone: string[] = [];
  for (let round = 0; round < 2; round += 1) {
    const { router, standby } = await synced(gone);
    const { probes, sessions } = traffic(6);
    await new Promise((done) => setTimeout(done, 2000));
    await stack.killMachine(router);
    gone.push(router);
    const after = await until('the standby serving', (seen) => seen.router === standby);
    for (const one of await sessions) t.like(one, { broken: null, echoed: one.sent }, JSON.stringify(one));
    for (const one of await probes) t.log(JSON.stringify(one));
    for (const one of await probes) {
      t.is(one.doubled, 0);
      t.true(one.lost < 500, JSON.stringify(one));
    }
    const again = await synced(gone);
    t.is(again.router, after.router);
    t.false([...gone, String(standby)].includes(String(again.standby)));
    await well(t, again.router);
    const [event] = (await stack.client().list('/v1/events', { type: 'router.failed-over' })).slice(-1);
    t.log(event?.['message']);
    t.is(event?.['resource'], String(standby));
  }
});

test.serial(
  'control: without a standby the router comes back by itself, and connections do not',
  async (t) => {
    const { router } = await synced();
    const off = await stack
      .client()
      .patch<{ operation: string }>(`/v1/networks/${tenant.network.id}`, { redundant: false });
    await stack.client().wait(off.operation, () => {});
    const lasting = session(tenant.guests[0].id, LAB_SERVER, '7', 4);
    await new Promise((done) => setTimeout(done, 1500));
    await stack.killMachine(router);
    const { sent, echoed, broken } = await lasting;
    t.true(broken !== null || echoed < sent, 'it broke');
    t.is((await network()).router, router);
    for (const { lost } of await probeBothWays(stack, tenant, 1000)) t.is(lost, 0, 'it serves again');
  },
);
