import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { LoadBalancer } from 'documents';
import { drainMember } from '../../loadbalancer/apply.ts';
import { loadBalancerFeature as feature } from '../../loadbalancer/feature.ts';
import { haproxyProgram } from '../../loadbalancer/haproxy.ts';
import type { RenderedLoadBalancers } from '../../loadbalancer/render.ts';
import { askSocket } from '../../service/ask-socket.ts';
import { releaseServices, service } from '../../service/services.ts';
import { balancer, document } from './document.ts';
import { type Machine, TestNetwork } from './network.ts';
import { removeSystem, testSystem } from './test-system.ts';

const network = new TestNetwork();
const system = testSystem();
const members: ChildProcess[] = [];
test.after.always(() => {
  for (const member of members) member.kill('SIGKILL');
  removeSystem(system, 'haproxy');
  network.remove();
});

const guests = network.addSwitch('guest0', ['10.1.1.1/24']);
const outside = network.addSwitch('public0', ['203.0.113.10/24']);
const client = network.addMachine(outside, 'net', '02:00:00:00:02:99');
client.configure('203.0.113.99/24');

test.before(async () => {
  for (const [index, name] of ['a', 'b', 'c'].entries()) {
    const machine = network.addMachine(guests, name, `02:00:00:00:01:1${index + 1}`);
    machine.configure(`10.1.1.1${index + 1}/24`);
    const member = machine.start(process.execPath, [
      fileURLToPath(new URL('member.ts', import.meta.url)),
      name,
    ]);
    members.push(member);
    await once(member.stdout as NodeJS.ReadableStream, 'data');
  }
});

const member = (name: 'a' | 'b' | 'c', port: number, draining = false) => ({
  id: `mem-${name}`,
  address: `10.1.1.1${'abc'.indexOf(name) + 1}`,
  port,
  draining,
});

const http = (parts: Partial<LoadBalancer> = {}): LoadBalancer =>
  balancer({
    id: 'lb-http',
    protocol: 'http',
    port: 80,
    members: [member('a', 8000), member('b', 8000)],
    ...parts,
  });
const tcp = (parts: Partial<LoadBalancer> = {}): LoadBalancer =>
  balancer({
    id: 'lb-tcp',
    protocol: 'tcp',
    port: 90,
    members: [member('a', 9000), member('b', 9000)],
    ...parts,
  });

let before: RenderedLoadBalancers | null = null;
const apply = async (...loadBalancers: LoadBalancer[]): Promise<readonly string[]> => {
  const next = feature.render(document({ loadBalancers }));
  const problems = await feature.check?.(system, next);
  if (problems?.length !== 0) throw new Error(JSON.stringify(problems));
  const { changes } = await feature.apply(system, next, before);
  before = next;
  return changes;
};
/** Who answered `count` requests, in order. */
const requests = async (from: Machine, count: number, port = 80): Promise<string[]> => {
  const url = `http://203.0.113.10:${port}/`;
  const { stdout } = await from.run('/usr/bin/curl', [
    '-s',
    '-m',
    '5',
    ...Array.from({ length: count }, () => url),
  ]);
  return stdout.trimEnd().split('\n');
};

/** A connection that is held open: who greeted, and whether it still echoes. */
class Held {
  readonly #process: ChildProcess;
  #text = '';

  constructor(port = 90) {
    this.#process = client.start('/usr/bin/busybox', ['nc', '203.0.113.10', String(port)]);
    this.#process.stdout?.on('data', (chunk: Buffer) => (this.#text += chunk.toString()));
  }

  async greeting(): Promise<string> {
    for (let tries = 0; tries < 100 && !this.#text.includes('\n'); tries += 1) await sleep(20);
    return this.#text.split('\n')[0] ?? '';
  }

  async echoes(word: string): Promise<boolean> {
    this.#process.stdin?.write(`${word}\n`);
    for (let tries = 0; tries < 50; tries += 1) {
      if (this.#text.includes(word)) return true;
      await sleep(20);
    }
    return false;
  }

  async close(): Promise<void> {
    this.#process.stdin?.destroy();
    this.#process.kill('SIGKILL');
    await sleep(60);
  }
}

const names = (answers: readonly string[]): string[] => answers.map((answer) => answer.slice(0, 1));
/** Who answered at all. */
const who = (answers: readonly string[]): string[] => [...new Set(names(answers))].toSorted();
const count = (answers: readonly string[], name: string): number =>
  answers.filter((each) => each.startsWith(name)).length;
const pid = (): number => service(system, 'haproxy').pid as number;
const workerPid = async (): Promise<string> =>
  /^Pid: (\d+)$/m.exec(await askSocket(`${system.directory}/haproxy/runtime.sock`, 'show info'))?.[1] ?? '';

const until = async (what: () => boolean | Promise<boolean>, within = 5_000): Promise<boolean> => {
  for (const end = Date.now() + within; Date.now() < end; await sleep(20)) if (await what()) return true;
  return false;
};

test.serial('without a load balancer there is no haproxy', async (t) => {
  t.deepEqual(await apply(), []);
  t.is(service(system, 'haproxy').pid, null);
});

test.serial('round robin takes turns, and tells members who asks', async (t) => {
  t.deepEqual(await apply(http(), tcp()), ['haproxy started']);
  const answers = await requests(client, 10);
  t.is(count(answers, 'a'), 5);
  t.is(count(answers, 'b'), 5);
  t.true(
    answers.every((answer) => answer.endsWith(' 203.0.113.99')),
    answers.join(),
  );
  t.deepEqual(await apply(http(), tcp()), [], 'the same again changes nothing');
  const worker = await workerPid();
  t.regex((await system.files.read(`/proc/${worker}/status`)) ?? '', /^Uid:\t[1-9]/m, 'workers are not root');
});

test.serial('members come, drain and go without a reload; open connections go on', async (t) => {
  const worker = await workerPid();
  const held = new Held();
  t.teardown(() => held.close());
  const home = await held.greeting();
  t.regex(home, /^[ab]$/);
  const other = home === 'a' ? 'b' : 'a';

  // Ahead of the document, and then by it.
  t.true(await drainMember(system, 'lb-tcp', `mem-${home}`));
  t.false(await drainMember(system, 'lb-tcp', 'mem-nobody'));
  const drained = tcp({ members: [member('a', 9000, home === 'a'), member('b', 9000, home === 'b')] });
  for (const step of [undefined, drained]) {
    if (step !== undefined)
      t.deepEqual(await apply(http(), step), ['haproxy.cfg brought in line with what runs']);
    const greetings: string[] = [];
    for (let index = 0; index < 4; index += 1) {
      const fresh = new Held();
      greetings.push(await fresh.greeting());
      await fresh.close();
    }
    t.deepEqual(greetings, [other, other, other, other]);
    t.true(await held.echoes(`still here ${step === undefined}`));
  }
  t.is(await feature.diff(system, feature.render(document({ loadBalancers: [http(), drained] }))), '');

  t.true(
    (await apply(http({ members: [member('a', 8000), member('b', 8000), member('c', 8000)] }), drained)).some(
      (change) => change.includes('mem-c added'),
    ),
  );
  t.deepEqual(who(await requests(client, 9)), ['a', 'b', 'c']);
  // The member that still has a connection is removed altogether: out of service now, gone when the connection ends.
  t.true(
    (await apply(http({ members: [member('c', 8000)] }), tcp({ members: [member(other as 'a', 9000)] })))
      .length >= 3,
  );
  t.deepEqual(who(await requests(client, 6)), ['c']);
  t.true(await held.echoes('and still'));
  await held.close();
  t.deepEqual(
    await apply(http(), tcp()).then((changes) => changes.filter((change) => change.includes('reload'))),
    [],
  );
  t.is(await workerPid(), worker, 'one worker all along');
  t.deepEqual(who(await requests(client, 6)), ['a', 'b']);
});

test.serial('least connections goes where the fewest are', async (t) => {
  t.true(
    (await apply(http(), tcp({ algorithm: 'leastconn' }))).some((change) => change.includes('reloaded')),
  );
  const first = new Held();
  t.teardown(() => first.close());
  const emptied = await first.greeting();
  const second = new Held();
  t.teardown(() => second.close());
  t.not(await second.greeting(), emptied);
  await first.close();
  for (let index = 0; index < 3; index += 1) {
    const fresh = new Held();
    t.is(await fresh.greeting(), emptied);
    await fresh.close();
  }
});

test.serial('by source a client stays with its member', async (t) => {
  t.is(who(await requests(client, 8)).length, 2, 'control: round robin does not');
  await apply(http({ algorithm: 'source' }), tcp());
  t.is(who(await requests(client, 8)).length, 1);
  const [home] = names(await requests(client, 1)) as ['a' | 'b'];
  // Another member, by the socket: the hash is consistent, so most clients keep theirs; draining its own moves it.
  await apply(
    http({
      algorithm: 'source',
      members: [member('a', 8000, home === 'a'), member('b', 8000, home === 'b')],
    }),
    tcp(),
  );
  t.deepEqual(who(await requests(client, 4)), [home === 'a' ? 'b' : 'a']);
  await apply(http({ algorithm: 'source' }), tcp());
  t.deepEqual(who(await requests(client, 4)), [home]);
  const three = [member('a', 8000), member('b', 8000), member('c', 8000)];
  t.deepEqual(await apply(http({ algorithm: 'source', members: three }), tcp()), [
    'member lb-http/mem-c added (10.1.1.13:8000)',
  ]);
  t.is(who(await requests(client, 4)).length, 1);
});

/** Errors that wrk counted in `seconds` of load, while `disturb` ran. */
const errorsUnder = async (
  seconds: number,
  disturb: () => Promise<void>,
): Promise<{ requests: number; errors: number }> => {
  const load = client.run(
    '/usr/bin/wrk',
    ['-t', '1', '-c', '16', '-d', `${seconds}s`, 'http://203.0.113.10/'],
    (seconds + 10) * 1000,
  );
  await sleep(400);
  await disturb();
  const { stdout } = await load;
  const found = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout);
  const bad = /Non-2xx or 3xx responses: (\d+)/.exec(stdout);
  return {
    requests: Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0),
    errors: (found ?? []).slice(1).reduce((sum, each) => sum + Number(each), 0) + Number(bad?.[1] ?? 0),
  };
};

test.serial('a reload under load costs no request, and no connection that is open', async (t) => {
  await apply(http(), tcp());
  const held = new Held();
  t.teardown(() => held.close());
  await held.greeting();
  const reloads = 4;
  const outcome = await errorsUnder(4, async () => {
    for (let index = 0; index < reloads; index += 1) {
      const changes = await apply(http(), tcp(), tcp({ id: 'lb-zzz', port: 100 + index }));
      t.true(changes.some((change) => change.includes('reloaded')));
      await sleep(300);
    }
  });
  t.log(outcome);
  t.true(outcome.requests > 200, String(outcome.requests));
  t.is(outcome.errors, 0);
  t.true(await held.echoes('through four reloads'));
  t.regex((await requests(client, 1))[0] ?? '', /^[ab] /);
});

test.serial('control: a restart in its place does cost requests', async (t) => {
  const outcome = await errorsUnder(2, () =>
    service(system, 'haproxy').restart(haproxyProgram(system, 'rtr-test00000001')),
  );
  t.true(outcome.errors > 0, JSON.stringify(outcome));
});

test.serial('a configuration that haproxy refuses is told with its words, and changes nothing', async (t) => {
  const worker = await workerPid();
  const good = feature.render(document({ loadBalancers: [http(), tcp()] }));
  const problems = await feature.check?.(system, {
    ...good,
    configuration: `${good.configuration}  nonsense\n`,
  });
  t.is(problems?.[0]?.code, 'haproxy-refuses');
  t.regex(problems?.[0]?.message ?? '', /nonsense/);
  t.is(await workerPid(), worker);
});

test.serial('what is changed by hand at run time is put back', async (t) => {
  await apply(http(), tcp());
  const socket = `${system.directory}/haproxy/runtime.sock`;
  await askSocket(socket, 'set server lb-http/mem-a state maint');
  t.deepEqual(who(await requests(client, 4)), ['b'], 'control: the change works');
  const current = feature.render(document({ loadBalancers: [http(), tcp()] }));
  t.regex(await feature.diff(system, current), /set server lb-http\/mem-a state ready/);
  t.deepEqual((await feature.heal(system, current)).changes, ['member lb-http/mem-a back in service']);
  t.deepEqual(who(await requests(client, 4)), ['a', 'b']);
});

test.serial('killed, it comes back by itself and says so', async (t) => {
  const killed = pid();
  system.reports.length = 0;
  process.kill(killed, 'SIGKILL');
  t.true(await until(() => system.reports.some(({ type }) => type === 'router.service-restarted')));
  t.not(pid(), killed);
  t.deepEqual(who(await requests(client, 4)), ['a', 'b']);
  // The worker alone: the master ends with it, and both come back.
  system.reports.length = 0;
  process.kill(Number(await workerPid()), 'SIGKILL');
  t.true(await until(() => system.reports.some(({ type }) => type === 'router.service-restarted')));
  t.deepEqual(who(await requests(client, 4)), ['a', 'b']);
});

test.serial(
  'after a restart of the router daemon the process is taken over; without balancers it ends with its last connection',
  async (t) => {
    const running = pid();
    const worker = await workerPid();
    releaseServices(system);
    const second = testSystem(system.directory);
    t.teardown(() => releaseServices(second));
    const next = feature.render(document({ loadBalancers: [http(), tcp()] }));
    t.deepEqual((await feature.apply(second, next, null)).changes, []);
    t.is(service(second, 'haproxy').pid, running);
    t.is(await workerPid(), worker);
    const held = new Held();
    t.teardown(() => held.close());
    await held.greeting();
    t.is((await feature.apply(second, feature.render(document()), next)).changes.length, 1);
    t.is(
      (await client.run('/usr/bin/curl', ['-s', '-m', '2', 'http://203.0.113.10/'])).exitCode,
      7,
      'nobody listens',
    );
    t.true(await held.echoes('the last one'));
    await held.close();
    t.true(await until(() => !existsSync(`/proc/${running}`), 5_000));
    t.deepEqual((await feature.apply(second, feature.render(document()), null)).changes, []);
  },
);
