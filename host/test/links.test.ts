/** Private wires between routers, in their own namespaces. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { links, namespaces, openRouteSocket } from 'node-netlink';
import { idOf, macOf } from './fixtures/documents.ts';
import { applied, ends, rigWith, wanted } from './fixtures/router-chain.ts';

test.serial('links are there before the documents, adopted, healed, and go one by one', async (t) => {
  const rig = await rigWith(t, 3);
  const segments = [1, 2];
  rig.controller.document = wanted(1, {
    segments,
    routers: [1, 2, 3],
    active: 1,
    links: [
      [1, 2],
      [2, 3],
    ],
  });
  const agent = await rig.agent();
  await rig.controller.ready(1);
  await Promise.all([applied(rig, 1), applied(rig, 2), applied(rig, 3)]);
  const devices = readFileSync(join(rig.state, 'host', 'routers', idOf('rtr', 2), 'devices.txt'), 'utf8');
  for (const name of ['old0', 'old1', 'new0', 'new1']) t.regex(devices, new RegExp(`^${name}@`, 'm'));
  const first = ends(rig, 2);
  t.like(first, [
    { name: 'new0', mac: macOf(0x4000 + 3 * 16), mtu: 1450, up: true, carrier: true },
    { name: 'new1', mac: macOf(0x4000 + 3 * 16 + 1), mtu: 1450, up: true, carrier: true },
    { name: 'old0', mac: macOf(0x8000 + 2 * 16), mtu: 1450, up: true, carrier: true },
    { name: 'old1', mac: macOf(0x8000 + 2 * 16 + 1), mtu: 1450, up: true, carrier: true },
  ]);
  t.deepEqual(
    ends(rig, 1).map(({ name }) => name),
    ['new0', 'new1'],
  );
  await sleep(200);
  t.deepEqual(
    rig.controller.events.filter(({ type }) => type === 'host.drift-healed'),
    [],
  );
  // A successor knows by the first packet that it has been handed over to: nothing else is to come. Router solicitations
  // would, within a second, and listener reports.
  const heard = (): number[] => {
    using route = openRouteSocket({ netns: rig.namespaceOf(2, 'rtr') });
    return route
      .dump(links.dump())
      .filter(({ name }) => /^(?:old|new)\d$/.test(name))
      .map(({ statistics }) => statistics?.rxPackets ?? -1);
  };
  await sleep(1500);
  t.deepEqual(heard(), [0, 0, 0, 0]);
  for (const [number, name] of [
    [1, 'new0'],
    [3, 'old0'],
  ] as const)
    namespaces.sysctl(rig.namespaceOf(number, 'rtr'), { [`net/ipv6/conf/${name}/disable_ipv6`]: 0 });
  await rig.controller.until('control: IPv6 speaks by itself', () => heard().some((packets) => packets > 0));
  await agent.close();
  const healed = await rig.agent();
  t.deepEqual(ends(rig, 2), first, 'adopted');
  const settled = ({ index: _index, ...end }: (typeof first)[number]) => end;
  const wrong: Readonly<Record<string, (route: ReturnType<typeof openRouteSocket>) => void>> = {
    'link lnk-000000000030 was missing': (route) => route.send(links.remove({ name: 'new0' })),
    'old1 of rtr-000000000002 has MTU 1300': (route) => route.send(links.set({ name: 'old1', mtu: 1300 })),
    'old0 of rtr-000000000002 is down': (route) => route.send(links.set({ name: 'old0', up: false })),
    'new1 of rtr-000000000002 has MAC 02:99:99:99:99:99': (route) =>
      route.send(links.set({ name: 'new1', mac: '02:99:99:99:99:99' })),
    'link lnk-000000000031 was missing': (route) => route.send(links.set({ name: 'new1', newName: 'away' })),
  };
  for (const [words, damage] of Object.entries(wrong)) {
    const since = performance.now();
    {
      using route = openRouteSocket({ netns: rig.namespaceOf(2, 'rtr') });
      damage(route);
    }
    // One after the other: each is to heal on its own.
    await rig.controller.until(words, () =>
      rig.controller.events.some(
        ({ type, message }) => type === 'host.drift-healed' && message.includes(words),
      ),
    );
    t.log(`${words}: healed in ${(performance.now() - since).toFixed(0)} ms`);
    t.true(performance.now() - since < 2000);
    t.deepEqual(ends(rig, 2).map(settled), first.map(settled), words);
  }
  const newer = ends(rig, 3);
  rig.controller.publish(wanted(2, { segments, routers: [2, 3], active: 3, links: [[2, 3]] }));
  await rig.controller.ready(2);
  t.deepEqual(
    ends(rig, 2).map(({ name }) => name),
    ['new0', 'new1'],
  );
  t.deepEqual(ends(rig, 3), newer, 'the other link is as it was');
  t.false(namespaces.exists(rig.namespaceOf(1, 'rtr')));
  // What an agent left that was killed before it removed them: its document has none any more.
  await healed.close();
  const bare = wanted(3, { segments, routers: [2, 3], active: 3 });
  rig.controller.document = bare;
  writeFileSync(join(rig.state, 'host', 'document.json'), JSON.stringify(bare));
  await rig.agent();
  t.deepEqual([...ends(rig, 2), ...ends(rig, 3)], []);
});

test.serial('a router that cannot have its link gets no document, and is told of', async (t) => {
  const rig = await rigWith(t, 2);
  rig.controller.document = wanted(1, { segments: [1], routers: [1], active: 1 });
  await rig.agent();
  await rig.controller.ready(1);
  await applied(rig, 1);
  {
    using route = openRouteSocket({ netns: rig.namespaceOf(1, 'rtr') });
    route.send(links.add({ kind: 'veth', name: 'new0', peer: { name: 'other' } }));
  }
  rig.controller.publish(wanted(2, { segments: [1], routers: [1, 2], active: 1, links: [[1, 2]] }));
  await rig.controller.until('the failure', () =>
    rig.controller.statuses.some(({ conditions }) =>
      conditions.some(
        ({ type, status, message }) =>
          type === 'FabricApplied' &&
          status === 'False' &&
          /new0 in rtr-000000000001.*not Selvage/.test(message),
      ),
    ),
  );
  await sleep(500);
  t.false(existsSync(join(rig.state, 'host', 'routers', idOf('rtr', 2), 'document.json')));
  {
    using route = openRouteSocket({ netns: rig.namespaceOf(1, 'rtr') });
    route.send(links.remove({ name: 'new0' }));
  }
  await rig.controller.ready(2);
  await applied(rig, 2);
});
