/** Who answers nothing: a daemon that hangs is started anew, one that is starved is not, and none when it was us who were away. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { RouterDaemons } from '../failover/router-daemons.ts';
import type { ProcessorUse } from '../machines/machine.ts';
import { processorUseOf } from '../machines/namespace/processor-use.ts';
import { LoopLag } from '../routers/loop-lag.ts';
import { RouterDelivery } from '../routers/router-delivery.ts';
import { judgeSilence, LONGEST_SILENCE, type Silence, waitedBetween } from '../routers/silence.ts';
import { idOf } from './fixtures/documents.ts';
import { Rig } from './fixtures/rig.ts';
import { applied, documentOf, settlesTo, visitor, wanted } from './fixtures/router-chain.ts';

const use = (waited: number, more: Partial<ProcessorUse> = {}): ProcessorUse => ({
  ran: 100,
  waited,
  runnable: false,
  ...more,
});

test('silence is a daemon’s own only when we were there, and it could run', (t) => {
  const hung: Silence = {
    asked: 2000,
    silentFor: 10_000,
    ownLag: 0,
    before: use(5000),
    after: use(5000),
  };
  const judge = (more: Partial<Silence>) => judgeSilence({ ...hung, ...more }, 10_000);
  t.is(judge({}), 'hung');
  t.is(judge({ before: null, after: null }), 'hung', 'where nothing is known of it');
  t.is(judge({ silentFor: 9999 }), 'early');
  t.is(judge({ ownLag: 999 }), 'hung');
  t.is(judge({ ownLag: 1001 }), 'void');
  t.is(judge({ after: use(5390) }), 'hung');
  t.is(judge({ after: use(5500) }), 'starved');
  t.is(judge({ after: use(5000, { runnable: true }) }), 'starved', 'it did not get to run');
  t.is(judge({ after: use(5000, { runnable: true, ran: 110 }) }), 'starved', 'it ran once, and waits');
  t.is(judge({ after: use(5000, { runnable: true, ran: 2000 }) }), 'hung', 'it ran all the time');
  const long = { silentFor: LONGEST_SILENCE };
  t.is(judge({ ...long, after: use(9000) }), 'hung');
  t.is(judge({ ...long, ownLag: 1001 }), 'hung');
});

const block = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

test.serial('our own absence is measured, also by the first who asks after it', async (t) => {
  const lag = new LoopLag();
  t.teardown(() => lag.close());
  await sleep(20);
  const since = performance.now();
  block(1500);
  const first = lag.since(since);
  t.true(first > 1150 && first < 1600, `${first}`);
  await sleep(300);
  t.true(lag.since(since) >= first);
  t.true(lag.since(performance.now()) < 300);
});

test.serial('waiting for a processor is told from being stopped', async (t) => {
  const busy = Array.from({ length: 3 }, () =>
    spawn('taskset', ['-c', '0', process.execPath, '-e', 'for(;;);'], { stdio: 'ignore' }),
  );
  t.teardown(() => busy.map((child) => child.kill('SIGKILL')));
  const pid = busy[0]?.pid ?? 0;
  await sleep(500);
  const waits = async () => {
    const before = processorUseOf(pid);
    const since = performance.now();
    await sleep(1000);
    const asked = performance.now() - since;
    return waitedBetween(before, processorUseOf(pid), asked) / asked;
  };
  const running = await waits();
  process.kill(pid, 'SIGSTOP');
  await sleep(50);
  const stopped = await waits();
  t.log(`waited for ${(running * 100).toFixed(0)} % of the time, and stopped for ${stopped * 100} %`);
  t.true(running > 0.3);
  t.is(stopped, 0);
  t.is(processorUseOf(2 ** 22 + 1), null);
});

test('of several that are silent one at a time is started anew', (t) => {
  const restarted: string[] = [];
  const daemons = new RouterDaemons({
    restart: (router) => restarted.push(router) > 0,
    listensAnew: () => undefined,
    report: () => {},
    onChange: () => {},
  });
  t.teardown(() => daemons.close());
  t.true(daemons.silent('a', 10));
  t.false(daemons.silent('b', 10));
  t.true(daemons.silent('a', 10));
  daemons.listens('a');
  t.true(daemons.silent('b', 10));
  t.deepEqual(restarted, ['a', 'a', 'b']);
});

/** A daemon that is well and takes 150 ms for an answer. */
const slow = `
  const { createServer } = require('node:http');
  createServer((request, response) => {
    const body = request.url.startsWith('/v1/status')
      ? { appliedGeneration: 0, conditions: [] } : { items: [] };
    setTimeout(() => response.end(JSON.stringify(body)), 150);
  }).listen(process.argv[1], () => console.log('listens'));
`;

/** Whether a daemon that is well is said to be silent after what happens to it, or to us. */
const blamed = async (
  t: ExecutionContext,
  happens: (pid: number) => Promise<void>,
  know: { readonly lag?: LoopLag; readonly use?: (pid: number) => ProcessorUse | null } = {},
): Promise<boolean> => {
  const lag = know.lag ?? new LoopLag();
  t.teardown(() => lag.close());
  const { use: useOf = processorUseOf } = know;
  const directory = mkdtempSync(join(tmpdir(), 'svt-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const daemon = spawn(process.execPath, ['-e', slow, join(directory, 'control.sock')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => daemon.kill('SIGKILL'));
  const { pid } = daemon;
  if (pid === undefined) throw new Error('no daemon');
  await once(daemon.stdout, 'data');
  let silent = false;
  let listens = false;
  const delivery = new RouterDelivery({
    id: 'rtr-1',
    directory,
    fetchDocument: () => Promise.resolve(null),
    putStatus: () => Promise.resolve(),
    cursor: () => null,
    takeEvents: () => {},
    report: () => {},
    onTrouble: () => {},
    onListens: () => {
      listens = true;
    },
    onSilent: () => {
      silent = true;
      return true;
    },
    patience: { wait: 0.5, late: 0.5, last: 0.5 },
    lag,
    processorUse: () => useOf(pid),
  });
  t.teardown(() => delivery.close());
  delivery.open();
  t.true(await settlesTo(true, () => listens));
  await sleep(100);
  await happens(pid);
  return silent;
};

const immediate = () => new Promise<void>((resolve) => void setImmediate(resolve));

/** Away while a question is open; back for so long that the next one is asked; away again. */
const away = async (): Promise<void> => {
  for (let time = 0; time < 2; time += 1) {
    // What is due comes before what can be read when Node goes on from here.
    await immediate();
    block(2500);
    await sleep(60);
    await immediate();
    block(1500);
    await sleep(2000);
  }
};

test.serial('an agent that was away blames no daemon for it', async (t) => {
  t.false(await blamed(t, away));
  const blind = new LoopLag();
  blind.since = () => 0;
  t.true(await blamed(t, away, { lag: blind }), 'one that does not know of its absence does');
});

const controllers = '/sys/fs/cgroup/cpu';

test.serial('a daemon that gets a thousandth of a processor is not blamed for it', async (t) => {
  if (!existsSync(join(controllers, 'cpu.cfs_quota_us'))) {
    t.pass('nobody can be starved on this machine');
    return;
  }
  const group = join(controllers, `svt${process.pid}`);
  mkdirSync(group);
  t.teardown(() => {
    const left = readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
    for (const pid of left) writeFileSync(join(controllers, 'cgroup.procs'), pid);
    rmdirSync(group);
  });
  writeFileSync(join(group, 'cpu.cfs_period_us'), '1000000');
  writeFileSync(join(group, 'cpu.cfs_quota_us'), '1000');
  const starve = async (pid: number): Promise<void> => {
    writeFileSync(join(group, 'cgroup.procs'), String(pid));
    await sleep(8000);
    // It ends sooner with something to run on.
    writeFileSync(join(controllers, 'cgroup.procs'), String(pid));
  };
  t.false(await blamed(t, starve));
  t.true(await blamed(t, starve, { use: () => null }), 'whoever does not ask the scheduler does');
});

test.serial('an agent that is stopped and goes on ends no daemon but the one that hangs', async (t) => {
  const rig = await Rig.make(t);
  const numbers = [1, 2, 3];
  for (const number of numbers) rig.controller.routers.set(idOf('rtr', number), documentOf(number));
  rig.controller.document = wanted(1, { segments: [1], routers: numbers, active: 1 }, visitor);
  const agent = rig.program();
  await rig.controller.ready(1);
  await Promise.all(numbers.map((number) => applied(rig, number)));
  const daemonOf = (number: number): number => {
    try {
      const file = join(rig.state, 'host', 'routers', idOf('rtr', number), 'daemon.json');
      return (JSON.parse(readFileSync(file, 'utf8')) as { readonly pid: number }).pid;
    } catch {
      // Between two daemons there is none.
      return 0;
    }
  };
  const before = numbers.map(daemonOf);
  const unresponsive = () => rig.controller.events.filter(({ type }) => type === 'host.router-unresponsive');
  for (const away of [10_000, 4000, 4000]) {
    agent.kill('SIGSTOP');
    await sleep(away);
    agent.kill('SIGCONT');
    await sleep(30);
  }
  await sleep(5000);
  t.deepEqual(numbers.map(daemonOf), before);
  t.deepEqual(unresponsive(), []);
  process.kill(before[1] ?? 0, 'SIGSTOP');
  await rig.controller.until('the silent one noticed', () => unresponsive().length > 0, 30_000);
  t.true(await settlesTo(true, () => ![0, before[1]].includes(daemonOf(2)), 200));
  t.deepEqual(
    unresponsive().map(({ subject }) => subject),
    [idOf('rtr', 2)],
  );
  t.deepEqual([daemonOf(1), daemonOf(3)], [before[0], before[2]]);
});
