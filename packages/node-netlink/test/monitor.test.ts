import { spawn, spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import {
  addresses,
  fdb,
  links,
  monitor,
  type MonitorEvent,
  type MonitorGroup,
  neighbours,
  openConntrackSocket,
  routes,
  rules,
} from 'node-netlink';
import { scratchNamespace, scratchSocket } from './support/scratch-namespaces.ts';

const collect = (
  t: ExecutionContext,
  netns: string,
  groups: MonitorGroup[],
  receiveBufferBytes?: number,
): { events: MonitorEvent[]; until: (fits: (event: MonitorEvent) => boolean) => Promise<MonitorEvent> } => {
  const events: MonitorEvent[] = [];
  const running = monitor({ netns, groups, receiveBufferBytes }, (event) => events.push(event));
  t.teardown(() => running.close());
  const until = async (fits: (event: MonitorEvent) => boolean): Promise<MonitorEvent> => {
    for (let i = 0; i < 400; i += 1) {
      const found = events.find(fits);
      if (found !== undefined) return found;
      await delay(5);
    }
    throw new Error(`no such event among ${events.length}: ${events.map((event) => event.type).join(' ')}`);
  };
  return { events, until };
};

test('changes of every kind arrive, typed, and a port leaving its bridge is no removed link', async (t) => {
  const { netns, socket } = scratchSocket(t);
  const { events, until } = collect(t, netns, [
    'link',
    'address4',
    'address6',
    'route4',
    'route6',
    'neighbour',
    'rule4',
    'rule6',
  ]);
  socket.send(links.add({ kind: 'bridge', name: 'br0', up: true }));
  socket.send(
    links.add({ kind: 'veth', name: 'v0', up: true, peer: { name: 'v1', up: true }, master: 'br0' }),
  );
  socket.send(addresses.add({ dev: 'br0', address: '10.1.1.1/24' }));
  socket.send(addresses.add({ dev: 'br0', address: 'fd00::1/64', noDad: true }));
  socket.send(routes.add({ destination: '10.9.0.0/16', via: '10.1.1.2' }));
  socket.send(routes.add({ destination: 'fd09::/16', via: 'fd00::2' }));
  socket.send(neighbours.add({ dev: 'br0', address: '10.1.1.2', mac: '02:00:00:00:00:02' }));
  socket.send(fdb.add({ dev: 'v0', mac: '02:00:00:00:00:03' }));
  socket.send(rules.add({ priority: 50, table: 100 }));
  socket.send(rules.add({ family: 'ipv6', priority: 51, table: 100 }));
  await until((e) => e.type === 'link' && e.link.name === 'br0' && e.link.up);
  await until((e) => e.type === 'address' && e.address.address === '10.1.1.1/24');
  await until((e) => e.type === 'address' && e.address.address === 'fd00::1/64');
  await until((e) => e.type === 'route' && e.route.destination === '10.9.0.0/16' && e.change === 'set');
  await until((e) => e.type === 'route' && e.route.destination === 'fd09::/16');
  await until((e) => e.type === 'neighbour' && e.neighbour.address === '10.1.1.2');
  await until((e) => e.type === 'fdb' && e.entry.mac === '02:00:00:00:00:03');
  await until((e) => e.type === 'rule' && e.rule.priority === 50);
  await until((e) => e.type === 'rule' && e.rule.priority === 51 && e.rule.family === 'ipv6');
  events.length = 0;
  socket.send(routes.remove({ destination: '10.9.0.0/16' }));
  socket.send(links.set({ name: 'v0', master: null }));
  socket.send(links.remove({ name: 'v1' }));
  await until((e) => e.type === 'route' && e.change === 'removed');
  await until((e) => e.type === 'bridge-port' && e.change === 'removed' && e.link.name === 'v0');
  await until((e) => e.type === 'link' && e.change === 'removed' && e.link.name === 'v0');
  t.false(events.some((event) => event.type === 'resync'));
});

test('connections and nftables transactions arrive', async (t) => {
  const netns = scratchNamespace(t);
  const { events, until } = collect(t, netns, [
    'nftables',
    'conntrack-new',
    'conntrack-update',
    'conntrack-destroy',
  ]);
  const nft = spawnSync(
    'ip',
    [
      'netns',
      'exec',
      netns,
      '/usr/sbin/nft',
      'add table inet a; add chain inet a c; add rule inet a c accept; add table ip b',
    ],
    { encoding: 'utf8' },
  );
  t.is(nft.status, 0, nft.stderr);
  const event = await until((e) => e.type === 'nftables');
  t.true(event.type === 'nftables' && event.change.processName === 'nft');
  t.deepEqual(event.type === 'nftables' ? event.change.tables : [], ['inet a', 'ip b']);
  t.is(event.type === 'nftables' ? event.change.objects : 0, 4);
  t.is(events.length, 1);
  using connections = openConntrackSocket({ netns });
  const tuple = {
    source: '10.0.0.1',
    destination: '10.0.0.2',
    protocol: 17,
    sourcePort: 5,
    destinationPort: 6,
  };
  const reply = {
    source: '10.0.0.2',
    destination: '10.0.0.1',
    protocol: 17,
    sourcePort: 6,
    destinationPort: 5,
  };
  connections.insert([{ original: tuple, reply, status: 0, mark: 0, timeout: 100, zone: 0 }]);
  await until((e) => e.type === 'conntrack' && e.change === 'new' && e.entry.original.source === '10.0.0.1');
  connections.flush();
  await until(
    (e) => e.type === 'conntrack' && e.change === 'destroy' && e.entry.original.source === '10.0.0.1',
  );
});

test('an overrun is reported as resync and a new list then shows the truth; control: a large buffer loses nothing', async (t) => {
  const { netns, socket } = scratchSocket(t);
  socket.send(links.add({ kind: 'bridge', name: 'br0', up: true }));
  const small = collect(t, netns, ['address4'], 4096);
  const large = collect(t, netns, ['address4']);
  const wanted = Array.from({ length: 1000 }, (_, i) => `10.4.${i >> 8}.${i & 255}/32`);
  // Sent without a pause for the event loop: the kernel has to queue all thousand.
  const errors = socket.batch(wanted.map((address) => addresses.add({ dev: 'br0', address })));
  t.true(errors.every((error) => error === null));
  const resync = await small.until((event) => event.type === 'resync');
  t.deepEqual(resync, { type: 'resync', groups: ['address4'] });
  t.true(small.events.length < 1000);
  await large.until((event) => event.type === 'address' && event.address.address === wanted[999]);
  t.is(large.events.length, 1000);
  t.false(large.events.some((event) => event.type === 'resync'));
  t.is(socket.dump(addresses.dump({ dev: 'br0', family: 'ipv4' })).length, 1000);
  socket.send(addresses.add({ dev: 'br0', address: '10.5.0.1/32' }));
  await small.until((event) => event.type === 'address' && event.address.address === '10.5.0.1/32');
});

test('after close no event comes, also when the handler itself closes', async (t) => {
  const { netns, socket } = scratchSocket(t);
  let count = 0;
  const running = monitor({ netns, groups: ['link'] }, () => {
    count += 1;
    running.close();
  });
  socket.batch(['a', 'b', 'c'].map((name) => links.add({ kind: 'bridge', name })));
  for (let i = 0; i < 400 && count === 0; i += 1) await delay(5);
  await delay(50);
  t.is(count, 1);
  running.close();
});

test('a closed or unreferenced monitor lets the process exit, a running one does not, and waiting costs no time', async (t) => {
  const netns = scratchNamespace(t);
  const program = (then: string): string =>
    `import { monitor } from 'node-netlink';
     const m = monitor({ netns: ${JSON.stringify(netns)}, groups: ['link', 'conntrack-new'] }, () => {});
     ${then}`;
  const run = (then: string): Promise<number | null> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program(then)], {
        cwd: import.meta.dirname,
        stdio: 'ignore',
        timeout: 5000,
      });
      child.on('exit', (code) => resolve(code));
    });
  t.is(await run('setTimeout(() => m.close(), 20);'), 0);
  t.is(await run('m.unref();'), 0);
  const measure =
    'setTimeout(() => { const u = process.cpuUsage(); setTimeout(() => { const d = process.cpuUsage(u);' +
    ' process.exit(d.user + d.system < 50000 ? 7 : 8); }, 600); }, 300).unref();';
  t.is(await run(measure), 7, 'the monitor alone keeps the process alive until the timer');
  t.is(await run(`m.unref(); ${measure}`), 0, 'control: without it the timer alone does not');
});

test('many monitors leave the thread pool free', async (t) => {
  const netns = scratchNamespace(t);
  const running = Array.from({ length: 16 }, () => monitor({ netns, groups: ['link'] }, () => {}));
  t.teardown(() => {
    for (const one of running) one.close();
  });
  const { stat } = await import('node:fs/promises');
  const before = performance.now();
  await Promise.all(Array.from({ length: 16 }, () => stat('/')));
  t.true(performance.now() - before < 1000);
});
