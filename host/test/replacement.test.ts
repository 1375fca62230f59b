/** Routers replaced by others, as far as that is the host's: one after the other, and what a crash in between does. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import {
  fdb,
  links,
  monitor,
  type MonitorEvent,
  namespaces,
  openRouteSocket,
  watchProcess,
} from 'node-netlink';
import { idOf } from './fixtures/documents.ts';
import type { Rig } from './fixtures/rig.ts';
import {
  applied,
  ends,
  gatewayMac,
  type Network,
  rigWith,
  said,
  settlesTo,
  visitor,
  wanted,
} from './fixtures/router-chain.ts';

/** Everything a replacement could leave behind, as numbers. */
const inventory = (rig: Rig) => {
  using route = openRouteSocket({ netns: rig.fabric });
  return {
    devices: route.dump(links.dump()).length,
    entries: route.dump(fdb.dump()).length,
    leftovers: rig.leftovers().map((one) => one.replace(/\d+$/, '')).length,
    namespaces: namespaces.list().filter((name) => name.startsWith(`${rig.prefix}-`)).length,
  };
};

test.serial('replacements in a row lose no packet and leave nothing behind', async (t) => {
  // `REPLACEMENTS=200` for the long form.
  const rounds = Number(process.env['REPLACEMENTS'] ?? 20);
  const rig = await rigWith(t, rounds + 1);
  const segments = [1, 2];
  let generation = 1;
  rig.controller.document = wanted(generation, { segments, routers: [1], active: 1 }, visitor);
  await rig.agent();
  await rig.controller.ready(1);
  await applied(rig, 1);
  await rig.address(11, '10.1.1.11');
  t.true(await rig.reaches(11, '10.1.1.1'));
  const { stdout: before } = await rig.exec(
    rig.fabric,
    '/usr/sbin/nft',
    'list',
    'table',
    'bridge',
    'selvage',
  );
  const counted = inventory(rig);
  const probes = rig.start(rig.namespaceOf(11), 'ping', '-n', '-q', '-i', '0.01', '10.1.1.1');
  const probed = said(probes);
  const times: number[] = [];
  const bring = async (stage: Network) => {
    generation += 1;
    rig.controller.publish(wanted(generation, stage, visitor));
    await rig.controller.ready(generation);
  };
  for (let number = 2; number <= rounds + 1; number += 1) {
    const since = performance.now();
    const routers = [number - 1, number];
    const pair = [[number - 1, number]] as const;
    // One stage after the other is what a replacement is.
    await bring({ segments, routers, active: number - 1, links: pair });
    await applied(rig, number);
    await bring({ segments, routers, active: number, links: pair });
    await bring({ segments, routers: [number], active: number });
    times.push(performance.now() - since);
  }
  probes.kill('SIGINT');
  await once(probes, 'exit');
  const [, transmitted, received] = /(\d+) packets transmitted, (\d+) received/.exec(probed()) ?? [];
  t.is(received, transmitted);
  t.deepEqual(await settlesTo(counted, () => inventory(rig)), counted);
  const { stdout: after } = await rig.exec(rig.fabric, '/usr/sbin/nft', 'list', 'table', 'bridge', 'selvage');
  const unnumbered = (text: string) => text.replace(/"pt\d+"/g, '"pt"');
  t.is(unnumbered(after), unnumbered(before));
  const moved = rig.controller.events.filter(({ type }) => type === 'host.macs-moved');
  t.is(moved.length, rounds);
  const microseconds = moved
    .map(({ message }) => Number(/within (\d+)/.exec(message)?.[1]))
    .toSorted((a, b) => a - b);
  t.deepEqual(
    rig.controller.events.filter(({ type }) => type === 'host.drift-healed'),
    [],
  );
  t.log(
    `each ${times.map((time) => time.toFixed(0)).join(' ')} ms; flips ${microseconds.join(' ')} µs; ${transmitted} probes`,
  );
});

/** What there is to see of a network of routers, without indices and pids. */
const picture = (rig: Rig, routers: readonly number[]) => {
  using route = openRouteSocket({ netns: rig.fabric });
  const devices = route.dump(links.dump());
  const name = (index: number) => devices.find((link) => link.index === index)?.name ?? '';
  return {
    ports: devices
      .filter((link) => link.name.startsWith('pt'))
      .map(
        (link) =>
          `${link.name} ${link.up} ${link.bridgePort?.learning} ${link.bridgePort?.bcastFlood} ${link.bridgePort?.mcastFlood}`,
      )
      .sort(),
    entries: route
      .dump(fdb.dump())
      .filter(({ table, state }) => table === 'master' && state !== 'permanent')
      .map(({ link, mac, state, sticky }) => `${name(link)} ${mac} ${state} ${sticky}`)
      .sort(),
    links: routers.map((number) =>
      namespaces.exists(rig.namespaceOf(number, 'rtr'))
        ? ends(rig, number).map(({ index: _index, ...end }) => JSON.stringify(end))
        : [],
    ),
    machines: namespaces
      .list()
      .filter((one) => one.startsWith(`${rig.prefix}-rtr`))
      .map((one) => one.slice(rig.prefix.length)),
  };
};

/** Pids of the daemons of a router; more than one would be too many. */
const daemonsOf = (rig: Rig, number: number): readonly number[] =>
  rig.processesIn(rig.namespaceOf(number, 'rtr')).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').endsWith(`routers/${idOf('rtr', number)}\0`);
    } catch {
      // It ended after it was listed.
      return false;
    }
  });

test.serial('killed at any moment of build, flip and removal, the next agent gets there', async (t) => {
  const rig = await rigWith(t, 3);
  const segments = [1, 2];
  const stages: readonly Network[] = [
    { segments, routers: [1], active: 1 },
    { segments, routers: [1, 2], active: 1, links: [[1, 2]] },
    { segments, routers: [1, 2], active: 2, links: [[1, 2]] },
    {
      segments,
      routers: [1, 2, 3],
      active: 2,
      links: [
        [1, 2],
        [2, 3],
      ],
    },
    {
      segments,
      routers: [1, 2, 3],
      active: 3,
      links: [
        [1, 2],
        [2, 3],
      ],
    },
    { segments, routers: [3], active: 3 },
  ];
  const pictures = new Map<number, ReturnType<typeof picture>>();
  let generation = 0;
  let program: ChildProcess | null = null;
  const start = async () => {
    const hellos = rig.controller.hellos.length;
    program = rig.program();
    await rig.controller.until('hello', () => rig.controller.hellos.length > hellos);
  };
  const kill = async () => {
    const child = program as unknown as ChildProcess;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  const readyAgain = async () => {
    const statuses = rig.controller.statuses.length;
    await rig.controller.until('ready', () =>
      rig.controller.statuses
        .slice(statuses)
        .some(
          ({ observedGeneration, conditions }) =>
            observedGeneration === generation &&
            conditions[0]?.type === 'Ready' &&
            conditions[0].status === 'True',
        ),
    );
  };
  // Undisturbed first: what each stage is to look like.
  await start();
  for (const [which, stage] of stages.entries()) {
    generation += 1;
    rig.controller.publish(wanted(generation, stage));
    await rig.controller.ready(generation);
    await Promise.all(stage.routers.map((number) => applied(rig, number)));
    pictures.set(which, picture(rig, [1, 2, 3]));
  }
  const until = performance.now() + 15_000;
  let kills = 0;
  // Each stage once however slow the machine is, then for as long as there is time.
  for (let step = 0; step < stages.length || (performance.now() < until && step < 60); step += 1) {
    const which = step % stages.length;
    const stage = stages[which] as Network;
    generation += 1;
    rig.controller.publish(wanted(generation, stage));
    await sleep(Math.random() * 60);
    await kill();
    await start();
    await sleep(Math.random() * 60);
    await kill();
    kills += 2;
    await start();
    await readyAgain();
    const expected = pictures.get(which);
    t.deepEqual(await settlesTo(expected, () => picture(rig, [1, 2, 3])), expected, `stage ${which}`);
    const daemons = [1, 2, 3].map((number) => Number(stage.routers.includes(number)));
    t.deepEqual(
      await settlesTo(daemons, () => [1, 2, 3].map((number) => daemonsOf(rig, number).length)),
      daemons,
      'one daemon each, and none of those that are gone',
    );
  }
  t.log(`${kills} kills`);
});

test.serial(
  'killed right after a flip and started without a controller, the agent does not flip back',
  async (t) => {
    const rig = await rigWith(t, 2);
    const stage = (generation: number, active: number) =>
      wanted(generation, { segments: [1], routers: [1, 2], active, links: [[1, 2]] });
    rig.controller.document = stage(1, 1);
    const first = rig.program();
    await rig.controller.ready(1);
    const moves: string[] = [];
    const names = new Map(rig.links().map(({ index, name }) => [index, name]));
    const watched = monitor({ netns: rig.fabric, groups: ['neighbour'] }, (event) => {
      if (event.type !== 'fdb' || event.entry.mac !== gatewayMac || event.change !== 'set') return;
      moves.push(names.get(event.entry.link) ?? '');
      // The moment it has happened.
      if (moves.length === 1) first.kill('SIGKILL');
    });
    t.teardown(() => watched.close());
    const ended = once(first, 'exit');
    rig.controller.publish(stage(2, 2));
    await ended;
    rig.controller.broken = true;
    const log = rig.logged.length;
    rig.program();
    await settlesTo(true, () => rig.logged.slice(log).some((line) => line.includes('host agent runs')), 300);
    t.true(rig.logged.slice(log).some((line) => line.includes('host agent runs')));
    await sleep(300);
    t.true(moves.length > 0);
    t.deepEqual([...new Set(moves)], ['pt000000001020']);
  },
);

test.serial('a router that goes loses its links, then its ports, then its processes', async (t) => {
  const rig = await rigWith(t, 2);
  const segments = [1];
  rig.controller.document = wanted(1, { segments, routers: [1, 2], active: 2, links: [[1, 2]] });
  rig.program();
  await rig.controller.ready(1);
  await Promise.all([applied(rig, 1), applied(rig, 2)]);
  const [daemon] = daemonsOf(rig, 1);
  const order: string[] = [];
  const note = (what: string) => {
    if (!order.includes(what)) order.push(what);
  };
  const removal = (what: string, device: string) => (event: MonitorEvent) => {
    if (event.type === 'link' && event.change === 'removed' && event.link.name === device) note(what);
  };
  const watches = [
    monitor({ netns: rig.namespaceOf(2, 'rtr'), groups: ['link'] }, removal('link', 'old0')),
    monitor({ netns: rig.fabric, groups: ['link'] }, removal('port', 'pt000000001010')),
    watchProcess(daemon as number, () => note('process')),
  ];
  t.teardown(() => {
    for (const watch of watches) watch.close();
  });
  rig.controller.publish(wanted(2, { segments, routers: [2], active: 2 }));
  await rig.controller.ready(2);
  await rig.controller.until('its end', () => order.length === 3);
  t.deepEqual(order, ['link', 'port', 'process']);
  t.false(await settlesTo(false, () => namespaces.exists(rig.namespaceOf(1, 'rtr'))));
});
