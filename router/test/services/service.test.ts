import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import fc from 'fast-check';
import { processStartTime } from 'node-netlink';
import type { Program } from '../../service/program.ts';
import type { Succession } from '../../service/succession.ts';
import { restartDelay } from '../../service/service.ts';
import { releaseServices, service, serviceConditions } from '../../service/services.ts';
import { textDiff } from '../../service/text-diff.ts';
import { removeSystem, type TestSystem, testSystem } from './test-system.ts';

/** sleep(1) as a service: it answers when it runs. */
const sleeper = (seconds: string): Program => ({
  path: '/usr/bin/sleep',
  args: () => [seconds],
  marks: [seconds],
  subject: 'rtr-test00000001',
  ready: () => Promise.resolve(true),
});

/** Never the same twice, so that no test finds another's process. */
let next = Math.floor(Math.random() * 1_000_000);
const unique = (): string => `3600.${process.pid}${(next += 1)}`;

const open = (t: { teardown: (end: () => void) => void }, directory?: string): TestSystem => {
  const system = testSystem(directory);
  if (directory === undefined) t.teardown(() => removeSystem(system, 'sleeper'));
  else t.teardown(() => releaseServices(system));
  return system;
};

const until = async (what: () => boolean): Promise<boolean> => {
  for (let tries = 0; tries < 250; tries += 1) {
    if (what()) return true;
    await sleep(20);
  }
  return false;
};

test('is started once, and taken over by the next daemon', async (t) => {
  const system = open(t);
  const program = sleeper(unique());
  t.is(await service(system, 'sleeper').start(program), 'started');
  t.is(await service(system, 'sleeper').start(program), 'running');
  const { pid } = service(system, 'sleeper');
  t.deepEqual(
    serviceConditions(system).map(({ type, status }) => [type, status]),
    [['SleeperRunning', 'True']],
  );
  releaseServices(system);
  const second = open(t, system.directory);
  t.is(await service(second, 'sleeper').start(program), 'adopted');
  t.is(service(second, 'sleeper').pid, pid);
});

test('is not taken over when pid, start time or command are another', async (t) => {
  const system = open(t);
  const program = sleeper(unique());
  const stranger = spawn('/usr/bin/sleep', ['3600']);
  t.teardown(() => stranger.kill('SIGKILL'));
  const pid = stranger.pid as number;
  const startTime = processStartTime(pid) as number;
  mkdirSync(`${system.directory}/sleeper`, { recursive: true });
  const records = [
    { pid, startTime, path: '/usr/bin/sleep' },
    { pid, startTime: startTime - 1, path: '/usr/bin/sleep' },
    { pid, startTime, path: '/usr/sbin/dnsmasq' },
    { pid: 'x' },
  ];
  for (const record of records) {
    writeFileSync(`${system.directory}/sleeper/process.json`, JSON.stringify(record));
    const other = open(t, system.directory);
    t.is(await service(other, 'sleeper').start(program), 'started', JSON.stringify(record));
    t.true(await service(other, 'sleeper').stop(program));
  }
  t.is(processStartTime(pid), startTime, 'the stranger was left alone');
});

test('is found again when its pid was never written down', async (t) => {
  const system = open(t);
  const program = sleeper(unique());
  await service(system, 'sleeper').start(program);
  const { pid } = service(system, 'sleeper');
  releaseServices(system);
  // As a daemon leaves it that was killed between the start and the record.
  const record = JSON.stringify({ starting: true, path: program.path });
  writeFileSync(`${system.directory}/sleeper/process.json`, record);
  const second = open(t, system.directory);
  t.is(await service(second, 'sleeper').start(program), 'adopted');
  t.is(service(second, 'sleeper').pid, pid);
});

test('comes back when it ends, again and again, and not when it was stopped', async (t) => {
  const system = open(t);
  const program = sleeper(unique());
  await service(system, 'sleeper').start(program);
  for (let times = 1; times <= 3; times += 1) {
    const pid = service(system, 'sleeper').pid as number;
    process.kill(pid, 'SIGKILL');
    t.true(await until(() => system.reports.length === times), `death ${times}`);
    t.not(service(system, 'sleeper').pid, pid);
  }
  t.true(system.reports.every(({ type }) => type === 'router.service-restarted'));
  t.is(service(system, 'sleeper').restarts, 3);
  const last = service(system, 'sleeper').pid as number;
  await service(system, 'sleeper').stop(program);
  t.is(processStartTime(last), null);
  await sleep(300);
  t.is(system.reports.length, 3);
  t.deepEqual(serviceConditions(system), []);
});

test('says with its last words why it does not start', async (t) => {
  const system = open(t);
  const program = { ...sleeper('not-a-number'), ready: () => Promise.resolve(false) };
  const error = await t.throwsAsync(service(system, 'sleeper').start(program), { code: 'service-exited' });
  t.regex(error?.message ?? '', /invalid time interval/);
  t.is(serviceConditions(system)[0]?.status, 'False');
});

/** The same system with a clock that goes ten times as fast: what takes seconds need not be waited for. */
const hurried = (system: TestSystem): TestSystem => ({
  ...system,
  clock: { now: () => Date.now() * 10, sleep: (ms) => sleep(ms / 10) },
});

/** A service that does not answer until it is told to. */
class Late {
  answers = false;
  readonly program: Program = { ...sleeper(unique()), ready: () => Promise.resolve(this.answers) };
}

const status = (system: TestSystem) => serviceConditions(system).map((each) => [each.status, each.reason])[0];

test('one that answers only after its start was given up runs, when it is asked again', async (t) => {
  const system = hurried(open(t));
  t.teardown(() => releaseServices(system));
  const late = new Late();
  const tried = service(system, 'sleeper');
  await t.throwsAsync(tried.start(late.program), { code: 'service-not-ready' });
  t.deepEqual(status(system), ['False', 'NotReady']);
  const { pid } = tried;
  t.not(pid, null);
  await t.throwsAsync(tried.start(late.program), { code: 'service-not-ready' }, 'it still does not');
  t.deepEqual(status(system), ['False', 'NotReady']);
  late.answers = true;
  t.is(await tried.start(late.program), 'running');
  t.deepEqual(status(system), ['True', 'Running']);
  t.is(tried.pid, pid, 'the same process all along');
});

test('one that came back by itself and answers late runs without anybody asking', async (t) => {
  const system = hurried(open(t));
  t.teardown(() => releaseServices(system));
  const late = new Late();
  late.answers = true;
  await service(system, 'sleeper').start(late.program);
  late.answers = false;
  process.kill(service(system, 'sleeper').pid as number, 'SIGKILL');
  t.true(await until(() => status(system)?.[1] === 'NotReady'));
  const { pid } = service(system, 'sleeper');
  late.answers = true;
  t.true(await until(() => status(system)?.[0] === 'True'));
  t.is(service(system, 'sleeper').pid, pid);
  t.deepEqual(
    system.reports.map(({ type }) => type),
    ['router.service-failed', 'router.service-restarted'],
  );
});

/** A succession that notes whom it was told of. */
const noted = (): Succession & { readonly told: number[]; readonly freed: number[] } => {
  const [before, after]: [number[], number[]] = [[], []];
  return {
    told: before,
    freed: after,
    linger: 500,
    before: async (old) => void before.push(old.at(-1)?.pid as number),
    after: async (old) => void after.push(old.pid),
  };
};

test('a successor that is slow to answer is waited for while the old one serves', async (t) => {
  const system = hurried(open(t));
  t.teardown(() => releaseServices(system));
  const program = sleeper(unique());
  const tried = service(system, 'sleeper');
  await tried.start(program);
  const old = tried.pid as number;
  const late = new Late();
  const succession = noted();
  const replaced = tried.replace(late.program, succession);
  await sleep(700);
  t.not(processStartTime(old), null, 'after seven of its seconds it serves');
  t.not(status(system)?.[0], 'False');
  t.deepEqual(succession.freed, []);
  late.answers = true;
  await replaced;
  t.deepEqual([succession.told, succession.freed], [[old], [old]]);
  t.true(await until(() => processStartTime(old) === null), 'it is ended afterwards');
  t.deepEqual(system.reports, []);
});

test('a successor that does not answer is tried once more before the old one is ended', async (t) => {
  const system = hurried(open(t));
  t.teardown(() => releaseServices(system));
  const tried = service(system, 'sleeper');
  await tried.start(sleeper(unique()));
  const old = tried.pid as number;
  const late = new Late();
  const succession = noted();
  const tries: (number | null)[] = [];
  const replaced = tried.replace(late.program, {
    ...succession,
    before: async (those) => {
      tries.push(tried.pid);
      t.not(processStartTime(old), null);
      t.not(status(system)?.[0], 'False', 'there is one that serves');
      await succession.before(those);
    },
  });
  await t.throwsAsync(replaced, { code: 'service-not-ready' }, 'nor does it answer after a restart');
  t.deepEqual(succession.told, [old, old]);
  t.deepEqual(tries, [null, null], 'the first successor was ended before the second came');
  t.is(processStartTime(old), null);
  t.deepEqual(
    system.reports.map(({ type }) => type),
    ['router.service-not-succeeded'],
  );
  late.answers = true;
  t.is(await tried.start(late.program), 'running');
});

test('waits longer from failure to failure', (t) => {
  t.deepEqual([0, 1, 2, 3, 4, 20].map(restartDelay), [0, 100, 200, 400, 800, 30_000]);
});

test('a text diff has every line that came or went, and nothing when nothing did', (t) => {
  t.is(textDiff('f', 'a\nb\n', 'a\nb\n'), '');
  t.is(textDiff('f', 'a\nb\n', 'a\nc\n'), '--- f\n+++ f\n-b\n+c\n');
  t.is(textDiff('f', null, 'a\n'), '--- /dev/null\n+++ f\n+a\n');
  t.is(textDiff('f', 'a\nb\n', 'b\na\n'), '--- f\n+++ f\n (the same lines in another order)\n');
  const lines = fc.array(fc.constantFrom('a', 'b', 'c'));
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const text = textDiff('f', before.join('\n'), after.join('\n'));
      const marked = text.split('\n').slice(2);
      const left: string[] = [...before];
      for (const line of marked) if (line.startsWith('-')) left.splice(left.indexOf(line.slice(1)), 1);
      for (const line of marked) if (line.startsWith('+')) left.push(line.slice(1));
      return left.toSorted().join() === after.toSorted().join();
    }),
  );
});
