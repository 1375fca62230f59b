import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import {
  addresses,
  type BridgePortOptions,
  fdb,
  type LinkOptions,
  links,
  namespaces,
  NetlinkError,
  openRouteSocket,
  routes,
} from 'node-netlink';
import fc from 'fast-check';
import { NETLINK_ROUTE, NetlinkSocket } from '../src/netlink-socket.ts';
import { scratchNamespace, scratchSocket } from './support/scratch-namespaces.ts';

const ip = (t: ExecutionContext, netns: string, ...args: string[]): unknown => {
  const run = spawnSync('ip', ['-j', '-d', '-n', netns, ...args], { encoding: 'utf8' });
  t.is(run.status, 0, run.stderr);
  return JSON.parse(run.stdout === '' ? '[]' : run.stdout);
};

test('twenty requests at once all succeed, and a thousand in one batch do', (t) => {
  const { socket } = scratchSocket(t);
  socket.send(links.add({ kind: 'bridge', name: 'br0', up: true }));
  const address = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`;
  const twenty = socket.batch(
    Array.from({ length: 20 }, (_, i) => addresses.add({ dev: 'br0', address: address(i + 1) })),
  );
  t.deepEqual(
    twenty,
    Array.from({ length: 20 }, () => null),
  );
  const thousand = socket.batch(
    Array.from({ length: 1000 }, (_, i) => addresses.add({ dev: 'br0', address: address(i + 1) })),
  );
  // The first twenty are there: each of the thousand gets its own answer.
  t.deepEqual(
    thousand.map((error) => error?.errno ?? 'ok'),
    Array.from({ length: 1000 }, (_, i) => (i < 20 ? 'EEXIST' : 'ok')),
  );
  t.is(socket.dump(addresses.dump({ dev: 'br0', family: 'ipv4' })).length, 1000);
});

test('a batch larger than one call, with answers of every kind', (t) => {
  const { socket } = scratchSocket(t);
  socket.send(links.add({ kind: 'bridge', name: 'br0', up: true }));
  const requests = Array.from({ length: 3000 }, (_, i) =>
    routes.add({ destination: `10.${i >> 8}.${i & 255}.0/24`, dev: i % 100 === 99 ? 'none' : 'br0' }),
  );
  const errors = socket.batch(requests);
  t.is(errors.filter((error) => error?.errno === 'ENODEV').length, 30);
  t.is(errors.filter((error) => error === null).length, 2970);
  t.is(socket.dump(routes.dump({ family: 'ipv4', table: 254 })).length, 2970);
  t.deepEqual(socket.batch([]), []);
});

test('sockets used in turn do not see the answers of each other', (t) => {
  const netns = scratchNamespace(t);
  const sockets = Array.from({ length: 20 }, () => openRouteSocket({ netns }));
  t.teardown(() => {
    for (const socket of sockets) socket.close();
  });
  sockets.forEach((socket, i) => socket.send(links.add({ kind: 'bridge', name: `br${i}` })));
  sockets.forEach((socket, i) => t.is(socket.send(links.get({ name: `br${i}` })).name, `br${i}`));
});

test('hundreds of links are listed as ip lists them', (t) => {
  const { netns, socket } = scratchSocket(t);
  const errors = socket.batch(
    Array.from({ length: 150 }, (_, i) =>
      links.add({ kind: 'veth', name: `a${i}`, group: 9, peer: { name: `b${i}`, group: 9 } }),
    ),
  );
  t.true(errors.every((error) => error === null));
  const ours = socket.dump(links.dump());
  const theirs = ip(t, netns, 'link', 'show') as {
    ifindex: number;
    ifname: string;
    mtu: number;
    address: string;
  }[];
  t.is(ours.length, 301);
  t.deepEqual(
    ours.map(({ index, name, mtu, mac }) => ({ index, name, mtu, mac })),
    theirs.map(({ ifindex, ifname, mtu, address }) => ({ index: ifindex, name: ifname, mtu, mac: address })),
  );
  socket.send(links.remove({ group: 9 }));
  t.is(socket.dump(links.dump()).length, 1);
});

test('the kernel says in words what is wrong', (t) => {
  const { socket } = scratchSocket(t);
  const vxlan = t.throws(
    () => socket.send(links.add({ kind: 'vxlan', name: 'vx0', vxlan: { id: 1 << 24 } })),
    {
      instanceOf: NetlinkError,
    },
  );
  t.is(vxlan?.kernelMessage, 'VXLAN ID must be lower than 16777216');
  t.is(vxlan?.message, 'add link vx0 (vxlan): ERANGE (VXLAN ID must be lower than 16777216)');
  t.is(vxlan?.code, 'netlink-invalid');
  const route = t.throws(() => socket.send(routes.add({ destination: '10.0.0.0/8', via: '203.0.113.1' })), {
    instanceOf: NetlinkError,
  });
  t.is(route?.kernelMessage, 'Nexthop has invalid gateway');
  t.is(route?.code, 'netlink-unreachable');
});

test('what cannot be a message is refused before it is sent', (t) => {
  const { socket } = scratchSocket(t);
  for (const name of ['', 'sixteen-bytes-xx', 'a/b', 'a b', '..', 'a\nb', 'a:b']) {
    const error = t.throws(
      () => socket.send(links.add({ kind: 'bridge', name })),
      { instanceOf: NetlinkError },
      name,
    );
    t.is(error?.code, 'netlink-invalid');
  }
  for (const mac of ['', '02:00:00:00:00', '02-00-00-00-00-01', 'zz:00:00:00:00:01']) {
    const error = t.throws(() => socket.send(links.add({ kind: 'bridge', name: 'br0', mac })), {
      instanceOf: NetlinkError,
    });
    t.is(error?.code, 'netlink-invalid');
  }
  t.throws(() => socket.send(links.remove({ group: 0 })), {
    instanceOf: NetlinkError,
    code: 'netlink-invalid',
  });
  t.throws(() => socket.send(links.set({ up: true })), { instanceOf: NetlinkError, code: 'netlink-invalid' });
  t.is(socket.dump(links.dump()).length, 1);
});

test('veth made across namespaces, with alias, master and both ends up in one request', (t) => {
  const { netns, socket } = scratchSocket(t);
  const other = scratchSocket(t);
  // Down: several wires between two bridges are a loop, in which one packet, and IPv6 has some to say, goes round as fast as it
  // can, and takes the processors from everybody on this machine.
  other.socket.send(links.add({ kind: 'bridge', name: 'br9' }));
  socket.send(links.add({ kind: 'bridge', name: 'br0', up: true }));
  const pair = (name: string, where: string): LinkOptions => ({
    kind: 'veth',
    name,
    master: 'br0',
    alias: 'here',
    up: true,
    peer: { name: `${name}p`, netns: where, master: 'br9', alias: 'there', up: true, mtu: 1400 },
  });
  t.deepEqual(socket.batch([links.add(pair('v0', other.netns)), links.add(pair('v1', other.netns))]), [
    null,
    null,
  ]);
  const here = socket.send(links.get({ name: 'v1' }));
  const there = other.socket.send(links.get({ name: 'v1p' }));
  t.like(here, {
    alias: 'here',
    up: true,
    carrier: true,
    master: socket.send(links.get({ name: 'br0' })).index,
  });
  t.like(there, {
    alias: 'there',
    up: true,
    mtu: 1400,
    master: other.socket.send(links.get({ name: 'br9' })).index,
  });
  // Made from a third place entirely: both ends elsewhere.
  const third = scratchSocket(t);
  third.socket.send(links.add({ ...pair('v2', other.netns), netns }));
  t.like(socket.send(links.get({ name: 'v2' })), { alias: 'here', up: true, master: here.master });
  t.deepEqual(
    third.socket.dump(links.dump()).map((link) => link.name),
    ['lo'],
  );
  const failed = third.socket.batch([links.add({ ...pair('v3', other.netns), netns, master: 'none' })]);
  t.is(failed[0]?.errno, 'ENODEV');
});

test('a refused request changes nothing of the link that was there', (t) => {
  const { socket } = scratchSocket(t);
  socket.send(links.add({ kind: 'veth', name: 'v0', alias: 'first', peer: { name: 'v1', alias: 'first' } }));
  const second = links.add({
    kind: 'veth',
    name: 'v0',
    alias: 'second',
    peer: { name: 'v1', alias: 'second', up: true },
  });
  t.is(socket.batch([second])[0]?.errno, 'EEXIST');
  t.like(socket.send(links.get({ name: 'v0' })), { alias: 'first', up: false });
  t.like(socket.send(links.get({ name: 'v1' })), { alias: 'first', up: false });
});

test('a table without routes is an empty list', (t) => {
  const { socket } = scratchSocket(t);
  t.deepEqual(socket.dump(routes.dump({ table: 4321, family: 'ipv4' })), []);
  t.deepEqual(socket.dump(routes.dump({ table: 4321, family: 'ipv6' })), []);
  t.deepEqual(socket.dump(routes.dump({ table: 4321 })), []);
});

test('tap and tun devices persist, take settings, and are refused twice', (t) => {
  const { netns, socket } = scratchSocket(t);
  const other = scratchSocket(t);
  socket.send(links.add({ kind: 'bridge', name: 'br0', up: true }));
  socket.send(
    links.add({ kind: 'tap', name: 'tap0', mac: '02:00:00:00:00:09', master: 'br0', mtu: 1400, up: true }),
  );
  socket.send(links.add({ kind: 'tun', name: 'tun0', netns: other.netns, alias: 'far' }));
  const tap = socket.send(links.get({ name: 'tap0' }));
  t.like(tap, { kind: 'tun', mac: '02:00:00:00:00:09', mtu: 1400, up: true });
  t.is(other.socket.send(links.get({ name: 'tun0' })).alias, 'far');
  const error = t.throws(() => socket.send(links.add({ kind: 'tap', name: 'tap0' })), {
    instanceOf: NetlinkError,
  });
  t.is(error?.code, 'netlink-exists');
  const [shown] = ip(t, netns, 'link', 'show', 'tap0') as {
    linkinfo: { info_data: { type: string; persist: boolean } };
  }[];
  t.like(shown?.linkinfo.info_data, { type: 'tap', persist: true });
  socket.send(links.remove({ name: 'tap0' }));
});

test('VXLAN settings and remote entries are as bridge(8) shows them', (t) => {
  const { netns, socket } = scratchSocket(t);
  socket.send(
    links.add({
      kind: 'vxlan',
      name: 'vx0',
      up: true,
      vxlan: { id: 42, local: '10.0.0.1', port: 4790, learning: false },
    }),
  );
  t.deepEqual(socket.send(links.get({ name: 'vx0' })).vxlan, {
    id: 42,
    local: '10.0.0.1',
    remote: null,
    port: 4790,
    learning: false,
    dev: null,
  });
  socket.send(
    fdb.add({
      dev: 'vx0',
      mac: '02:00:00:00:00:01',
      table: 'self',
      destination: '10.0.0.9',
      vni: 43,
      port: 4791,
    }),
  );
  const run = spawnSync('bridge', ['-j', '-n', netns, 'fdb', 'show', 'dev', 'vx0'], { encoding: 'utf8' });
  t.like((JSON.parse(run.stdout) as unknown[])[0], {
    mac: '02:00:00:00:00:01',
    dst: '10.0.0.9',
    vni: 43,
    port: 4791,
  });
});

test('a port gets its settings before it comes up', (t) => {
  const { socket } = scratchSocket(t);
  const steps = links.set({ name: 'v0', master: 'br0', up: true, bridgePort: { learning: false } }).steps;
  const sent = steps.map((step) =>
    typeof step === 'function'
      ? step({ linkIndex: () => 3, namespaceDescriptor: () => 4 })
      : Buffer.alloc(32),
  );
  // ifi_family and IFF_UP of each message: attributes, then the bridge's own, and up last.
  t.deepEqual(
    sent.map((bytes) => [bytes.readUInt8(16), bytes.readUInt32LE(24) & 1]),
    [
      [0, 0],
      [7, 0],
      [0, 1],
    ],
  );
  socket.send(links.add({ kind: 'bridge', name: 'br0', up: true }));
  socket.send(links.add({ kind: 'veth', name: 'v0', peer: { name: 'v1' } }));
  socket.send(links.set({ name: 'v0', master: 'br0', up: true, bridgePort: { learning: false } }));
  t.like(socket.send(links.get({ name: 'v0' })), {
    up: true,
    bridgePort: { ...socket.send(links.get({ name: 'v0' })).bridgePort, learning: false },
  });
});

test('property: whatever port settings are given are read back, the others stay', (t) => {
  const { socket } = scratchSocket(t);
  socket.send(links.add({ kind: 'bridge', name: 'br0' }));
  socket.send(links.add({ kind: 'veth', name: 'v0', master: 'br0', peer: { name: 'v1' } }));
  const flag = fc.option(fc.boolean(), { nil: undefined });
  const port: fc.Arbitrary<BridgePortOptions> = fc.record({
    learning: flag,
    flood: flag,
    bcastFlood: flag,
    mcastFlood: flag,
    isolated: flag,
    hairpin: flag,
    neighSuppress: flag,
    guard: flag,
    rootBlock: flag,
    locked: flag,
    mcastToUnicast: flag,
    cost: fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined }),
    priority: fc.option(fc.integer({ min: 0, max: 63 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(port, (wanted) => {
      const before = socket.send(links.get({ name: 'v0' })).bridgePort;
      socket.send(links.set({ name: 'v0', bridgePort: wanted }));
      const given = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
      t.deepEqual(socket.send(links.get({ name: 'v0' })).bridgePort, {
        ...before,
        ...given,
      } as typeof before);
    }),
    { numRuns: 60 },
  );
});

test('property: routes go to the kernel and come back the same', (t) => {
  const { socket } = scratchSocket(t);
  socket.send(links.add({ kind: 'bridge', name: 'br0', up: true }));
  const index = socket.send(links.get({ name: 'br0' })).index;
  socket.send(addresses.add({ dev: 'br0', address: '10.0.0.1/24' }));
  socket.send(addresses.add({ dev: 'br0', address: 'fd00::1/64', noDad: true }));
  const v4 = fc
    .tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255))
    .map(([a, b]) => `${a === 127 ? 126 : a}.${b}.0.0/16`);
  const v6 = fc.integer({ min: 1, max: 0xfff }).map((n) => `2001:${n.toString(16)}::/32`);
  const route = fc.record({
    destination: fc.oneof(v4, v6),
    metric: fc.integer({ min: 1, max: 100000 }),
    table: fc.oneof(fc.integer({ min: 1, max: 252 }), fc.integer({ min: 256, max: 100000 })),
    mtu: fc.integer({ min: 1280, max: 9000 }),
    protocol: fc.constantFrom('static' as const, 'boot' as const, 'dhcp' as const, 99),
  });
  fc.assert(
    fc.property(route, (wanted) => {
      const v6Route = wanted.destination.includes(':');
      const via = v6Route ? 'fd00::2' : '10.0.0.2';
      socket.send(routes.replace({ ...wanted, via, dev: 'br0' }));
      const found = socket.dump(routes.dump({ table: wanted.table, family: v6Route ? 'ipv6' : 'ipv4' }));
      t.is(found.length, 1);
      t.like(found[0], { ...wanted, via, link: index, type: 'unicast', scope: 'global' });
      socket.send(routes.remove({ ...wanted, via }));
    }),
    { numRuns: 60 },
  );
});

test('no descriptor is left open, whatever is refused', (t) => {
  const netns = scratchNamespace(t);
  const other = scratchNamespace(t);
  const open = (): number => readdirSync('/proc/self/fd').length;
  const work = (): void => {
    const socket = openRouteSocket({ netns });
    socket.batch([
      links.add({ kind: 'veth', name: 'v0', peer: { name: 'v1', netns: other, up: true } }),
      links.add({ kind: 'veth', name: 'v0', peer: { name: 'v1', netns: other, up: true } }),
      links.add({ kind: 'veth', name: 'v2', peer: { name: 'v3', netns: 'svtnone' } }),
      links.add({ kind: 'tap', name: 'v0' }),
      links.remove({ name: 'v0' }),
    ]);
    t.throws(() => socket.send(links.set({ name: 'none', netns: other })));
    socket.close();
    t.throws(() => openRouteSocket({ netns: 'svtnone' }));
  };
  work();
  const before = open();
  for (let i = 0; i < 10; i += 1) work();
  t.is(open(), before);
});

test('a link moves to the namespace of a process', (t) => {
  const { socket } = scratchSocket(t);
  const other = scratchSocket(t);
  const child = namespaces.run(other.netns, () => spawn('sleep', ['5']));
  t.teardown(() => child.kill());
  socket.send(links.add({ kind: 'veth', name: 'v0', peer: { name: 'v1', netns: child.pid ?? 0, up: true } }));
  t.true(other.socket.send(links.get({ name: 'v1' })).up);
  socket.send(links.set({ name: 'v0', netns: child.pid ?? 0 }));
  t.is(other.socket.dump(links.dump({ kind: 'veth' })).length, 2);
});

test('a list that changed while it was read is read again', async (t) => {
  const { netns, socket } = scratchSocket(t);
  socket.send(links.add({ kind: 'bridge', name: 'br0', up: true }));
  const stable = Array.from({ length: 1500 }, (_, i) => `10.7.${i >> 8}.${i & 255}/32`);
  t.true(
    socket.batch(stable.map((address) => addresses.add({ dev: 'br0', address }))).every((e) => e === null),
  );
  const churn = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { addresses, openRouteSocket } from 'node-netlink';
       const socket = openRouteSocket({ netns: ${JSON.stringify(netns)} });
       let there = false;
       process.stdout.write('ready');
       setInterval(() => {
         const address = { dev: 'br0', address: '10.6.0.1/32' };
         socket.send(there ? addresses.remove(address) : addresses.add(address));
         there = !there;
       }, 7);`,
    ],
    { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  t.teardown(() => churn.kill());
  await once(churn.stdout, 'data');
  // Control: read without looking, such lists are interrupted.
  const raw = new NetlinkSocket({ protocol: NETLINK_ROUTE, netns });
  t.teardown(() => raw.close());
  const context = { linkIndex: () => 0, namespaceDescriptor: () => 0 };
  let interrupted = 0;
  for (let i = 0; i < 300 && interrupted === 0; i += 1) {
    if (raw.dump(addresses.dump().encode(context), () => {}) === 'interrupted') interrupted += 1;
  }
  t.true(interrupted > 0);
  for (let i = 0; i < 40; i += 1) {
    const found = socket.dump(addresses.dump({ family: 'ipv4' })).map((one) => one.address);
    t.is(new Set(found).size, found.length);
    t.is(found.filter((address) => address.startsWith('10.7.')).length, stable.length);
  }
});
