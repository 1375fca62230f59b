/** Random walks: the same requests in the same order to the kernel and to the fake, with the same outcome and end. */
import { deepStrictEqual } from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import {
  addresses,
  fdb,
  links,
  namespaces,
  neighbours,
  type NetlinkRequest,
  openRouteSocket,
  type RouteSocket,
  routes,
  rules,
} from 'node-netlink';
import { FakeNetwork } from 'node-netlink/fake';

const bridge = fc.constantFrom('br0', 'br1');
const port = fc.constantFrom('v0', 'v1', 'w0', 'w1');
const dev = fc.oneof(bridge, port);
const address = fc.constantFrom('10.1.0.1/24', '10.1.0.2/24', '10.2.0.1/24', '10.3.0.1/32');
const gateway = fc.constantFrom('10.1.0.9', '10.2.0.9', '192.0.2.1');
const destination = fc.constantFrom('default', '10.50.0.0/16', '10.60.0.0/16');
const mac = fc.constantFrom('02:00:00:00:00:71', '02:00:00:00:00:72');
const metric = fc.constantFrom(undefined, 7);

const anyRequest: fc.Arbitrary<NetlinkRequest> = fc.oneof(
  // With an address of its own: one taken from the ports changes with them, and the kernel then forgets neighbours.
  bridge.map((name) => links.add({ kind: 'bridge', name, up: true, mac: '02:00:00:00:00:0b' })),
  fc
    .constantFrom('0', '1')
    .map((n) => links.add({ kind: 'veth', name: `v${n}`, up: true, peer: { name: `w${n}`, up: true } })),
  dev.map((name) => links.remove({ name })),
  fc.tuple(port, fc.option(bridge)).map(([name, master]) => links.set({ name, master })),
  fc.tuple(dev, fc.boolean()).map(([name, up]) => links.set({ name, up })),
  fc.tuple(port, fc.boolean()).map(([name, learning]) => links.set({ name, alias: `learning ${learning}` })),
  fc.tuple(dev, address).map(([name, one]) => addresses.add({ dev: name, address: one })),
  fc.tuple(dev, address).map(([name, one]) => addresses.remove({ dev: name, address: one })),
  fc
    .tuple(destination, gateway, metric)
    .map(([to, via, m]) => routes.add({ destination: to, via, metric: m })),
  fc.tuple(destination, metric).map(([to, m]) => routes.remove({ destination: to, metric: m })),
  fc.tuple(dev, mac).map(([name, one]) => neighbours.add({ dev: name, address: '10.1.0.77', mac: one })),
  dev.map((name) => neighbours.remove({ dev: name, address: '10.1.0.77' })),
  fc.tuple(port, mac).map(([name, one]) => fdb.add({ dev: name, mac: one })),
  fc.tuple(port, mac).map(([name, one]) => fdb.replace({ dev: name, mac: one, sticky: true })),
  fc.tuple(port, mac).map(([name, one]) => fdb.remove({ dev: name, mac: one })),
  fc.constantFrom(100, 101).map((priority) => rules.add({ priority, table: 100 })),
  fc.constantFrom(100, 101).map((priority) => rules.remove({ priority })),
);

/** Told by its words when a walk fails. */
const request = anyRequest.map((one) => ({ one, [fc.toStringMethod]: () => JSON.stringify(one.operation) }));

/** What is compared: everything the fake models, by name instead of index, in a stable order. */
const stateOf = (socket: RouteSocket): string[] => {
  const all = socket.dump(links.dump());
  const name = (index: number | null): string => all.find((link) => link.index === index)?.name ?? '-';
  return [
    ...all.map((l) => `link ${l.name} ${l.kind} up ${l.up} master ${name(l.master)} alias ${l.alias}`),
    ...socket
      .dump(addresses.dump({ family: 'ipv4' }))
      .filter((a) => a.scope === 'global')
      .map((a) => `address ${name(a.link)} ${a.address}`),
    ...socket
      .dump(routes.dump({ family: 'ipv4', table: 254 }))
      .map((r) => `route ${r.destination} via ${r.via} dev ${name(r.link)} metric ${r.metric} ${r.protocol}`),
    ...socket
      .dump(neighbours.dump({ family: 'ipv4' }))
      .filter((n) => n.state === 'permanent')
      .map((n) => `neighbour ${name(n.link)} ${n.address} ${n.mac}`),
    ...socket
      .dump(fdb.dump())
      .filter((f) => f.mac.startsWith('02:00:00:00:00:7'))
      .map((f) => `fdb ${name(f.link)} ${f.mac} ${f.sticky}`),
    ...socket.dump(rules.dump({ family: 'ipv4' })).map((r) => `rule ${r.priority} ${r.table}`),
  ].toSorted();
};

test('the fake goes where the kernel goes', (t) => {
  const own = `svt${process.pid}walk`;
  let runs = 0;
  fc.assert(
    fc.property(fc.array(request, { minLength: 5, maxLength: 25 }), (walk) => {
      const requests = walk.map(({ one }) => one);
      runs += 1;
      const netns = `${own}${runs}`;
      namespaces.create(netns);
      const socket = openRouteSocket({ netns });
      try {
        // The kernel's own IPv6 addresses are not part of the fake.
        const fake = new FakeNetwork().openRouteSocket();
        const outcomes = (world: RouteSocket): string[] => [
          ...requests.map((one) => `${one.description}: ${world.batch([one])[0]?.errno ?? 'ok'}`),
          ...stateOf(world),
        ];
        deepStrictEqual(outcomes(fake), outcomes(socket));
      } finally {
        socket.close();
        namespaces.remove(netns);
      }
    }),
    { seed: 20261120, numRuns: 100, includeErrorInReport: true },
  );
  t.pass();
});
