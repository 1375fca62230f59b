/** The same cases against the kernel and the fake: what one refuses, the other refuses alike. */
import test, { type ExecutionContext } from 'ava';
import {
  addresses,
  fdb,
  type Link,
  links,
  namespaces,
  neighbours,
  NetlinkError,
  type NetlinkRequest,
  openRouteSocket,
  qdiscs,
  type RouteSocket,
  routes,
  rules,
} from 'node-netlink';
import { FakeNetwork } from 'node-netlink/fake';

interface World {
  readonly socket: RouteSocket;
  readonly other: RouteSocket;
  readonly otherName: string;
}

let counter = 0;

const worlds: Readonly<Record<string, (t: ExecutionContext) => World>> = {
  kernel: (t) => {
    counter += 1;
    const names = [`svt${process.pid}k${counter}a`, `svt${process.pid}k${counter}b`] as const;
    for (const name of names) {
      namespaces.create(name, { loopbackUp: true });
      t.teardown(() => namespaces.remove(name));
    }
    const socket = openRouteSocket({ netns: names[0] });
    const other = openRouteSocket({ netns: names[1] });
    t.teardown(() => socket.close());
    t.teardown(() => other.close());
    return { socket, other, otherName: names[1] };
  },
  fake: () => {
    const network = new FakeNetwork();
    network.namespaces.create('a', { loopbackUp: true });
    network.namespaces.create('b', { loopbackUp: true });
    return {
      socket: network.openRouteSocket({ netns: 'a' }),
      other: network.openRouteSocket({ netns: 'b' }),
      otherName: 'b',
    };
  },
};

const refused = (
  t: ExecutionContext,
  socket: RouteSocket,
  request: NetlinkRequest<unknown>,
  errno: string,
): void => {
  const error = t.throws(() => socket.send(request), { instanceOf: NetlinkError }, request.description);
  t.is(error?.errno, errno, request.description);
  t.is(error?.request, request.description);
  t.true(error?.message.startsWith(`${request.description}: ${errno}`), error?.message);
};

const names = (socket: RouteSocket): string[] =>
  socket
    .dump(links.dump())
    .map((link) => link.name)
    .toSorted();

/** A bridge with a veth port whose peer is in the other namespace, everything up. */
const furnish = ({ socket, otherName }: World): void => {
  socket.send(links.add({ kind: 'bridge', name: 'br0', mac: '02:00:00:00:01:01', up: true }));
  socket.send(
    links.add({
      kind: 'veth',
      name: 'p0',
      mac: '02:00:00:00:01:02',
      master: 'br0',
      up: true,
      peer: { name: 'eth0', mac: '02:00:00:00:01:03', netns: otherName, up: true },
    }),
  );
};

const cases: Readonly<Record<string, (t: ExecutionContext, world: World) => void>> = {
  'links are made, refused when there, read, changed, renamed and removed with their peer': (t, world) => {
    const { socket, other } = world;
    furnish(world);
    refused(t, socket, links.add({ kind: 'bridge', name: 'br0' }), 'EEXIST');
    refused(t, socket, links.get({ name: 'none' }), 'ENODEV');
    refused(t, socket, links.set({ name: 'none', up: true }), 'ENODEV');
    refused(t, socket, links.remove({ name: 'none' }), 'ENODEV');
    refused(t, socket, links.add({ kind: 'vxlan', name: 'vx0', vxlan: { id: 16777216 } }), 'ERANGE');
    const bridge: Link = socket.send(links.get({ name: 'br0' }));
    const port = socket.send(links.get({ name: 'p0' }));
    t.is(bridge.kind, 'bridge');
    t.is(bridge.mac, '02:00:00:00:01:01');
    t.is(port.master, bridge.index);
    t.true(port.up);
    t.true(port.carrier);
    t.true(port.bridgePort?.learning);
    t.is(other.send(links.get({ name: 'eth0' })).mac, '02:00:00:00:01:03');
    socket.send(
      links.set({
        name: 'p0',
        mtu: 1400,
        alias: 'to the other',
        bridgePort: { learning: false, isolated: true },
      }),
    );
    const changed = socket.send(links.get({ index: port.index }));
    t.is(changed.mtu, 1400);
    t.is(changed.alias, 'to the other');
    t.false(changed.bridgePort?.learning);
    t.true(changed.bridgePort?.isolated);
    t.true(changed.bridgePort?.flood);
    socket.send(links.set({ name: 'p0', up: false }));
    socket.send(links.set({ name: 'p0', newName: 'p1', master: null }));
    const renamed = socket.send(links.get({ name: 'p1' }));
    t.is(renamed.index, port.index);
    t.is(renamed.master, null);
    t.is(renamed.bridgePort, undefined);
    t.deepEqual(names(socket), ['br0', 'lo', 'p1']);
    t.deepEqual(names(other), ['eth0', 'lo']);
    socket.send(links.remove({ name: 'p1' }));
    t.deepEqual(names(socket), ['br0', 'lo']);
    t.deepEqual(names(other), ['lo']);
  },

  'links move between namespaces and go by group': (t, world) => {
    const { socket, other, otherName } = world;
    for (let i = 0; i < 3; i += 1) {
      socket.send(links.add({ kind: 'veth', name: `g${i}`, group: 7, peer: { name: `h${i}` } }));
    }
    socket.send(links.set({ name: 'h0', netns: otherName }));
    t.deepEqual(names(other), ['h0', 'lo']);
    t.is(other.send(links.get({ name: 'h0' })).up, false);
    refused(t, socket, links.set({ name: 'h1', netns: 'svtnone' }), 'ENOENT');
    socket.send(links.remove({ group: 7 }));
    t.deepEqual(names(socket), ['lo']);
    t.deepEqual(names(other), ['lo']);
    refused(t, socket, links.remove({ group: 7 }), 'ENODEV');
  },

  'addresses are added once and removed once': (t, world) => {
    const { socket } = world;
    furnish(world);
    for (const address of ['10.1.1.1/24', 'fd00::1/64']) {
      socket.send(addresses.add({ dev: 'br0', address, noDad: address.includes(':') }));
      refused(t, socket, addresses.add({ dev: 'br0', address }), 'EEXIST');
      socket.send(addresses.replace({ dev: 'br0', address }));
    }
    const found = socket
      .dump(addresses.dump({ dev: 'br0' }))
      .filter((address) => address.scope === 'global')
      .map((address) => address.address);
    t.deepEqual(found.toSorted(), ['10.1.1.1/24', 'fd00::1/64']);
    socket.send(addresses.remove({ dev: 'br0', address: '10.1.1.1/24' }));
    refused(t, socket, addresses.remove({ dev: 'br0', address: '10.1.1.1/24' }), 'EADDRNOTAVAIL');
    refused(t, socket, addresses.remove({ dev: 'br0', address: 'fd00::2/64' }), 'EADDRNOTAVAIL');
    refused(t, socket, addresses.add({ dev: 'none', address: '10.1.1.1/24' }), 'ENODEV');
    refused(t, socket, addresses.add({ dev: 'br0', address: '010.0.0.1/24' }), 'EINVAL');
    refused(t, socket, addresses.add({ dev: 'br0', address: '10.0.0.1/33' }), 'EINVAL');
  },

  'routes need a way to their gateway, are refused when there and missed when not': (t, world) => {
    const { socket } = world;
    furnish(world);
    refused(t, socket, routes.add({ destination: '10.9.0.0/16', via: '10.1.1.2' }), 'ENETUNREACH');
    socket.send(addresses.add({ dev: 'br0', address: '10.1.1.1/24' }));
    socket.send(routes.add({ destination: '10.9.0.0/16', via: '10.1.1.2' }));
    refused(t, socket, routes.add({ destination: '10.9.0.0/16', via: '10.1.1.3' }), 'EEXIST');
    socket.send(routes.add({ destination: '10.9.0.0/16', via: '10.1.1.3', metric: 10 }));
    socket.send(routes.replace({ destination: '10.9.0.0/16', via: '10.1.1.4' }));
    socket.send(routes.add({ destination: 'default', via: '10.1.1.254', table: 1000 }));
    socket.send(routes.add({ destination: '10.8.0.0/16', via: '192.0.2.1', dev: 'br0', onlink: true }));
    const found = socket
      .dump(routes.dump({ family: 'ipv4' }))
      .filter((route) => route.table !== 255)
      .map(
        (route) =>
          `${route.destination} ${route.via} ${route.metric} ${route.table} ${route.protocol} ${route.scope}`,
      );
    t.deepEqual(found.toSorted(), [
      '10.1.1.0/24 null 0 254 kernel link',
      '10.8.0.0/16 192.0.2.1 0 254 boot global',
      '10.9.0.0/16 10.1.1.3 10 254 boot global',
      '10.9.0.0/16 10.1.1.4 0 254 boot global',
      'default 10.1.1.254 0 1000 boot global',
    ]);
    t.is(socket.dump(routes.dump({ family: 'ipv4', table: 1000 })).length, 1);
    socket.send(routes.remove({ destination: '10.9.0.0/16', metric: 10 }));
    socket.send(routes.remove({ destination: '10.9.0.0/16' }));
    refused(t, socket, routes.remove({ destination: '10.9.0.0/16' }), 'ESRCH');
    refused(t, socket, routes.add({ destination: '10.7.0.0/16', dev: 'none' }), 'ENODEV');
    // A link that goes down takes its routes with it.
    socket.send(links.set({ name: 'br0', up: false }));
    t.is(socket.dump(routes.dump({ family: 'ipv4' })).filter((route) => route.table === 1000).length, 0);
  },

  'rules are unique and found by what is given of them': (t, world) => {
    const { socket } = world;
    const rule = { priority: 100, from: '10.1.1.0/24', mark: 7, table: 1000 };
    socket.send(rules.add(rule));
    refused(t, socket, rules.add(rule), 'EEXIST');
    socket.send(rules.add({ ...rule, priority: 101 }));
    const priorities = socket.dump(rules.dump({ family: 'ipv4' })).map((one) => one.priority);
    t.deepEqual(priorities, [0, 100, 101, 32766, 32767]);
    const [found] = socket.dump(rules.dump({ family: 'ipv4' })).filter((one) => one.priority === 100);
    t.like(found, { from: '10.1.1.0/24', mark: 7, markMask: 0xffffffff, table: 1000, action: 'table' });
    socket.send(rules.remove({ priority: 100 }));
    refused(t, socket, rules.remove({ priority: 100 }), 'ENOENT');
    refused(t, socket, rules.remove({ ...rule, priority: 101, mark: 8 }), 'ENOENT');
    socket.send(rules.remove({ ...rule, priority: 101 }));
  },

  'neighbours are added once, overwritten and removed': (t, world) => {
    const { socket } = world;
    furnish(world);
    const neighbour = { dev: 'br0', address: '10.1.1.9', mac: '02:00:00:00:00:99' };
    socket.send(addresses.add({ dev: 'br0', address: '10.1.1.1/24' }));
    socket.send(neighbours.add(neighbour));
    refused(t, socket, neighbours.add(neighbour), 'EEXIST');
    socket.send(neighbours.replace({ ...neighbour, mac: '02:00:00:00:00:98', state: 'reachable' }));
    socket.send(neighbours.add({ dev: 'br0', address: 'fd00::9', mac: '02:00:00:00:00:97' }));
    const found = socket
      .dump(neighbours.dump({ dev: 'br0' }))
      .filter((one) => one.state !== 'noarp')
      .map(({ address, mac, state }) => ({ address, mac, state }));
    t.deepEqual(
      found.toSorted((a, b) => a.address.localeCompare(b.address)),
      [
        { address: '10.1.1.9', mac: '02:00:00:00:00:98', state: 'reachable' },
        { address: 'fd00::9', mac: '02:00:00:00:00:97', state: 'permanent' },
      ],
    );
    socket.send(neighbours.remove({ dev: 'br0', address: 'fd00::9' }));
    refused(t, socket, neighbours.remove({ dev: 'br0', address: 'fd00::9' }), 'ENOENT');
    refused(t, socket, neighbours.add({ ...neighbour, dev: 'none' }), 'ENODEV');
  },

  'forwarding entries belong to a bridge, move by replace and are removed where they are': (t, world) => {
    const { socket } = world;
    furnish(world);
    socket.send(links.add({ kind: 'veth', name: 'q0', master: 'br0', peer: { name: 'q1' } }));
    socket.send(links.add({ kind: 'vxlan', name: 'vx0', vxlan: { id: 42, local: '10.0.0.1' } }));
    const entry = { mac: '02:00:00:00:00:77', sticky: true };
    socket.send(fdb.add({ dev: 'p0', ...entry }));
    refused(t, socket, fdb.add({ dev: 'p0', ...entry }), 'EEXIST');
    refused(t, socket, fdb.add({ dev: 'q1', ...entry }), 'EOPNOTSUPP');
    socket.send(fdb.replace({ dev: 'q0', ...entry }));
    const placed = socket.dump(fdb.dump({ bridge: 'br0' })).filter((one) => one.mac === entry.mac);
    t.is(placed.length, 1);
    t.like(placed[0], {
      state: 'static',
      sticky: true,
      table: 'master',
      link: socket.send(links.get({ name: 'q0' })).index,
    });
    refused(t, socket, fdb.remove({ dev: 'p0', mac: entry.mac }), 'ENOENT');
    socket.send(fdb.remove({ dev: 'q0', mac: entry.mac }));
    socket.send(fdb.add({ dev: 'vx0', mac: entry.mac, table: 'self', destination: '10.0.0.9' }));
    refused(
      t,
      socket,
      fdb.add({ dev: 'vx0', mac: entry.mac, table: 'self', destination: '10.0.0.9' }),
      'EEXIST',
    );
    const remote = socket.dump(fdb.dump({ dev: 'vx0' })).filter((one) => one.mac === entry.mac);
    t.like(remote[0], { destination: '10.0.0.9', table: 'self' });
    socket.send(fdb.remove({ dev: 'vx0', mac: entry.mac, table: 'self' }));
    refused(t, socket, fdb.remove({ dev: 'vx0', mac: entry.mac, table: 'self' }), 'ENOENT');
  },

  'queueing disciplines are replaced and removed': (t, world) => {
    const { socket } = world;
    furnish(world);
    const tbf = {
      dev: 'p0',
      kind: 'tbf',
      rate: 1_000_000,
      burst: 20_000,
      limit: 100_000,
      handle: 0x10000,
    } as const;
    socket.send(qdiscs.replace(tbf));
    refused(t, socket, qdiscs.add(tbf), 'EEXIST');
    const [found] = socket.dump(qdiscs.dump({ dev: 'p0' }));
    t.deepEqual(found?.tbf, { rate: 1_000_000, burst: 20_000, limit: 100_000 });
    t.is(found?.handle, 0x10000);
    socket.send(qdiscs.remove({ dev: 'p0' }));
    refused(t, socket, qdiscs.remove({ dev: 'p0' }), 'ENOENT');
  },

  'a batch says of each how it went, and later requests see what earlier ones made': (t, world) => {
    const { socket, otherName } = world;
    const errors = socket.batch([
      links.add({ kind: 'veth', name: 'b0', up: true, peer: { name: 'b1' } }),
      addresses.add({ dev: 'b0', address: '10.3.0.1/24' }),
      links.add({ kind: 'veth', name: 'b0', peer: { name: 'b2' } }),
      links.set({ name: 'b1', netns: otherName }),
      addresses.add({ dev: 'b1', address: '10.3.0.2/24' }),
      links.remove({ name: 'b0' }),
      links.add({ kind: 'bridge', name: 'b0' }),
      addresses.add({ dev: 'b0', address: '10.3.0.3/24' }),
    ]);
    t.deepEqual(
      errors.map((error) => error?.errno ?? null),
      [null, null, 'EEXIST', null, 'ENODEV', null, null, null],
    );
    t.deepEqual(
      socket.dump(addresses.dump({ dev: 'b0', family: 'ipv4' })).map((one) => one.address),
      ['10.3.0.3/24'],
    );
  },

  'a closed socket refuses': (t, { socket }) => {
    socket.close();
    socket.close();
    const error = t.throws(() => socket.send(links.get({ name: 'lo' })), { instanceOf: NetlinkError });
    t.is(error?.code, 'netlink-closed');
    t.throws(() => socket.dump(links.dump()), { instanceOf: NetlinkError });
  },
};

for (const [world, make] of Object.entries(worlds)) {
  for (const [title, run] of Object.entries(cases)) {
    test(`${world}: ${title}`, (t) => run(t, make(t)));
  }
}

test('a fake namespace that is not there is refused as the real one is', (t) => {
  const fake = t.throws(() => new FakeNetwork().openRouteSocket({ netns: 'svtnone' }), {
    instanceOf: NetlinkError,
  });
  const real = t.throws(() => openRouteSocket({ netns: 'svtnone' }), { instanceOf: NetlinkError });
  t.is(fake?.code, 'netlink-not-found');
  t.is(real?.code, fake?.code);
  t.is(real?.message.split(':')[0], fake?.message.split(':')[0]);
});
