/** Standbys that take over from routers that die, on the real kernel with real routers: in every way, and whatever of ours dies with them. */
import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { HostDocument, RouterDocument } from 'documents';
import {
  links,
  monitor as watchEntries,
  namespaces,
  openConntrackSocket,
  openRouteSocket,
} from 'node-netlink';
import { bundleRouter } from '../../scripts/bundle.ts';
import { fenceOf, placementsOf } from '../failover/promotion.ts';
import { routersOnDuty } from '../failover/on-duty.ts';
import { namespacePath } from '../names.ts';
import { guest, idOf, macOf, type Part, standingBy } from './fixtures/documents.ts';
import { followOwnership } from './fixtures/ownership.ts';
import { type Probes, startProbes } from './fixtures/probes.ts';
import { Rig } from './fixtures/rig.ts';
import { applied, gatewayMac, network, said, settlesTo, visitor, wanted } from './fixtures/router-chain.ts';
import { routerDocument } from './fixtures/router-document.ts';

const segments = [1];
const guestPort = (number: number) => `pt${String(1000 + number * 10).padStart(12, '0')}`;

const documentOf = (number: number): RouterDocument => {
  const document = routerDocument(1, [], `router-${number}`);
  const [leg] = document.legs;
  if (leg === undefined) throw new TypeError('a leg is needed');
  return { ...document, id: idOf('rtr', number), legs: [{ ...leg, mac: gatewayMac }] };
};

/** Router `active` serves, `standby` stands by for it. */
const pair = (generation: number, active: number, standby: number | null): HostDocument =>
  wanted(
    generation,
    { segments, routers: standby === null ? [active] : [active, standby], active },
    visitor,
    ...(standby === null ? [] : [standingBy(active, standby)]),
  );

const rigOf = async (t: ExecutionContext, routers: number, bundle?: string): Promise<Rig> => {
  const rig = await Rig.make(t, bundle);
  for (let number = 1; number <= routers; number += 1)
    rig.controller.routers.set(idOf('rtr', number), documentOf(number));
  return rig;
};

/** The port of a router has carrier: its router has configured it. */
const carries = async (rig: Rig, number: number): Promise<void> => {
  const carrier = () => rig.links().find(({ name }) => name === guestPort(number))?.carrier === true;
  if (!(await settlesTo(true, carrier, 300))) throw new Error(`router ${number} has no carrier`);
};

const ready = async (rig: Rig, ...numbers: readonly number[]): Promise<void> => {
  await Promise.all(numbers.map((number) => applied(rig, number)));
  await Promise.all(numbers.map((number) => carries(rig, number)));
};

const failedOver = (rig: Rig, number: number) =>
  rig.controller.events.find(
    ({ type, subject }) => type === 'host.failed-over' && subject === idOf('rtr', number),
  );

const killAll = (pids: readonly number[]): void => {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It went with another one.
    }
  }
};

const directoryOf = (rig: Rig, number: number): string =>
  join(rig.state, 'host', 'routers', idOf('rtr', number));

const daemonOf = (rig: Rig, number: number): number => {
  const file = join(directoryOf(rig, number), 'daemon.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly pid: number }).pid;
};

/** Processes that know of the directory of a router. */
const remainsOf = (rig: Rig, number: number): readonly string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return (
        /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directoryOf(rig, number))
      );
    } catch {
      // It ended after it was listed.
      return false;
    }
  });

/** All ways in which a router dies. */
const deaths: Readonly<Record<string, (rig: Rig, number: number) => void>> = {
  'namespace and processes gone': (rig, number) => {
    const namespace = rig.namespaceOf(number, 'rtr');
    killAll(rig.processesIn(namespace));
    namespaces.remove(namespace);
  },
  'namespace without a name, processes alive': (rig, number) =>
    namespaces.remove(rig.namespaceOf(number, 'rtr')),
  'port removed in the fabric': (rig, number) => {
    using route = openRouteSocket({ netns: rig.fabric });
    route.send(links.remove({ name: guestPort(number) }));
  },
  'port down in the router': (rig, number) => {
    using route = openRouteSocket({ netns: rig.namespaceOf(number, 'rtr') });
    route.send(links.set({ name: 'guest0', up: false }));
  },
  'all processes killed, the daemon first': (rig, number) => {
    const daemon = daemonOf(rig, number);
    killAll([daemon, ...rig.processesIn(rig.namespaceOf(number, 'rtr')).filter((pid) => pid !== daemon)]);
  },
  'all processes killed, the daemon last': (rig, number) => {
    const daemon = daemonOf(rig, number);
    killAll([...rig.processesIn(rig.namespaceOf(number, 'rtr')).filter((pid) => pid !== daemon), daemon]);
  },
  'another namespace in its place before anybody looks': (rig, number) => {
    namespaces.remove(rig.namespaceOf(number, 'rtr'));
    namespaces.create(rig.namespaceOf(number, 'rtr'));
  },
};

const answersAfter = async (probes: Probes, time: number): Promise<boolean> =>
  settlesTo(true, () => probes.last() > time, 200);

test.serial(
  'a router dies in every way under probes: its standby takes over, and never two own a MAC',
  async (t) => {
    const ways = Object.entries(deaths);
    const rig = await rigOf(t, ways.length + 2, await bundleRouter());
    rig.controller.document = pair(1, 1, 2);
    rig.program();
    await rig.controller.ready(1);
    await ready(rig, 1, 2);
    await rig.address(11, '10.1.1.11');
    t.true(await rig.reaches(11, '10.1.1.1'));
    const { ownership, monitor } = followOwnership(rig.fabric);
    t.teardown(() => monitor.close());
    const probes = startProbes(rig, rig.namespaceOf(11), '10.1.1.1');
    t.true(await answersAfter(probes, 0));
    // Its daemon alone is not the router.
    const before = daemonOf(rig, 1);
    const since = Date.now();
    process.kill(before, 'SIGKILL');
    await rig.controller.until('a new daemon', () =>
      rig.controller.routerStatuses.some(({ id, startedAt }) => id === idOf('rtr', 1) && startedAt > since),
    );
    t.true(await answersAfter(probes, Date.now()));
    t.deepEqual(
      ownership.history.filter((line) => line.startsWith(gatewayMac)),
      [`${gatewayMac} ${idOf('rtr', 1)}`],
    );
    t.is(failedOver(rig, 2), undefined);
    const told: string[] = [];
    for (const [index, [way, kill]] of ways.entries()) {
      const [dead, standby, next] = [index + 1, index + 2, index + 3];
      const killedAt = Date.now();
      kill(rig, dead);
      await rig.controller.until(`${way}: failover`, () => failedOver(rig, standby) !== undefined);
      t.true(await answersAfter(probes, Date.now()), way);
      // The remains go before the controller says anything.
      t.false(await settlesTo(false, () => namespaces.exists(rig.namespaceOf(dead, 'rtr')), 100), way);
      t.false(await settlesTo(false, () => rig.links().some(({ name }) => name === guestPort(dead))), way);
      // Also those whose namespace has no name any more.
      t.deepEqual(await settlesTo([], () => remainsOf(rig, dead)), [], way);
      const reported = () =>
        rig.controller.statuses
          .findLast(({ failovers }) => failovers !== undefined)
          ?.failovers?.find(({ router }) => router === idOf('rtr', dead));
      await rig.controller.until(`${way}: its report`, () => reported() !== undefined);
      const report = reported();
      t.is(report?.promoted, idOf('rtr', standby), way);
      rig.controller.publish(pair(index + 2, standby, next));
      await rig.controller.ready(index + 2);
      await ready(rig, next);
      await rig.controller.until(
        `${way}: the document knows of it`,
        () => rig.controller.statuses.at(-1)?.failovers === undefined,
      );
      told.push(
        `${way}: ${probes.longestGap(killedAt).toFixed(0)} ms without answers, ${report?.reason}, ${report?.microseconds} µs`,
      );
    }
    await probes.end();
    t.deepEqual(ownership.clashes, []);
    t.deepEqual(
      ownership.history.filter((line) => line.startsWith(gatewayMac)),
      ways
        .map((_, index) => `${gatewayMac} ${idOf('rtr', index + 1)}`)
        .concat(`${gatewayMac} ${idOf('rtr', ways.length + 1)}`),
    );
    t.log(`${probes.received()} answers, longest ${probes.longestGap().toFixed(0)} ms apart`);
    for (const line of told) t.log(line);
  },
);

test.serial('killed before, in and after a promotion, the next agent ends with one owner', async (t) => {
  const rounds = 3;
  const rig = await rigOf(t, rounds + 5, await bundleRouter());
  let generation = 1;
  rig.controller.document = pair(generation, 1, 2);
  let program: ChildProcess = rig.program();
  await rig.controller.ready(1);
  await ready(rig, 1, 2);
  await rig.address(11, '10.1.1.11');
  const kill = async () => {
    const ended = program.exitCode === null && program.signalCode === null ? once(program, 'exit') : null;
    program.kill('SIGKILL');
    await ended;
  };
  const { ownership, monitor } = followOwnership(rig.fabric);
  t.teardown(() => monitor.close());
  const probes = startProbes(rig, rig.namespaceOf(11), '10.1.1.1');
  t.true(await answersAfter(probes, 0));
  const owners = () =>
    ownership.history.filter((line) => line.startsWith(gatewayMac)).map((line) => line.split(' ')[1]);
  /** The new agent alone, without a controller to ask; then a next standby. */
  const takesOver = async (number: number, what: string) => {
    const hellos = rig.controller.hellos.length;
    rig.controller.broken = true;
    program = rig.program();
    t.is(await settlesTo(idOf('rtr', number), () => owners().at(-1), 200), idOf('rtr', number), what);
    t.true(await answersAfter(probes, Date.now() + 20), what);
    t.false(await settlesTo(false, () => namespaces.exists(rig.namespaceOf(number - 1, 'rtr')), 200), what);
    rig.controller.broken = false;
    generation += 1;
    await rig.controller.until('hello', () => rig.controller.hellos.length > hellos);
    rig.controller.publish(pair(generation, number, number + 1));
    const statuses = rig.controller.statuses.length;
    await rig.controller.until('ready', () =>
      rig.controller.statuses
        .slice(statuses)
        .some(
          ({ observedGeneration, conditions }) =>
            observedGeneration === generation && conditions[0]?.status === 'True',
        ),
    );
    await ready(rig, number + 1);
  };
  // Dead while nobody looked. Until then nothing brings the traffic back: it is the promotion that does.
  await kill();
  deaths['namespace and processes gone']?.(rig, 1);
  // The kernel takes a namespace apart when it finds the time.
  t.true(await settlesTo(true, () => Date.now() - probes.last() > 300), 'without an agent nobody takes over');
  await takesOver(2, 'before');
  // On record, and not done yet; and the one it takes over from is as alive as can be.
  await kill();
  const record = {
    router: idOf('rtr', 2),
    promoted: idOf('rtr', 3),
    at: Date.now(),
    reason: 'test',
    microseconds: 0,
  };
  writeFileSync(join(rig.state, 'host', 'failovers.json'), JSON.stringify({ failovers: [record] }));
  await takesOver(3, 'on record');
  // Done, and nothing after it.
  const index = rig.links().find(({ name }) => name === guestPort(4))?.index;
  const done = new Promise<void>((resolve) => {
    const watching = watchEntries({ netns: rig.fabric, groups: ['neighbour'] }, (event) => {
      if (event.type !== 'fdb' || event.change !== 'set' || event.entry.link !== index) return;
      program.kill('SIGKILL');
      watching.close();
      resolve();
    });
  });
  deaths['port removed in the fabric']?.(rig, 3);
  await done;
  await takesOver(4, 'done');
  // At any moment. Ways that a daemon or a new agent could put right are left out: who owns the MAC then is a matter of luck.
  const ways = Object.values(deaths).slice(0, 3);
  for (let round = 0; round < rounds; round += 1) {
    const number = 4 + round;
    const moment = Math.random() * 24 - 8;
    const dies = sleep(Math.max(0, -moment)).then(() => ways[round % ways.length]?.(rig, number));
    await Promise.all([dies, sleep(Math.max(0, moment)).then(kill)]);
    await takesOver(number + 1, `way ${round % ways.length}, the agent ${moment.toFixed(1)} ms later`);
  }
  await probes.end();
  t.deepEqual(ownership.clashes, []);
  t.log(owners().join(' '));
});

/** Right after each step of a promotion, and when it has been told of. */
const steps = ['recorded', 'fenced', 'placed', 'written', 'told'] as const;

test.serial(
  'killed right after each step of a promotion, the next agent does the rest of them',
  async (t) => {
    const rig = await rigOf(t, steps.length + 2, await bundleRouter());
    let generation = 1;
    rig.controller.document = pair(generation, 1, 2);
    let program: ChildProcess = rig.program();
    await rig.controller.ready(1);
    await ready(rig, 1, 2);
    await rig.address(11, '10.1.1.11');
    const { ownership, monitor } = followOwnership(rig.fabric);
    t.teardown(() => monitor.close());
    const probes = startProbes(rig, rig.namespaceOf(11), '10.1.1.1');
    t.true(await answersAfter(probes, 0));
    const file = join(rig.state, 'host', 'failovers.json');
    const onRecord = () =>
      (JSON.parse(readFileSync(file, 'utf8')) as { failovers: { router: string; microseconds: number }[] })
        .failovers;
    const owner = () => ownership.history.findLast((line) => line.startsWith(gatewayMac))?.split(' ')[1];
    const started = async (meddled: Readonly<Record<string, string>> | null) => {
      const hellos = rig.controller.hellos.length;
      const statuses = rig.controller.statuses.length;
      program = rig.program(meddled);
      await rig.controller.until('hello', () => rig.controller.hellos.length > hellos);
      await rig.controller.until('its status', () => rig.controller.statuses.length > statuses + 1);
    };
    const ends = async () => {
      const ended = program.exitCode === null && program.signalCode === null ? once(program, 'exit') : null;
      program.kill('SIGKILL');
      await ended;
    };
    for (const [index, step] of steps.entries()) {
      const [dead, standby] = [index + 1, index + 2];
      await ends();
      const link = rig.links().find(({ name }) => name === guestPort(dead));
      await started({ SVT_DIE_AT: step, SVT_PORT: String(link?.index) });
      const exit = once(program, 'exit');
      // As alive as can be: what a promotion that is not finished leaves must not be heard twice.
      deaths['namespace without a name, processes alive']?.(rig, dead);
      if (step === 'told') {
        const told = () =>
          rig.controller.statuses.some(({ failovers }) =>
            failovers?.some(({ router }) => router === idOf('rtr', dead)),
          );
        await rig.controller.until('told', told);
        program.kill('SIGKILL');
      }
      const [, signal] = (await exit) as [number | null, string | null];
      t.is(signal, 'SIGKILL', step);
      // It went no further than that.
      t.deepEqual(
        onRecord().map(({ router }) => router),
        [idOf('rtr', dead)],
        step,
      );
      t.is(onRecord()[0]?.microseconds === 0, index < steps.indexOf('written'), step);
      const up = rig.links().find(({ name }) => name === guestPort(dead))?.up;
      if (step === 'recorded') t.true(up);
      else if (step !== 'told') t.false(up);
      const expected = index < steps.indexOf('placed') ? dead : standby;
      t.is(await settlesTo(idOf('rtr', expected), owner, 20), idOf('rtr', expected), step);
      // The next agent, by what is on record alone.
      const hellos = rig.controller.hellos.length;
      rig.controller.broken = true;
      program = rig.program();
      t.is(await settlesTo(idOf('rtr', standby), owner, 200), idOf('rtr', standby), step);
      t.true(await answersAfter(probes, Date.now() + 20), step);
      t.deepEqual(await settlesTo([], () => remainsOf(rig, dead), 200), [], step);
      rig.controller.broken = false;
      await rig.controller.until('hello', () => rig.controller.hellos.length > hellos);
      const reported = () =>
        rig.controller.statuses.at(-1)?.failovers?.some(({ router }) => router === idOf('rtr', dead)) ===
        true;
      await rig.controller.until(`${step}: its report`, reported);
      generation += 1;
      rig.controller.publish(pair(generation, standby, standby + 1));
      await rig.controller.ready(generation);
      await ready(rig, standby + 1);
      t.deepEqual(await settlesTo([], onRecord), [], step);
    }
    await probes.end();
    t.deepEqual(ownership.clashes, []);
    t.deepEqual(
      ownership.history.filter((line) => line.startsWith(gatewayMac)),
      [1, ...steps.map((_, index) => index + 2)].map((number) => `${gatewayMac} ${idOf('rtr', number)}`),
    );
  },
);

test.serial(
  'an agent that is refused the fence promotes nobody until its pass has removed the dead one',
  async (t) => {
    const rig = await rigOf(t, 2, await bundleRouter());
    rig.controller.document = pair(1, 1, 2);
    const first = rig.program();
    await rig.controller.ready(1);
    await ready(rig, 1, 2);
    await rig.address(11, '10.1.1.11');
    const ended = once(first, 'exit');
    first.kill('SIGKILL');
    await ended;
    const { ownership, monitor } = followOwnership(rig.fabric);
    t.teardown(() => monitor.close());
    const probes = startProbes(rig, rig.namespaceOf(11), '10.1.1.1');
    t.true(await answersAfter(probes, 0));
    const link = rig.links().find(({ name }) => name === guestPort(1));
    const hellos = rig.controller.hellos.length;
    rig.program({ SVT_PORT: String(link?.index), SVT_REFUSES_FENCE: 'yes' });
    await rig.controller.until('hello', () => rig.controller.hellos.length > hellos);
    const killedAt = Date.now();
    deaths['namespace without a name, processes alive']?.(rig, 1);
    await rig.controller.until('failover', () => failedOver(rig, 2) !== undefined);
    t.true(await answersAfter(probes, Date.now() + 20));
    const types = rig.controller.events.map(({ type }) => type);
    t.is(types.filter((type) => type === 'host.not-fenced').length, 1);
    t.true(types.indexOf('host.not-fenced') < types.indexOf('host.failed-over'));
    t.false(types.includes('host.router-died'));
    await rig.controller.until(
      'its report',
      () => rig.controller.statuses.at(-1)?.failovers?.[0]?.router === idOf('rtr', 1),
    );
    const conditions = () => rig.controller.statuses.at(-1)?.conditions.map(({ status }) => status);
    t.deepEqual(await settlesTo(['True', 'True', 'True', 'True', 'True'], conditions), [
      'True',
      'True',
      'True',
      'True',
      'True',
    ]);
    await probes.end();
    t.log(`${probes.longestGap(killedAt).toFixed(0)} ms without answers`);
    t.deepEqual(ownership.clashes, []);
    t.deepEqual(
      ownership.history.filter((line) => line.startsWith(gatewayMac)),
      [1, 2].map((number) => `${gatewayMac} ${idOf('rtr', number)}`),
    );
  },
);

test.serial(
  'while a dead router cannot be cut off at all nobody takes over, whoever is the agent; it is told why',
  async (t) => {
    const rig = await rigOf(t, 2, await bundleRouter());
    rig.controller.document = pair(1, 1, 2);
    let program = rig.program();
    await rig.controller.ready(1);
    await ready(rig, 1, 2);
    const link = rig.links().find(({ name }) => name === guestPort(1));
    const obstacle = join(rig.state, 'refused');
    writeFileSync(obstacle, '');
    const meddled = { SVT_PORT: String(link?.index), SVT_REFUSES_ALL_WHILE: obstacle };
    const next = async () => {
      const ended = once(program, 'exit');
      program.kill('SIGKILL');
      await ended;
      const hellos = rig.controller.hellos.length;
      program = rig.program(meddled);
      await rig.controller.until('hello', () => rig.controller.hellos.length > hellos);
    };
    await next();
    const { ownership, monitor } = followOwnership(rig.fabric);
    t.teardown(() => monitor.close());
    // Whoever holds its namespace open keeps its ports, though all its processes are gone.
    const held = openSync(namespacePath(rig.namespaceOf(1, 'rtr')), 'r');
    t.teardown(() => closeSync(held));
    deaths['namespace without a name, processes alive']?.(rig, 1);
    const told = () => rig.controller.events.filter(({ type }) => type === 'host.not-fenced').length;
    const isFailed = () => {
      const { conditions = [], machines = [], failovers } = rig.controller.statuses.at(-1) ?? {};
      const fabric = conditions.find(({ type }) => type === 'FabricApplied');
      const dead = machines.find(({ id }) => id === idOf('rtr', 1));
      return (
        fabric?.status === 'False' &&
        /cannot be set down: change link #\d+: EPERM/.test(fabric.message) &&
        dead?.state === 'failed' &&
        failovers === undefined
      );
    };
    for (const agent of [1, 2]) {
      await rig.controller.until(`agent ${agent} tells why`, () => told() === agent && isFailed());
      // Passes come and go.
      await sleep(1500);
      t.is(told(), agent);
      t.true(isFailed());
      t.true(rig.links().some(({ name, up }) => name === guestPort(1) && up));
      t.deepEqual(remainsOf(rig, 1), []);
      if (agent === 1) await next();
    }
    t.deepEqual(
      ownership.history.filter((line) => line.startsWith(gatewayMac)),
      [`${gatewayMac} ${idOf('rtr', 1)}`],
    );
    t.is(failedOver(rig, 2), undefined);
    rmSync(obstacle);
    await rig.controller.until('failover', () => failedOver(rig, 2) !== undefined, 20_000);
    await rig.controller.until(
      'its report',
      () => rig.controller.statuses.at(-1)?.failovers?.[0]?.router === idOf('rtr', 1),
    );
    t.deepEqual(await settlesTo(false, () => rig.links().some(({ name }) => name === guestPort(1))), false);
    t.deepEqual(
      ownership.history.filter((line) => line.startsWith(gatewayMac)),
      [1, 2].map((number) => `${gatewayMac} ${idOf('rtr', number)}`),
    );
    t.deepEqual(ownership.clashes, []);
  },
);

test.serial('without the fence two own the MAC: the judge sees it', async (t) => {
  const rig = await rigOf(t, 2);
  rig.controller.document = pair(1, 1, 2);
  const agent = await rig.agent();
  await rig.controller.ready(1);
  await ready(rig, 1, 2);
  await agent.close();
  const [duty] = routersOnDuty(pair(1, 1, 2));
  const [candidate] = duty?.candidates ?? [];
  if (duty === undefined || candidate === undefined) throw new TypeError('a pair is needed');
  const { ownership, monitor } = followOwnership(rig.fabric);
  t.teardown(() => monitor.close());
  using route = openRouteSocket({ netns: rig.fabric });
  const placements = placementsOf(route, duty, candidate);
  t.deepEqual(
    route.batch(placements ?? []),
    (placements ?? []).map(() => null),
  );
  t.is(await settlesTo(1, () => Math.min(1, ownership.clashes.length)), 1);
  route.batch(fenceOf(route, duty));
  const last = `${gatewayMac} ${idOf('rtr', 2)}`;
  t.is(await settlesTo(last, () => ownership.history.at(-1)), last);
});

test.serial('without a standby the router is made anew at once, from its last document', async (t) => {
  const rig = await rigOf(t, 1, await bundleRouter());
  rig.controller.document = pair(1, 1, null);
  rig.program();
  await rig.controller.ready(1);
  await ready(rig, 1);
  await rig.address(11, '10.1.1.11');
  const probes = startProbes(rig, rig.namespaceOf(11), '10.1.1.1');
  t.true(await answersAfter(probes, 0));
  rig.controller.broken = true;
  const ways = Object.entries(deaths);
  for (const [way, kill] of [...ways.slice(0, 4), ...ways.slice(-1)]) {
    const killedAt = Date.now();
    kill(rig, 1);
    await sleep(20);
    t.true(await answersAfter(probes, Date.now() + 20), way);
    await sleep(300);
    t.true(await answersAfter(probes, Date.now()), way);
    t.log(`${way}: ${probes.longestGap(killedAt).toFixed(0)} ms without answers`);
  }
  await probes.end();
  // Where a port was put right nothing was made anew.
  t.is(rig.logged.join('').match(/"host\.router-died"/g)?.length, 3);
});

test.serial(
  'a standby in step keeps the connections that are translated; one that is not knows none of them',
  async (t) => {
    const flows = 20;
    const rig = await Rig.make(t, await bundleRouter());
    const legs = [1, 2];
    const withNat = (number: number): RouterDocument => {
      const document = documentOf(number);
      const [leg] = document.legs;
      if (leg === undefined) throw new TypeError('a leg is needed');
      return {
        ...document,
        legs: [
          leg,
          {
            ...leg,
            id: 'leg-2',
            role: 'public',
            device: 'public0',
            mac: macOf(network * 16 + 1),
            addresses: ['203.0.113.1/24'],
          },
        ],
        egressPolicies: [{ id: 'egp-1', leg: 'leg-1', default: 'allow' }],
        sourceNats: [
          {
            id: 'snat-1',
            leg: 'leg-1',
            outLeg: 'leg-2',
            publicAddress: '203.0.113.1',
            // As far from what the guest itself uses as can be: a router that does not know a connection maps it anew.
            ports: { first: 10_000, last: 20_000 },
          },
        ],
      };
    };
    for (const number of [1, 2]) rig.controller.routers.set(idOf('rtr', number), withNat(number));
    const stage = (generation: number, ...more: Part[]) =>
      wanted(
        generation,
        { segments: legs, routers: [1, 2], active: 1 },
        visitor,
        guest(12, 2, '203.0.113.9', { secure: false }),
        ...more,
      );
    rig.controller.document = stage(1);
    await rig.agent();
    await rig.controller.ready(1);
    await ready(rig, 1, 2);
    await rig.address(11, '10.1.1.11');
    await rig.address(12, '203.0.113.9');
    await rig.exec(rig.namespaceOf(11), 'ip', 'route', 'add', 'default', 'via', '10.1.1.1');
    const program = join(import.meta.dirname, 'fixtures', 'flows.ts');
    const served = said(rig.start(rig.namespaceOf(12), process.execPath, program, 'serve', '7'));
    t.true(await settlesTo(true, () => served().includes('listens')));
    const held = said(
      rig.start(rig.namespaceOf(11), process.execPath, program, 'hold', '203.0.113.9', '7', String(flows)),
    );
    const now = (): unknown => JSON.parse(held().split('\n').at(-2) ?? 'null');
    const all = { lately: flows, broken: 0 };
    t.deepEqual(await settlesTo(all, now), all);
    const known = (number: number): number => {
      using socket = openConntrackSocket({ netns: rig.namespaceOf(number, 'rtr') });
      return socket.dump().filter(({ original }) => original.destination === '203.0.113.9').length;
    };
    t.is(known(1), flows);
    t.is(known(2), 0, 'without a stream it knows nothing');
    rig.controller.publish(stage(2, standingBy(1, 2)));
    await rig.controller.until('in step', () =>
      rig.controller.statuses.some(({ standbys }) => standbys?.[0]?.state === 'synced'),
    );
    t.is(known(2), flows);
    deaths['namespace and processes gone']?.(rig, 1);
    await rig.controller.until('failover', () => failedOver(rig, 2) !== undefined);
    await sleep(1000);
    t.deepEqual(await settlesTo(all, now), all);
    t.is(rig.controller.statuses.at(-1)?.standbys, undefined);
  },
);
