/** A generation of which something could not be placed: nobody loses a MAC by it, and nobody is told that frames have moved. */
import { mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { HostDocument } from 'documents';
import { links, namespaces } from 'node-netlink';
import { FakeNetwork } from 'node-netlink/fake';
import { applyFabric, applyPlacements } from '../fabric/apply.ts';
import { audiblePlacements } from '../fabric/audible-placements.ts';
import { diffFabric, wantedFabric } from '../fabric/diff.ts';
import { observeFabric } from '../fabric/observe.ts';
import { namespacePath } from '../names.ts';
import { guest, idOf } from './fixtures/documents.ts';
import { Rig } from './fixtures/rig.ts';
import {
  applied,
  documentOf,
  gatewayMac,
  rigWith,
  settlesTo,
  visitor,
  wanted,
} from './fixtures/router-chain.ts';

const portOf = (number: number) => `pt${String(1000 + number * 10).padStart(12, '0')}`;

const serving = (
  generation: number,
  routers: readonly number[],
  active: number,
  ...more: (typeof visitor)[]
) => wanted(generation, { segments: [1], routers, active }, visitor, ...more);

const without = (document: HostDocument, machine: string) => {
  const ports = document.ports.filter((port) => port.machine !== machine);
  const kept = new Set(ports.map(({ id }) => id));
  return wantedFabric({ ...document, ports, fdb: document.fdb.filter(({ port }) => kept.has(port)) });
};

test('a MAC stays where it is until the port it is to go to can be made', (t) => {
  const network = new FakeNetwork();
  network.namespaces.create('fabric');
  for (const { id } of serving(1, [1, 2], 1).machines) network.namespaces.create(`m-${id}`);
  const route = network.openRouteSocket({ netns: 'fabric' });
  const bring = (diff: ReturnType<typeof diffFabric>) => {
    t.deepEqual(
      applyFabric(route, diff.actions, (port) => ({ netns: `m-${port.machine}` })),
      [],
    );
    t.deepEqual(applyPlacements(route, diff.placements).failures, []);
  };
  bring(diffFabric(observeFabric(route), wantedFabric(serving(1, [1], 1))));
  const next = serving(2, [1, 2], 2);
  const part = without(next, idOf('rtr', 2));
  const types = ({ placements }: ReturnType<typeof diffFabric>) => placements.map(({ type }) => type);
  t.deepEqual(
    types(diffFabric(observeFabric(route), part)),
    ['set-flooding', 'remove-fdb'],
    'who knows of the part alone takes it from the old one',
  );
  const held = diffFabric(observeFabric(route), part, wantedFabric(next));
  t.deepEqual(types(held), ['set-flooding']);
  t.deepEqual(
    held.unmoved.map(({ message }) => message),
    [`${gatewayMac} stays with ${portOf(1)}: there is no place for ${portOf(2)} yet`],
  );
  const missing = next.ports.filter(({ machine }) => machine === idOf('rtr', 2));
  const failures = missing.map(({ id }) => ({ subject: id, message: '' }));
  t.deepEqual(audiblePlacements(held, next.ports, failures), [], 'nor is it silenced');
  const whole = diffFabric(observeFabric(route), wantedFabric(next));
  t.deepEqual(types(whole), ['set-fdb', 'set-flooding']);
  bring(whole);
  // The machine is away for a moment: its port and its MAC are not taken from it.
  const again = diffFabric(observeFabric(route), part, wantedFabric(next));
  t.deepEqual([again.actions, again.placements, again.removals, again.unmoved], [[], [], [], []]);
  t.is(diffFabric(observeFabric(route), part).removals.length, 1);
  route.send(links.remove({ name: portOf(2) }));
});

const ownerOf = async (rig: Rig): Promise<readonly string[]> => {
  const { stdout } = await rig.exec(rig.fabric, 'bridge', 'fdb', 'show');
  return stdout
    .split('\n')
    .filter((line) => line.startsWith(gatewayMac) && line.includes('static'))
    .map((line) => line.split(' ')[2] ?? '');
};

test.serial(
  'a flip to a router that has no place is not believed, and takes nothing from the old one',
  async (t) => {
    const rig = await rigWith(t, 2);
    rig.controller.document = serving(1, [1], 1);
    await rig.agent();
    await rig.controller.ready(1);
    await applied(rig, 1);
    await rig.address(11, '10.1.1.11');
    t.true(await rig.reaches(11, '10.1.1.1'));
    const inTheWay = join(rig.state, 'host', 'routers', idOf('rtr', 2));
    writeFileSync(inTheWay, '');
    rig.controller.publish(serving(2, [1, 2], 2));
    const last = () => rig.controller.statuses.at(-1);
    const fabricSays = () => last()?.conditions.find(({ type }) => type === 'FabricApplied');
    await rig.controller.until('a pass', () => fabricSays()?.observedGeneration === 2);
    await sleep(500);
    t.is(last()?.observedGeneration, 1);
    t.regex(fabricSays()?.message ?? '', /stays with/);
    t.deepEqual(await ownerOf(rig), [portOf(1)]);
    t.true(await rig.reaches(11, '10.1.1.1'));
    // Who asks anew hears it, too.
    await rig.exec(rig.namespaceOf(11), 'ip', 'neigh', 'flush', 'all');
    t.true(await rig.reaches(11, '10.1.1.1'));
    rmSync(inTheWay);
    await rig.controller.until('the flip', () => (last()?.observedGeneration ?? 0) >= 2);
    t.deepEqual(await ownerOf(rig), [portOf(2)]);
    // A guest that cannot be made holds up nobody.
    writeFileSync(join(rig.state, 'host', 'machines', idOf('ins', 12)), '');
    rig.controller.publish(serving(3, [1, 2], 1, guest(12, 1, '10.1.1.12')));
    await rig.controller.until('a flip beside it', () => (last()?.observedGeneration ?? 0) >= 3);
    t.deepEqual(await ownerOf(rig), [portOf(1)]);
    rmSync(join(rig.state, 'host', 'machines', idOf('ins', 12)));
  },
);

test.serial('a generation whose pass failed is not observed, and its conditions say so', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.routers.set(idOf('rtr', 1), documentOf(1));
  rig.controller.document = serving(1, [1], 1);
  await rig.agent();
  await rig.controller.ready(1);
  // Something that is no namespace has the name of the fabric's.
  const path = namespacePath(rig.fabric);
  namespaces.remove(rig.fabric);
  mkdirSync(path);
  const last = () => rig.controller.statuses.at(-1);
  try {
    rig.controller.publish(serving(2, [1], 1));
    const about = () => last()?.conditions.find(({ type }) => type === 'FabricApplied');
    await rig.controller.until('a pass that failed', () => about()?.observedGeneration === 2);
    await sleep(300);
    t.is(about()?.status, 'False');
    t.is(last()?.observedGeneration, 1);
  } finally {
    rmdirSync(path);
  }
  await rig.controller.until('placed', () => last()?.observedGeneration === 2, 30_000);
  t.true(await settlesTo(true, () => rig.links().some(({ name }) => name === portOf(1))));
});
