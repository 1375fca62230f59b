import test from 'ava';
import fc from 'fast-check';
import type { MachineLink } from 'documents';
import { links, type RouteSocket } from 'node-netlink';
import { FakeNetwork } from 'node-netlink/fake';
import { applyLinks, observeDevices } from '../links/apply.ts';
import { diffLinks, linkAlias, wantedLinks } from '../links/diff.ts';
import { hostDocument, idOf, routerLinks, routerMachine } from './fixtures/documents.ts';

const machines = [1, 2, 3, 4].map((number) => idOf('rtr', number));

interface Lab {
  readonly routes: ReadonlyMap<string, RouteSocket>;
}

/** Four machines in memory. */
const lab = (): Lab => {
  const network = new FakeNetwork();
  for (const machine of machines) network.namespaces.create(machine);
  return { routes: new Map(machines.map((netns) => [netns, network.openRouteSocket({ netns })])) };
};

const observe = ({ routes }: Lab) =>
  new Map([...routes].map(([machine, route]) => [machine, observeDevices(route)]));

const bring = (at: Lab, wanted: readonly MachineLink[]) => {
  const diff = diffLinks(observe(at), wanted);
  const failures = applyLinks(diff, {
    route: (machine) => at.routes.get(machine) as RouteSocket,
    netns: (machine) => machine,
  });
  return { diff, failures };
};

/** Which devices there are and what they are joined to, without the numbers the kernel gives. */
const shape = (at: Lab) =>
  [...observe(at)].map(([machine, devices]) => [
    machine,
    devices
      .filter(({ name }) => name !== 'lo' && !name.startsWith('foreign'))
      .map(({ index: _index, parent: _parent, ...device }) => device)
      .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  ]);

const size = ({ diff }: ReturnType<typeof bring>) =>
  diff.removals.length + diff.additions.length + diff.changes.length + diff.problems.length;

const linksOf = (older: number, newer: number, legs: number) => routerLinks(older, newer, legs).links ?? [];

test('made once, adopted ever after', (t) => {
  const at = lab();
  const chain = [...linksOf(1, 2, 2), ...linksOf(2, 3, 2)];
  const first = bring(at, chain);
  t.deepEqual(first.failures, []);
  t.is(first.diff.additions.length, 4);
  const middle = observe(at)
    .get(idOf('rtr', 2))
    ?.filter(({ name }) => name !== 'lo');
  t.deepEqual(
    middle?.map(({ name, mac, mtu, up }) => [name, mac, mtu, up]),
    [
      ['old0', '02:00:00:00:80:20', 1450, true],
      ['old1', '02:00:00:00:80:21', 1450, true],
      ['new0', '02:00:00:00:40:30', 1450, true],
      ['new1', '02:00:00:00:40:31', 1450, true],
    ],
  );
  t.is(size(bring(at, chain)), 0);
  const [oldest] = bring(at, linksOf(2, 3, 2)).diff.removals;
  t.is(oldest?.subject, idOf('lnk', 20));
  t.is(size(bring(at, linksOf(2, 3, 2))), 0);
});

test('a link whose making was interrupted is finished, not made anew', (t) => {
  const at = lab();
  const [link] = linksOf(1, 2, 1) as [MachineLink];
  const [a, b] = link.ends;
  at.routes.get(a.machine)?.send(
    links.add({
      kind: 'veth',
      name: a.device,
      mac: a.mac,
      mtu: 1450,
      peer: { name: b.device, mac: b.mac, mtu: 1450, netns: b.machine },
    }),
  );
  const { diff, failures } = bring(at, [link]);
  t.deepEqual(failures, []);
  t.deepEqual(
    [...diff.removals, ...diff.additions, ...diff.changes].map(({ reason }) => reason),
    [
      'link device new0 of rtr-000000000001 has no alias, is down',
      'link device old0 of rtr-000000000002 has no alias, is down',
    ],
  );
});

test('a device in the way that is not ours is told and left alone; one of ours is not in the way', (t) => {
  const at = lab();
  const [link] = linksOf(1, 2, 1) as [MachineLink];
  at.routes.get(idOf('rtr', 2))?.send(links.add({ kind: 'dummy', name: 'old0' }));
  const { diff } = bring(at, [link]);
  t.is(diff.additions.length + diff.removals.length, 0);
  t.regex(diff.problems[0]?.message ?? '', /old0 in rtr-000000000002 that is not Selvage's/);
  at.routes.get(idOf('rtr', 2))?.send(links.remove({ name: 'old0' }));
  bring(at, linksOf(3, 2, 1));
  const other = bring(at, [link]);
  t.deepEqual(other.failures, []);
  t.is(size(bring(at, [link])), 0);
});

test('what was not looked at is neither made nor removed', (t) => {
  const at = lab();
  const [link] = linksOf(1, 2, 1) as [MachineLink];
  bring(at, [link]);
  const partly = new Map([...observe(at)].filter(([machine]) => machine !== idOf('rtr', 2)));
  const diff = diffLinks(partly, [link]);
  t.is(diff.additions.length + diff.removals.length + diff.changes.length, 0);
  t.is(diffLinks(partly, []).removals.length, 1, 'the end that is seen of one that nobody wants goes');
});

test('links of machines that are switched off are not wanted', (t) => {
  const document = hostDocument(1, routerLinks(1, 2), { machines: [routerMachine(1), routerMachine(2)] });
  t.is(wantedLinks(document).length, 1);
  const off = { ...document, machines: [routerMachine(1), routerMachine(2, 'stopped')] };
  t.deepEqual(wantedLinks(off), []);
});

test('an alias of the longest names still fits', (t) => {
  const [link] = linksOf(1, 2, 1) as [MachineLink];
  const long = { ...link, ends: link.ends.map((end) => ({ ...end, device: 'd'.repeat(15) })) } as MachineLink;
  t.true(linkAlias(long).length < 256);
});

const wishes = fc
  .array(
    fc.record({
      older: fc.integer({ min: 1, max: 4 }),
      newer: fc.integer({ min: 1, max: 4 }),
      legs: fc.integer({ min: 1, max: 2 }),
      mtu: fc.constantFrom(1450, 1400),
      mac: fc.constantFrom('02', '06'),
    }),
    { maxLength: 4 },
  )
  .map((wanted) => {
    const all = new Map<string, MachineLink>();
    const taken = new Set<string>();
    for (const { older, newer, legs, mtu, mac } of wanted.filter((one) => one.older !== one.newer)) {
      for (const link of linksOf(older, newer, legs)) {
        const ends = link.ends.map((end) => ({
          ...end,
          mac: end.mac.replace('02', mac),
        })) as MachineLink['ends'];
        const names = ends.map((end) => `${end.machine} ${end.device}`);
        if (names.some((name) => taken.has(name))) continue;
        for (const name of names) taken.add(name);
        all.set(link.id, { ...link, mtu, ends });
      }
    }
    return [...all.values()];
  });

const damages = fc.array(
  fc.record({
    what: fc.constantFrom('remove', 'down', 'mtu', 'mac', 'alias', 'rename', 'foreign'),
    machine: fc.constantFrom(...machines),
    which: fc.nat({ max: 4 }),
  }),
  { maxLength: 5 },
);

const damage = (at: Lab, what: string, machine: string, which: number) => {
  const route = at.routes.get(machine) as RouteSocket;
  if (what === 'foreign') {
    route.batch([links.add({ kind: 'dummy', name: `foreign${which}` })]);
    return;
  }
  const devices = observeDevices(route).filter(({ kind }) => kind === 'veth');
  const device = devices[which % Math.max(1, devices.length)];
  if (device === undefined) return;
  const { index } = device;
  const changes = {
    remove: links.remove({ index }),
    down: links.set({ index, up: false }),
    mtu: links.set({ index, mtu: 1200 }),
    mac: links.set({ index, mac: '02:99:99:99:99:99' }),
    alias: links.set({ index, alias: `selvage:link:lnk-${which} gone elsewhere` }),
    rename: links.set({ index, newName: `renamed${which}` }),
  } as const;
  route.batch([changes[what as keyof typeof changes]]);
};

test('from whatever is there, one diff leads to what is wanted, and then there is nothing to do', (t) => {
  fc.assert(
    fc.property(fc.array(wishes, { maxLength: 3 }), damages, wishes, (before, harm, wanted) => {
      const at = lab();
      for (const earlier of before) bring(at, earlier);
      for (const { what, machine, which } of harm) damage(at, what, machine, which);
      const { failures } = bring(at, wanted);
      const again = bring(at, wanted);
      const fresh = lab();
      bring(fresh, wanted);
      return (
        failures.length === 0 &&
        size(again) === 0 &&
        JSON.stringify(shape(at)) === JSON.stringify(shape(fresh))
      );
    }),
    { numRuns: 500 },
  );
  t.pass();
});
