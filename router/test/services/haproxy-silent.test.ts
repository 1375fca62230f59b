/** A haproxy that is short of processor: it does not answer for a while, and is left alone. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { loadBalancerFeature as feature } from '../../loadbalancer/feature.ts';
import { runningServers } from '../../loadbalancer/haproxy.ts';
import { membersUp, raiseMembers } from '../../loadbalancer/health-state.ts';
import { askSocket } from '../../service/ask-socket.ts';
import { service } from '../../service/services.ts';
import { balancer, document } from './document.ts';
import { TestNetwork } from './network.ts';
import { removeSystem, testSystem } from './test-system.ts';

const network = new TestNetwork();
const system = testSystem();
const members: Server[] = [];
test.after.always(() => {
  for (const member of members) member.close();
  removeSystem(system, 'haproxy');
  network.remove();
});

const listen = async (port = 0): Promise<number> => {
  const server = createServer((socket) => socket.on('error', () => undefined).end());
  members.push(server);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

let ports: readonly number[] = [];
test.before(async () => {
  ports = [await listen(), await listen()];
});

/** A balancer with both members; another `port` of its own is another structure. */
const rendered = (port = 80) =>
  feature.render(
    document({
      loadBalancers: [
        balancer({
          id: 'lb-a',
          port,
          members: ports.map((member, index) => ({
            id: `mem-${index}`,
            address: '127.0.0.1',
            port: member,
            draining: false,
          })),
        }),
      ],
    }),
  );

const at = (name: string): string => `${system.directory}/haproxy/${name}.sock`;

/** Processes of haproxy and how often it was reloaded, by the words of the master. */
const looks = async (): Promise<{ reloads: number; pids: number[] }> => {
  // It does not answer while it executes itself again.
  for (let turn = 0; turn < 50; turn += 1, await sleep(20)) {
    const text = await askSocket(at('master'), 'show proc;quit').catch(() => '');
    const reloads = Number(/master\s+(\d+)/.exec(text)?.[1]);
    if (!Number.isNaN(reloads))
      return { reloads, pids: [...text.matchAll(/^\d+/gm)].map(([pid]) => Number(pid)) };
  }
  throw new Error('The master of haproxy does not answer');
};

const state = async (name: string) => (await runningServers(system)).get('lb-a')?.get(name);

/** Signals a process of the haproxy started here; it may have ended. */
const tell = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
};

/** Keeps master and workers from running at all until the function it returns is called. */
const freeze = async (t: ExecutionContext): Promise<() => void> => {
  const { pids } = await looks();
  t.is(pids.length, 2, 'a master and one worker');
  const all = (signal: NodeJS.Signals) => () => pids.forEach((pid) => tell(pid, signal));
  t.teardown(all('SIGCONT'));
  all('SIGSTOP')();
  for (const pid of pids) {
    const stopped = () => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    for (let turn = 0; turn < 100 && !stopped(); turn += 1) await sleep(5);
    t.true(stopped());
  }
  return all('SIGCONT');
};

test.serial('one that does not answer for three seconds is asked again, and not reloaded', async (t) => {
  t.deepEqual((await feature.apply(system, rendered(), null)).changes, ['haproxy started']);
  const before = await looks();
  const thaw = await freeze(t);
  const healing = feature.heal(system, rendered());
  t.is(await Promise.race([healing, sleep(3_000)]), undefined, 'control: it does not answer');
  thaw();
  t.deepEqual((await healing).changes, []);
  t.deepEqual(await looks(), before);
});

test.serial('one that stays silent is left as it is, and in force as soon as it answers', async (t) => {
  const before = await looks();
  const thaw = await freeze(t);
  const silent = { name: 'ServiceError', code: 'service-not-ready' };
  await Promise.all([
    t.throwsAsync(feature.heal(system, rendered()), silent),
    t.throwsAsync(feature.diff(system, rendered()), silent),
    t.throwsAsync(feature.outlook?.(system, rendered()) ?? Promise.resolve(), silent),
  ]);
  thaw();
  t.deepEqual((await feature.heal(system, rendered())).changes, []);
  t.is(await feature.diff(system, rendered()), '');
  t.deepEqual(await looks(), before);
});

test.serial('control: one that answers with another structure is reloaded, once', async (t) => {
  const before = await looks();
  const { changes } = await feature.heal(system, rendered(81));
  t.regex(changes.join(), /reloaded/);
  const now = await looks();
  t.is(now.reloads, before.reloads + 1);
  t.is(now.pids[0], before.pids[0], 'the same master');
  t.not(now.pids[1], before.pids[1], 'another worker');
});

test.serial('a new worker that is slow to begin is waited for', async (t) => {
  const next = rendered(82);
  await system.files.write(`${system.directory}/haproxy/haproxy.cfg`, next.configuration, 0o600);
  const { reloads, pids } = await looks();
  const [master] = pids;
  askSocket(at('master'), 'reload', 1_000).catch(() => undefined);
  await sleep(20);
  const children = () => readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').trim().split(' ');
  let fresh: number | undefined;
  // Without a pause: it is to be stopped before it has answered anybody.
  for (const end = Date.now() + 3_000; fresh === undefined && Date.now() < end; )
    fresh = children()
      .map(Number)
      .find((pid) => pid > 0 && !pids.includes(pid));
  t.not(fresh, undefined);
  tell(fresh as number, 'SIGSTOP');
  const thaw = () => tell(fresh as number, 'SIGCONT');
  t.teardown(thaw);
  const healing = feature.heal(system, next);
  t.is(await Promise.race([healing, sleep(2_000)]), undefined, 'control: nobody answers');
  thaw();
  await healing;
  t.is((await looks()).reloads, reloads + 1);
  await feature.heal(system, rendered());
});

test.serial('a configuration that is refused at the reload is told at once', async (t) => {
  const good = rendered(83);
  const next = { ...good, configuration: `${good.configuration}  nonsense\n` };
  const began = Date.now();
  await t.throwsAsync(feature.heal(system, next), { code: 'service-protocol', message: /refused/ });
  t.true(Date.now() - began < 4_000);
  t.regex((await feature.heal(system, rendered(84))).changes.join(), /reloaded/, 'and the next is taken');
  await feature.heal(system, rendered());
});

test.serial('of a haproxy that does not answer all members are told, and none is raised', async (t) => {
  const thaw = await freeze(t);
  const [told] = await Promise.all([
    membersUp(system),
    t.throwsAsync(raiseMembers(system, ['lb-a/mem-0']), { name: 'ServiceError', code: 'service-not-ready' }),
  ]);
  t.deepEqual(told, ['lb-a/mem-0', 'lb-a/mem-1']);
  thaw();
});

test.serial('a member is told until it is down for longer than eight seconds', async (t) => {
  members[1]?.close();
  await askSocket(at('runtime'), 'set server lb-a/mem-1 health down');
  t.false((await state('mem-1'))?.up);
  t.deepEqual(await membersUp(system), ['lb-a/mem-0', 'lb-a/mem-1']);
  await sleep(9_200);
  t.false((await state('mem-1'))?.up);
  t.deepEqual(await membersUp(system), ['lb-a/mem-0']);
});

test.serial('members that are down are raised, others are left as they are', async (t) => {
  await askSocket(at('runtime'), 'set server lb-a/mem-0 state maint');
  await raiseMembers(system, ['lb-a/mem-0', 'lb-a/mem-1', 'lb-a/mem-gone', 'lb-gone/mem-0']);
  t.true((await state('mem-1'))?.up);
  t.deepEqual((await membersUp(system)).includes('lb-a/mem-1'), true);
  t.true((await state('mem-0'))?.maintenance, 'what is in maintenance stays there');
  await raiseMembers(system, []);
});

test.serial('of a balancer without members nothing is told, and none is raised', async (t) => {
  await feature.apply(
    system,
    feature.render(document({ loadBalancers: [balancer({ id: 'lb-a', members: [] })] })),
    null,
  );
  t.deepEqual(await membersUp(system), []);
  await t.notThrowsAsync(raiseMembers(system, ['lb-a/mem-0']));
});

test.serial('where nothing is balanced there is nothing to tell, and nothing to raise', async (t) => {
  await feature.apply(system, feature.render(document()), null);
  t.is(service(system, 'haproxy').pid, null);
  t.deepEqual(await membersUp(system), []);
  await t.notThrowsAsync(raiseMembers(system, ['lb-a/mem-0']));
});
