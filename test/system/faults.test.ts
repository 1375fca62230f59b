/** Any process of ours may be killed at any moment: packets go on, and afterwards what is wanted is reached without touching what is right. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { startTestStack, type TestStack } from './stack.ts';
import { makeTenant, probeBothWays, type Tenant } from './tenant.ts';

const PROBES = 3000;
const NONE_LOST = { sent: PROBES, lost: 0, doubled: 0 };

let stack: TestStack;
let tenant: Tenant;

test.before(async () => {
  stack = await startTestStack(`svt${process.pid}`);
  tenant = await makeTenant(stack, 'web');
});
test.after.always(() => stack?.destroy());

const kill = (pid: number | undefined): void => {
  if (pid === undefined) throw new Error('the process is not there to be killed');
  process.kill(pid, 'SIGKILL');
};
const routerPid = (): number =>
  (
    JSON.parse(readFileSync(join(stack.state, 'host/routers', tenant.router, 'daemon.json'), 'utf8')) as {
      pid: number;
    }
  ).pid;

const until = async (what: string, probe: () => Promise<boolean>, limit = 30_000): Promise<void> => {
  const deadline = performance.now() + limit;
  while (performance.now() < deadline) {
    try {
      if (await probe()) return;
    } catch {
      // Not there yet.
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${what} did not happen within ${limit} ms`);
};

/** What a restart must leave as it is: devices by index, the ruleset without its counters, services by pid. */
const footprint = async (): Promise<string> => {
  const links = await stack.run(tenant.router, ['/usr/sbin/ip', '-o', 'link']);
  const fabric = await stack.run('fabric', ['/usr/sbin/ip', '-o', 'link']);
  const ruleset = await stack.run(tenant.router, ['/usr/sbin/nft', '-a', '-s', 'list', 'ruleset']);
  const pids = spawnSync('/usr/sbin/ip', ['netns', 'pids', `${stack.prefix}-${tenant.router}`], {
    encoding: 'utf8',
  })
    .stdout.split('\n')
    .filter((pid) => pid !== '');
  const services = pids
    .map((pid) => `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} ${pid}`)
    .filter((line) => !line.startsWith('MainThread') && !line.startsWith('node'));
  const indexes = (text: string): string =>
    text
      .split('\n')
      .map((line) => line.split(' ').slice(0, 2).join(' '))
      .join('\n');
  return [
    indexes(links.stdout),
    indexes(fabric.stdout),
    ruleset.stdout.replaceAll(/ expires \S+/g, ''),
    services.toSorted().join('\n'),
  ].join('\n---\n');
};

const settled = () =>
  until('the router being in step again', async () => {
    const router = await stack.client().get(`/v1/routers/${tenant.router}`);
    return router['state'] === 'running' && router['generation'] === router['appliedGeneration'];
  });

test.serial('probes fail when the data path is cut: the control', async (t) => {
  const probing = probeBothWays(stack, tenant, PROBES);
  await new Promise((done) => setTimeout(done, 1000));
  await stack.run(tenant.router, ['/usr/sbin/ip', 'link', 'set', 'public0', 'down']);
  await new Promise((done) => setTimeout(done, 200));
  await stack.run(tenant.router, ['/usr/sbin/ip', 'link', 'set', 'public0', 'up']);
  const [outward, inward] = await probing;
  t.true(outward.lost > 0);
  t.true(inward.lost > 0);
  await until('the route coming back', async () =>
    (await probeBothWays(stack, tenant, 20)).every(({ lost }) => lost === 0),
  );
});

for (const [name, victims] of [
  ['the router daemon', () => [routerPid()]],
  ['the host agent', () => [stack.stack().pids().agent]],
  ['the controller', () => [stack.stack().pids().controller]],
  ['all three together', () => [stack.stack().pids().controller, stack.stack().pids().agent, routerPid()]],
] as const) {
  test.serial(
    `kill -9 of ${name}: no packet is lost, nothing right is touched, and work goes on`,
    async (t) => {
      await settled();
      const before = await footprint();
      const pids = victims();
      const probing = probeBothWays(stack, tenant, PROBES);
      await new Promise((done) => setTimeout(done, 300));
      for (const pid of pids) kill(pid);
      const [outward, inward] = await probing;
      t.like(outward, NONE_LOST);
      t.like(inward, NONE_LOST);
      await until(
        'the API answering',
        async () => (await stack.client().get(`/v1/hosts/${stack.stack().host}`))['state'] === 'up',
      );
      await settled();
      t.is(await footprint(), before);
      const rule = await stack.create('/v1/firewall-rules', {
        publicIp: tenant.publicIp.id,
        protocol: 'tcp',
        ports: { first: 4000, last: 4000 },
      });
      await stack.remove(`/v1/firewall-rules/${rule.id}`);
      t.notDeepEqual(victims(), pids);
    },
  );
}

test.serial(
  'a write that is under way when the controller is killed is wholly there or not at all',
  async (t) => {
    for (let round = 0; round < 3; round += 1) {
      const writes = Array.from({ length: 20 }, (_, index) =>
        stack
          .client()
          .post('/v1/firewall-rules', {
            publicIp: tenant.publicIp.id,
            protocol: 'tcp',
            ports: { first: 5000 + round * 100 + index, last: 5000 + round * 100 + index },
          })
          .catch(() => null),
      );
      setTimeout(() => kill(stack.stack().pids().controller), 5 + round * 20);
      await Promise.all(writes);
      await until('the API answering', async () => (await stack.client().list('/v1/zones')).length === 1);
      await settled();
    }
    const rules = (await stack.client().list('/v1/firewall-rules')).filter(
      (rule) => Number((rule['ports'] as { first: number } | null)?.first) >= 5000,
    );
    const document = await stack
      .client()
      .get<{ firewallRules: { id: string }[] }>(`/v1/routers/${tenant.router}/document`);
    const inDocument = new Set(document.firewallRules.map(({ id }) => id));
    t.true(rules.every(({ id }) => inDocument.has(id)));
    await until('the router saying that nothing would change', async () => {
      const { text } = await stack.client().post<{ text: string }>(`/v1/routers/${tenant.router}/diff`, {});
      return text === '';
    });
    for (const { id } of rules) await stack.remove(`/v1/firewall-rules/${id}`);
  },
);

test.serial('Ctrl-C leaves routers forwarding, and the next start adopts them', async (t) => {
  await settled();
  const before = await footprint();
  const probing = probeBothWays(stack, tenant, PROBES);
  await stack.restart();
  const [outward, inward] = await probing;
  t.like(outward, NONE_LOST);
  t.like(inward, NONE_LOST);
  await settled();
  t.is(await footprint(), before);
});
