import test from 'ava';
import { verifyHostDocument } from 'documents';
import fc from 'fast-check';
import type { HostFacts } from '../../plan/facts.ts';
import { planHost } from '../../plan/host.ts';
import { arbitraryMask, arbitraryWorld, buildHost } from './arbitrary-world.ts';

test('any host is planned into a document that verifies', (t) => {
  fc.assert(
    fc.property(arbitraryWorld, arbitraryMask, (world, present) => {
      const facts = buildHost(world, present);
      const document = planHost(facts);
      t.deepEqual(verifyHostDocument(document), []);
      t.is(document.machines.length, facts.instances.length + facts.routers.length);
      for (const port of document.ports) {
        // Guests are pinned, routers are not; every MAC has its place.
        t.is(port.security === null, port.role === 'router');
        const places = document.fdb.filter(
          (entry) => entry.mac === port.mac && entry.segment === port.segment,
        );
        // One place for every MAC, however many routers have it.
        t.deepEqual(
          places.map((entry) => entry.port === port.id),
          [port.active],
        );
      }
      const pairs = facts.routers.filter(({ older }) => older !== null).length;
      const wired = new Set(document.links?.flatMap(({ ends }) => ends.map(({ machine }) => machine)));
      t.is(document.links?.length ?? 0, pairs * 2);
      t.is(wired.size, pairs * 2);
      const implemented = facts.networks
        .filter((network) => network.vni !== null)
        .map((network) => network.vni);
      t.deepEqual(document.segments.flatMap((segment) => segment.vni ?? []).sort(), implemented.sort());
    }),
  );
});

test('the order of rows makes no difference', (t) => {
  fc.assert(
    fc.property(arbitraryWorld, arbitraryMask, (world, present) => {
      const facts = buildHost(world, present);
      const shuffled = Object.fromEntries(
        Object.entries(facts).map(([name, rows]) => [name, Array.isArray(rows) ? rows.toReversed() : rows]),
      ) as unknown as HostFacts;
      t.deepEqual(planHost(shuffled), planHost(facts));
    }),
  );
});

test('the public segment is there with a public range or a router, and else not', (t) => {
  const facts = (hasPublicRange: boolean, routers: boolean): HostFacts => ({
    host: { id: 'host-0', generation: 1 },
    zone: { id: 'zone-4k2v9x0d1m7q', publicMtu: 1500, hasPublicRange },
    networks: [
      { id: 'net-1', vni: 5, mtu: 1450, gatewayMac: '02:00:00:00:00:01', publicMac: '02:00:00:00:00:02' },
    ],
    routers: routers
      ? [
          {
            id: 'rtr-1',
            network: 'net-1',
            ordinal: 0,
            createdAt: 1,
            active: true,
            older: null,
            newer: null,
            heardOlder: null,
            heardNewer: null,
          },
        ]
      : [],
    instances: [],
    ports: routers
      ? [
          {
            id: 'port-1',
            role: 'router-public',
            network: 'net-1',
            machine: 'rtr-1',
            mac: '02:00:00:00:00:02',
            address: null,
            createdAt: 1,
          },
        ]
      : [],
  });
  const devices = (range: boolean, routers: boolean) =>
    planHost(facts(range, routers)).segments.map((segment) => segment.device);
  t.deepEqual(devices(false, false), ['br1']);
  t.deepEqual(devices(true, false), ['br1', 'br4k2v9x0d1m7q']);
  t.deepEqual(devices(false, true), ['br1', 'br4k2v9x0d1m7q']);
});

test('the interfaces of a guest keep their names when one is added', (t) => {
  const port = (id: string, network: string, createdAt: number) => ({
    id,
    role: 'guest' as const,
    network,
    machine: 'ins-1',
    mac: `02:00:00:00:01:0${createdAt}`,
    address: `10.0.${createdAt}.2`,
    createdAt,
  });
  const facts = (ports: HostFacts['ports'], firstVni: number | null): HostFacts => ({
    host: { id: 'host-0', generation: 1 },
    zone: { id: 'zone-0', publicMtu: 1500, hasPublicRange: false },
    networks: [
      {
        id: 'net-1',
        vni: firstVni,
        mtu: 1450,
        gatewayMac: '02:00:00:00:00:01',
        publicMac: '02:00:00:00:00:02',
      },
      { id: 'net-2', vni: 6, mtu: 1450, gatewayMac: '02:00:00:00:00:03', publicMac: '02:00:00:00:00:04' },
    ],
    routers: [],
    instances: [{ id: 'ins-1', hostname: 'a', wantedState: 'running' }],
    ports,
  });
  const names = (document: ReturnType<typeof planHost>) =>
    document.ports.map(({ id, machineDevice }) => `${id} ${machineDevice}`);
  const first = port('port-z', 'net-1', 1);
  const second = port('port-a', 'net-2', 2);
  t.deepEqual(names(planHost(facts([first], 5))), ['port-z eth0']);
  t.deepEqual(names(planHost(facts([second, first], 5))), ['port-a eth1', 'port-z eth0']);
  // Its network being away does not make eth1 an eth0.
  t.deepEqual(names(planHost(facts([second, first], null))), ['port-a eth1']);
});
