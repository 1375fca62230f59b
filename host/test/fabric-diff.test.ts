import test from 'ava';
import fc from 'fast-check';
import type { HostDocument } from 'documents';
import { fdb, links, type RouteSocket } from 'node-netlink';
import { FakeNetwork } from 'node-netlink/fake';
import { applyFabric, applyPlacements, removeLinks } from '../fabric/apply.ts';
import { audiblePlacements } from '../fabric/audible-placements.ts';
import { diffFabric, type FabricAction, wantedFabric } from '../fabric/diff.ts';
import { observeFabric } from '../fabric/observe.ts';
import { guest, hostDocument, router, segment } from './fixtures/documents.ts';
import { matchesGolden } from './fixtures/golden.ts';

const machines = 8;

/** A fabric in memory, with a namespace for every machine there can be. */
const fabric = (): { readonly route: RouteSocket } => {
  const network = new FakeNetwork();
  network.namespaces.create('fabric');
  for (let number = 0; number < machines; number += 1) {
    network.namespaces.create(`m-ins-${String(number).padStart(12, '0')}`);
    network.namespaces.create(`m-rtr-${String(number).padStart(12, '0')}`);
  }
  return { route: network.openRouteSocket({ netns: 'fabric' }) };
};

const bring = (route: RouteSocket, document: HostDocument) => {
  const observed = observeFabric(route);
  const diff = diffFabric(observed, wantedFabric(document));
  // The kernel takes a port out of its bridge, with its entries, before it joins another; the fake keeps the entries.
  for (const action of diff.actions) {
    const link = observed.links.find(({ name }) => action.type === 'set-port' && name === action.port.device);
    const bridge = observed.links.find(({ name }) => action.type === 'set-port' && name === action.bridge);
    if (link !== undefined && link.master !== bridge?.index) {
      route.send(links.set({ index: link.index, master: null }));
    }
  }
  const failures = applyFabric(route, diff.actions, (port) => ({ netns: `m-${port.machine}` }));
  const placed = applyPlacements(route, diff.placements);
  return {
    ...diff,
    moved: placed.moved,
    failures: [...failures, ...placed.failures, ...removeLinks(route, diff.removals)],
  };
};

/** What is there, by name and not by index: two fabrics with the same shape serve the same. */
const shape = (route: RouteSocket) => {
  const { links: all, fdb: entries } = observeFabric(route);
  const name = (index: number | null) => all.find((link) => link.index === index)?.name ?? null;
  return {
    links: all
      .map(({ index: _index, master, ...link }) => ({ ...link, master: name(master) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    fdb: entries
      .filter(({ state }) => state !== 'permanent')
      .map(({ link, mac, state, sticky }) => `${name(link)} ${mac} ${state} ${sticky}`)
      .sort(),
  };
};

const words = (action: FabricAction): string => {
  switch (action.type) {
    case 'add-bridge':
    case 'set-bridge':
      return `${action.type} ${action.segment.device}`;
    case 'add-port':
    case 'set-port':
      return `${action.type} ${action.port.device} in ${action.bridge}`;
    case 'set-flooding':
      return `${action.type} ${action.port.active ? 'on' : 'off'} at ${action.port.device}`;
    case 'set-fdb':
      return `${action.type} ${action.mac} on ${action.port.device}`;
    case 'remove-fdb':
      return `${action.type} ${action.mac} on ${action.device}`;
    case 'remove-link':
      return `${action.type} ${action.name}`;
  }
};

const steps = (route: RouteSocket, document: HostDocument): string => {
  const { actions, placements, removals, problems } = diffFabric(
    observeFabric(route),
    wantedFabric(document),
  );
  const line = (action: FabricAction) => `${words(action).padEnd(50)} # ${action.reason}\n`;
  return [
    ...actions.map(line),
    ...(placements.length === 0 ? [] : ['then, as one batch:\n', ...placements.map(line)]),
    ...(removals.length === 0 ? [] : ['then, when what used them has ended:\n', ...removals.map(line)]),
    ...problems.map(({ subject, message }) => `problem of ${subject}: ${message}\n`),
  ].join('');
};

const two = hostDocument(
  1,
  segment(1),
  segment(2),
  router(1, 1),
  guest(2, 1, '10.1.1.2'),
  guest(3, 2, '10.1.2.3'),
);

const cases: Readonly<Record<string, (route: RouteSocket) => HostDocument>> = {
  'from nothing: bridges, then ports, then forwarding entries': () => two,
  'all is right: nothing to do': (route) => {
    bring(route, two);
    return two;
  },
  'a guest leaves: its entry goes with its port, after its end': (route) => {
    bring(route, two);
    return hostDocument(2, segment(1), segment(2), router(1, 1), guest(3, 2, '10.1.2.3'));
  },
  'a guest is switched off: its port goes': (route) => {
    bring(route, two);
    return hostDocument(
      2,
      segment(1),
      segment(2),
      router(1, 1),
      guest(2, 1, '10.1.1.2', { state: 'stopped' }),
      guest(3, 2, '10.1.2.3'),
    );
  },
  'a port moves to another segment: it changes its bridge and is placed there': (route) => {
    bring(route, two);
    return hostDocument(
      2,
      segment(1),
      segment(2),
      router(1, 1),
      guest(2, 2, '10.1.2.2'),
      guest(3, 2, '10.1.2.3'),
    );
  },
  'a MAC moves to a standby: first its entry, then broadcast here, then no more broadcast there': (route) => {
    const both = hostDocument(1, segment(1), router(1, 1), router(2, 1));
    const serving = (generation: number, which: number): HostDocument => ({
      ...both,
      generation,
      ports: both.ports.map((port, index) => ({ ...port, active: index === which })),
      fdb: both.fdb.slice(0, 1).map((entry) => ({ ...entry, port: both.ports[which]?.id as string })),
    });
    bring(route, serving(1, 0));
    return serving(2, 1);
  },
  'a port joins another machine: it is made anew': (route) => {
    bring(route, two);
    return {
      ...two,
      generation: 2,
      ports: two.ports.map((port) =>
        port.role === 'guest' ? { ...port, mac: port.mac.replace('02:', '06:') } : port,
      ),
    };
  },
  'everything goes: ports before bridges': (route) => {
    bring(route, two);
    return hostDocument(2);
  },
  'a foreign device has a wanted name: it is told and left alone': (route) => {
    route.send(links.add({ kind: 'bridge', name: 'br000000000002', alias: 'somebody else' }));
    return two;
  },
  'making a port was interrupted: it is finished, not made anew': (route) => {
    bring(route, hostDocument(1, segment(1), router(1, 1)));
    route.send(
      links.add({
        kind: 'veth',
        name: 'pt000000000002',
        mtu: 1450,
        peer: { name: 'eth0', netns: 'm-ins-000000000002' },
      }),
    );
    return hostDocument(2, segment(1), router(1, 1), guest(2, 1, '10.1.1.2'));
  },
};

for (const [sentence, make] of Object.entries(cases)) {
  test(sentence, (t) => {
    const { route } = fabric();
    const document = make(route);
    matchesGolden(
      t,
      `fabric/${sentence.toLowerCase().replaceAll(/[^a-z]+/g, '-')}`,
      `# ${sentence}\n${steps(route, document)}`,
    );
  });
}

test('a port is not silenced while the one that is to get its broadcast cannot be had', (t) => {
  const { route } = fabric();
  const both = hostDocument(1, segment(1), router(1, 1), router(2, 1));
  const serving = (which: number): HostDocument => ({
    ...both,
    ports: both.ports.map((port, index) => ({ ...port, active: index === which })),
    fdb: both.fdb.slice(0, 1).map((entry) => ({ ...entry, port: both.ports[which]?.id as string })),
  });
  const alone = { ...serving(0), ports: serving(0).ports.slice(0, 1) };
  bring(route, alone);
  route.send(links.add({ kind: 'bridge', name: 'pt000000000002', alias: 'somebody else' }));
  const { ports } = serving(1);
  const silences = () => {
    const diff = diffFabric(observeFabric(route), wantedFabric(serving(1)));
    return [diff.placements, audiblePlacements(diff, ports, [])].map((placements) =>
      placements.some(({ type }) => type === 'set-flooding'),
    );
  };
  t.deepEqual(silences(), [true, false]);
  route.send(links.remove({ name: 'pt000000000002' }));
  t.deepEqual(silences(), [true, true]);
});

const documents = fc
  .record({
    segments: fc.subarray([0, 1, 2]),
    guests: fc.array(
      fc.record({
        number: fc.integer({ min: 0, max: 5 }),
        segment: fc.integer({ min: 0, max: 2 }),
        running: fc.boolean(),
        active: fc.boolean(),
        mtu: fc.constantFrom(1450, 1400),
        mac: fc.constantFrom('02', '06'),
        placed: fc.boolean(),
      }),
      { maxLength: 6 },
    ),
  })
  .map(({ segments, guests }): HostDocument => {
    const kept = [...new Map(guests.map((item) => [item.number, item])).values()].filter((item) =>
      segments.includes(item.segment),
    );
    const document = hostDocument(
      1,
      ...segments.map((number) => segment(number)),
      ...kept.map((item) =>
        guest(item.number, item.segment, `10.1.1.${item.number + 2}`, {
          state: item.running ? 'running' : 'stopped',
        }),
      ),
    );
    const settings = new Map(kept.map((item) => [`port-${String(item.number).padStart(12, '0')}`, item]));
    const mac = (id: string, text: string) => `${settings.get(id)?.mac}${text.slice(2)}`;
    return {
      ...document,
      ports: document.ports.map((port) => ({
        ...port,
        mtu: settings.get(port.id)?.mtu ?? port.mtu,
        active: settings.get(port.id)?.active ?? true,
        mac: mac(port.id, port.mac),
      })),
      fdb: document.fdb
        .filter((entry) => settings.get(entry.id)?.placed === true)
        .map((entry) => ({ ...entry, mac: mac(entry.id, entry.mac) })),
    };
  });

/** What others may do to a fabric behind our back. */
const damages = fc.array(
  fc.record({
    what: fc.constantFrom('remove', 'down', 'mtu', 'orphan', 'learn', 'forget', 'place', 'alias', 'steal'),
    which: fc.nat({ max: 20 }),
  }),
  { maxLength: 6 },
);

const damage = (route: RouteSocket, what: string, which: number) => {
  const all = route.dump(links.dump()).filter((link) => link.name !== 'lo');
  const link = all[which % Math.max(1, all.length)];
  if (link === undefined) return;
  const { index, name } = link;
  switch (what) {
    case 'remove':
      route.batch([links.remove({ index })]);
      break;
    case 'down':
      route.batch([links.set({ index, up: false })]);
      break;
    case 'mtu':
      route.batch([links.set({ index, mtu: 1200 })]);
      break;
    case 'orphan':
      route.batch([links.set({ index, master: null })]);
      break;
    case 'learn':
      route.batch([links.set({ index, bridgePort: { learning: true, flood: true, bcastFlood: true } })]);
      break;
    case 'forget':
      route.batch(route.dump(fdb.dump()).map((entry) => fdb.remove({ dev: entry.link, mac: entry.mac })));
      break;
    case 'place':
      route.batch([fdb.replace({ dev: name, mac: `02:00:00:00:00:0${which % 8}` })]);
      break;
    case 'alias':
      route.batch([links.set({ index, alias: `selvage:port:port-${which} gone elsewhere` })]);
      break;
    case 'steal':
      route.batch([links.add({ kind: 'bridge', name: `foreign${which}` })]);
      break;
  }
};

test('from whatever is there, one diff leads to what is wanted, and then there is nothing to do', (t) => {
  fc.assert(
    fc.property(fc.array(documents, { maxLength: 3 }), damages, documents, (before, harm, wanted) => {
      const { route } = fabric();
      for (const document of before) bring(route, document);
      for (const { what, which } of harm) damage(route, what, which);
      const foreign = route
        .dump(links.dump())
        .filter((link) => link.name.startsWith('foreign') && link.alias === null);
      const { failures, problems } = bring(route, wanted);
      const rest = diffFabric(observeFabric(route), wantedFabric(wanted));
      const { route: fresh } = fabric();
      bring(fresh, wanted);
      const reached = shape(route);
      const now = route.dump(links.dump());
      return (
        failures.length === 0 &&
        problems.length === 0 &&
        rest.actions.length + rest.placements.length === 0 &&
        rest.removals.length === 0 &&
        foreign.every((link) => now.some(({ index, name }) => index === link.index && name === link.name)) &&
        JSON.stringify({
          ...reached,
          links: reached.links.filter(({ name }) => !name.startsWith('foreign')),
        }) === JSON.stringify(shape(fresh))
      );
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('a second look changes nothing', (t) => {
  fc.assert(
    fc.property(documents, (wanted) => {
      const { route } = fabric();
      bring(route, wanted);
      const first = route.dump(links.dump());
      const { actions, placements, removals } = bring(route, wanted);
      return (
        actions.length + placements.length + removals.length === 0 &&
        JSON.stringify(first) === JSON.stringify(route.dump(links.dump()))
      );
    }),
  );
  t.pass();
});
