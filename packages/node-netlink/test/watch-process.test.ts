import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { processStartTime, watchProcess } from 'node-netlink';

const ended = (pid: number): Promise<void> => new Promise((resolve) => watchProcess(pid, resolve));

test('the end of a child is seen, and of a process that is none of our children', async (t) => {
  const child = spawn('sleep', ['0.2']);
  await ended(child.pid ?? 0);
  // The shell starts a sleep of its own, tells its id and goes: the sleep is nobody's child of ours.
  const shell = spawn('sh', ['-c', 'sleep 1 >/dev/null & echo $!']);
  const [line] = (await once(shell.stdout, 'data')) as [Buffer];
  const pid = Number(line.toString());
  t.not(processStartTime(pid), null);
  let early = true;
  const watch = ended(pid).then(() => {
    early = false;
  });
  await delay(50);
  t.true(early);
  await watch;
  t.is(processStartTime(pid), null);
});

test('a process that is gone is reported, but never during the call', async (t) => {
  const child = spawn('true');
  await once(child, 'exit');
  let during = true;
  let called = false;
  const done = new Promise<void>((resolve) => {
    watchProcess(child.pid ?? 0, () => {
      called = !during;
      resolve();
    });
  });
  during = false;
  await done;
  t.true(called);
});

test('a closed watch is silent, and many are cheap', async (t) => {
  const child = spawn('sleep', ['0.2']);
  let calls = 0;
  const watches = Array.from({ length: 100 }, () => watchProcess(child.pid ?? 0, () => (calls += 1)));
  for (const watch of watches.slice(0, 60)) watch.close();
  await once(child, 'exit');
  for (let i = 0; i < 400 && calls < 40; i += 1) await delay(5);
  await delay(50);
  t.is(calls, 40);
  for (const watch of watches) watch.close();
});

test('a start time tells processes apart', (t) => {
  const mine = processStartTime(process.pid);
  t.is(processStartTime(process.pid), mine);
  t.true((mine ?? 0) > 0);
  t.not(processStartTime(1), mine);
  t.is(processStartTime(4194305), null);
});
