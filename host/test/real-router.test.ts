/** The agent with the real router daemon: a first guest on a new network, a guest added, and kill -9 of everything of ours. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { HandoverLink, HostDocument, RouterDocument } from 'documents';
import { bundleRouter } from '../../scripts/bundle.ts';
import { guest, hostDocument, idOf, router, segment } from './fixtures/documents.ts';
import { Rig } from './fixtures/rig.ts';
import { applied, documentOf, said, visitor, wanted } from './fixtures/router-chain.ts';
import { routerDocument, routerId } from './fixtures/router-document.ts';

const network = (generation: number, ...guests: readonly number[]) =>
  hostDocument(
    generation,
    segment(1),
    router(1, 1),
    ...guests.map((number) => guest(number, 1, `10.1.1.${number}`)),
  );

const guests = (count: number) => Array.from({ length: count }, (_, index) => 11 + index);

test.serial('a first guest, further guests, and their times', async (t) => {
  const rig = await Rig.make(t, await bundleRouter());
  await rig.agent();
  await rig.controller.until('hello', () => rig.controller.hellos.length === 1);
  rig.controller.routers.set(routerId, routerDocument(1, guests(1)));
  const start = performance.now();
  rig.controller.publish(network(1, ...guests(1)));
  await rig.controller.machine(idOf('ins', 11), 'running');
  const first = performance.now() - start;
  t.true(await rig.reaches(11, '10.1.1.1'));
  const times: number[] = [];
  for (let count = 2; count < 9; count += 1) {
    const since = performance.now();
    rig.controller.publishRouter(routerDocument(count, guests(count)));
    rig.controller.publish(network(count, ...guests(count)));
    await rig.controller.machine(idOf('ins', 10 + count), 'running');
    times.push(performance.now() - since);
  }
  const median = times.toSorted((a, b) => a - b)[3] as number;
  t.log(`first ${first.toFixed(0)} ms, further ${times.map((time) => time.toFixed(0)).join(' ')} ms`);
  t.true(first < 5000, `first guest after ${first} ms`);
  t.true(median < 900, `a DHCP client that has to ask twice takes a second; median ${median} ms`);
  const named = await rig.exec(
    rig.namespaceOf(11),
    ...(['dig', '+short', '+time=2', 'guest-12.test.internal'] as const),
  );
  t.is(named.stdout, '10.1.1.12\n');
});

test.serial(
  'kill -9 of agent and daemon together: traffic through the router goes on, and all is adopted',
  async (t) => {
    const rig = await Rig.make(t, await bundleRouter());
    rig.controller.routers.set(routerId, routerDocument(1, guests(2)));
    rig.controller.document = network(1, ...guests(2));
    const program = rig.program();
    await rig.controller.machine(idOf('ins', 11), 'running');
    await rig.controller.machine(idOf('ins', 12), 'running');
    await rig.controller.ready(1);
    const links = rig.links(rig.namespaceOf(1, 'rtr'));
    const probes = rig.start(rig.namespaceOf(11), 'ping', '-n', '-q', '-i', '0.01', '-c', '500', '10.1.1.1');
    let said = '';
    probes.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const record = () =>
      JSON.parse(readFileSync(join(rig.state, 'host', 'routers', routerId, 'daemon.json'), 'utf8')) as {
        pid: number;
      };
    await sleep(500);
    const before = record().pid;
    program.kill('SIGKILL');
    process.kill(before, 'SIGKILL');
    await once(program, 'exit');
    rig.program();
    await rig.controller.until('a daemon that listens', () =>
      rig.controller.routerStatuses.some(
        ({ startedAt }) => startedAt > Date.now() - 3000 && record().pid !== before,
      ),
    );
    await once(probes, 'exit');
    t.regex(said, /500 packets transmitted, 500 received, 0% packet loss/);
    t.deepEqual(rig.links(rig.namespaceOf(1, 'rtr')), links);
    rig.controller.publishRouter(routerDocument(2, guests(3)));
    rig.controller.publish(network(2, ...guests(3)));
    await rig.controller.machine(idOf('ins', 13), 'running');
    t.true(await rig.reaches(13, '10.1.1.11'));
  },
);

/** The two sides of the link between routers 1 and 2, as their documents have them. */
const handoverOf = (document: HostDocument): readonly [older: HandoverLink, newer: HandoverLink] => {
  const [link] = document.links ?? [];
  if (link === undefined) throw new TypeError('a link is needed');
  const [a, b] = link.ends;
  const common = { id: link.id, leg: 'leg-1' };
  return [
    {
      ...common,
      device: a.device,
      mac: a.mac,
      address: '169.254.77.0/31',
      peer: '169.254.77.1',
      peerMac: b.mac,
    },
    {
      ...common,
      device: b.device,
      mac: b.mac,
      address: '169.254.77.1/31',
      peer: '169.254.77.0',
      peerMac: a.mac,
    },
  ];
};

test.serial(
  'a router is replaced by another under probes: nothing is lost, and state is carried over',
  async (t) => {
    const rig = await Rig.make(t, await bundleRouter());
    const give = (document: RouterDocument) => rig.controller.publishRouter(document);
    const inForce = (number: number, generation: number) => applied(rig, number, generation);
    const stage = (generation: number, routers: readonly number[], active: number) =>
      wanted(
        generation,
        { segments: [1], routers, active, links: routers.length === 2 ? [[1, 2]] : [] },
        visitor,
      );
    const bring = async (document: HostDocument) => {
      rig.controller.publish(document);
      await rig.controller.ready(document.generation);
    };
    rig.controller.routers.set(idOf('rtr', 1), documentOf(1));
    rig.controller.document = stage(1, [1], 1);
    await rig.agent();
    await rig.controller.ready(1);
    await inForce(1, 1);
    await rig.address(11, '10.1.1.11');
    t.true(await rig.reaches(11, '10.1.1.1'));
    const probes = rig.start(
      rig.namespaceOf(11),
      'ping',
      '-n',
      '-q',
      '-i',
      '0.005',
      '-c',
      '12000',
      '10.1.1.1',
    );
    const probed = said(probes);
    const ended = once(probes, 'exit');
    // Build.
    const both = stage(2, [1, 2], 1);
    const [newer, older] = handoverOf(both);
    rig.controller.routers.set(idOf('rtr', 2), { ...documentOf(2), handover: { older: [older], newer: [] } });
    await bring(both);
    await inForce(2, 1);
    // Precopy.
    const copy = () =>
      rig.controller.ask({
        type: 'request',
        method: 'copy-state',
        params: { from: idOf('rtr', 1), to: idOf('rtr', 2) },
      });
    const copied = await copy();
    t.truthy('result' in copied, JSON.stringify(copied));
    // Drain.
    give({ ...documentOf(1, 2), handover: { older: [], newer: [newer] } });
    await inForce(1, 2);
    // Flip.
    await bring(stage(3, [1, 2], 2));
    await sleep(300);
    t.truthy('result' in (await copy()));
    // Retire.
    give(documentOf(2, 2));
    await inForce(2, 2);
    await bring(stage(4, [2], 2));
    await sleep(300);
    probes.kill('SIGINT');
    await ended;
    const [, transmitted, received] = /(\d+) packets transmitted, (\d+) received/.exec(probed()) ?? [];
    t.log(`${transmitted} probes; ${JSON.stringify(copied)}`);
    t.is(received, transmitted);
    t.deepEqual(
      rig.controller.events.filter(({ type }) => type === 'host.macs-moved').map(({ subject }) => subject),
      [idOf('rtr', 2)],
    );
  },
);
