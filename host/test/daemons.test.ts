/** Daemons that hang, crash again and again, or are to be started anew: packets do not notice, and the status tells. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { idOf } from './fixtures/documents.ts';
import { Rig } from './fixtures/rig.ts';
import { applied, documentOf, said, settlesTo, visitor, wanted } from './fixtures/router-chain.ts';

const id = idOf('rtr', 1);

const daemonOf = (rig: Rig): number => {
  try {
    const file = join(rig.state, 'host', 'routers', id, 'daemon.json');
    return (JSON.parse(readFileSync(file, 'utf8')) as { readonly pid: number }).pid;
  } catch {
    // Between two daemons there is none.
    return 0;
  }
};

const network = wanted(1, { segments: [1], routers: [1], active: 1 }, visitor);

const restart = (rig: Rig, router: string) =>
  rig.controller.ask({ type: 'request', method: 'restart-daemon', params: { router } });

/** Another daemon than this runs, and listens. */
const another = async (rig: Rig, pid: number): Promise<boolean> =>
  settlesTo(true, () => ![0, pid].includes(daemonOf(rig)), 400);

test('a daemon is started anew on request, and by itself when it hangs; packets do not notice', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.routers.set(id, documentOf(1));
  rig.controller.document = network;
  // With a quarter of the patience.
  await rig.agent({ patience: { wait: 1, late: 1, last: 0.5 } });
  await rig.controller.ready(1);
  await applied(rig, 1);
  await rig.address(11, '10.1.1.11');
  t.true(await rig.reaches(11, '10.1.1.1'));
  const probes = rig.start(rig.namespaceOf(11), 'ping', '-n', '-q', '-i', '0.01', '10.1.1.1');
  const probed = said(probes);
  const first = daemonOf(rig);
  const answer = await restart(rig, id);
  t.deepEqual('result' in answer ? answer.result : answer, { router: id });
  const second = daemonOf(rig);
  t.not(second, first);
  const { appliedGeneration } = rig.controller.routerStatuses.at(-1) ?? {};
  t.is(appliedGeneration, 1);
  // Stopped, it answers nothing, and its sockets still take what is said to them.
  process.kill(second, 'SIGSTOP');
  const since = performance.now();
  const unresponsive = () => rig.controller.events.some(({ type }) => type === 'host.router-unresponsive');
  await rig.controller.until('its silence noticed', unresponsive, 30_000);
  const noticed = performance.now() - since;
  t.true(await another(rig, second));
  await rig.controller.until('a status of the third', () =>
    rig.controller.routerStatuses.some(({ startedAt }) => startedAt > Date.now() - 5000),
  );
  probes.kill('SIGINT');
  await once(probes, 'exit');
  const [, transmitted, received] = /(\d+) packets transmitted, (\d+) received/.exec(probed()) ?? [];
  t.is(received, transmitted);
  t.log(`noticed after ${(noticed / 1000).toFixed(1)} s; ${transmitted} probes`);
  const unknown = await restart(rig, idOf('rtr', 9));
  t.is('problem' in unknown ? unknown.problem.code : unknown.type, 'unknown-router');
});

test('a daemon that ends three times in ten seconds is told as failed', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.routers.set(id, documentOf(1));
  rig.controller.document = network;
  await rig.agent();
  await rig.controller.ready(1);
  await applied(rig, 1);
  for (let time = 1; time <= 3; time += 1) {
    const pid = daemonOf(rig);
    process.kill(pid, 'SIGKILL');
    t.true(await another(rig, pid));
    const { state } = rig.controller.statuses.at(-1)?.machines.find((machine) => machine.id === id) ?? {};
    if (time < 3) t.not(state, 'failed');
    await sleep(100);
  }
  const failed = await rig.controller.machine(id, 'failed');
  t.regex(failed.message, /ended 3 times within 10 s/);
});

test('a daemon that does not listen after a restart is said to be so, 5 s later', async (t) => {
  const rig = await Rig.make(t, join(import.meta.dirname, 'fixtures', 'mute-daemon.ts'));
  rig.controller.document = network;
  await rig.agent();
  t.true(await another(rig, 0));
  const since = performance.now();
  const answer = await restart(rig, id);
  t.is('problem' in answer ? answer.problem.code : answer.type, 'daemon-not-listening');
  t.true(performance.now() - since > 4000);
});
