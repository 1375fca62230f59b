import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { links, namespaces, NetlinkError, openRouteSocket } from 'node-netlink';
import { scratchNamespace } from './support/scratch-namespaces.ts';

const own = (): string => readlinkSync('/proc/thread-self/ns/net');

test('a namespace is one of ip-netns(8): listed, entered and removed by it', (t) => {
  const before = own();
  const name = scratchNamespace(t);
  t.is(own(), before);
  const shown = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout;
  t.true(shown.split('\n').some((line) => line.split(' ')[0] === name));
  t.true(namespaces.list().includes(name));
  t.true(namespaces.exists(name));
  const error = t.throws(() => namespaces.create(name), { instanceOf: NetlinkError });
  t.is(error?.code, 'netlink-exists');
  t.is(spawnSync('ip', ['netns', 'exec', name, 'true']).status, 0);
  t.is(spawnSync('ip', ['netns', 'del', name]).status, 0);
  t.false(namespaces.exists(name));
  t.is(t.throws(() => namespaces.remove(name), { instanceOf: NetlinkError })?.code, 'netlink-not-found');
});

test('one made by ip is used and removed by us', (t) => {
  const name = `svt${process.pid}ip`;
  t.is(spawnSync('ip', ['netns', 'add', name]).status, 0);
  t.teardown(() => {
    if (existsSync(`/run/netns/${name}`)) spawnSync('ip', ['netns', 'del', name]);
  });
  using socket = openRouteSocket({ netns: `/run/netns/${name}` });
  t.deepEqual(
    socket.dump(links.dump()).map((link) => link.name),
    ['lo'],
  );
  namespaces.remove(name);
  t.false(existsSync(`/run/netns/${name}`));
  t.is(spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout.includes(name), false);
});

test('the remains of a crashed creation are taken over, and can be removed', (t) => {
  const name = `svt${process.pid}left`;
  t.teardown(() => {
    if (existsSync(`/run/netns/${name}`)) namespaces.remove(name);
  });
  writeFileSync(`/run/netns/${name}`, '');
  t.false(namespaces.exists(name));
  t.false(namespaces.list().includes(name));
  namespaces.create(name);
  t.true(namespaces.exists(name));
  namespaces.remove(name);
  writeFileSync(`/run/netns/${name}`, '');
  namespaces.remove(name);
  t.false(existsSync(`/run/netns/${name}`));
});

test('a section runs inside, comes back also when it throws, and must be synchronous', (t) => {
  const name = scratchNamespace(t);
  const before = own();
  const inside = namespaces.run(name, own);
  t.not(inside, before);
  t.is(own(), before);
  t.throws(
    () =>
      namespaces.run(name, () => {
        t.is(own(), inside);
        throw new RangeError('inside');
      }),
    { instanceOf: RangeError },
  );
  t.is(own(), before);
  t.throws(() => namespaces.run(name, () => Promise.resolve()), { instanceOf: TypeError });
  t.is(own(), before);
  const nested = scratchNamespace(t);
  const names = namespaces.run(name, () => [own(), namespaces.run(nested, own), own()]);
  t.deepEqual([names[0], names[2]], [inside, inside]);
  t.not(names[1], inside);
  // A child process spawned in the section lives in the namespace.
  const child = namespaces.run(name, () =>
    spawnSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' }),
  );
  t.is(child.stdout.trim(), inside);
  t.throws(() => namespaces.run('svtnone', own), { instanceOf: NetlinkError, code: 'netlink-not-found' });
  for (const bad of ['', '..', 'a b', 'a/b']) {
    t.throws(() => namespaces.create(bad), { instanceOf: NetlinkError, code: 'netlink-invalid' }, bad);
  }
});

test('settings are those of the namespace alone', (t) => {
  const name = scratchNamespace(t);
  const other = scratchNamespace(t);
  const key = '/proc/sys/net/ipv4/ip_forward';
  const host = readFileSync(key, 'utf8');
  namespaces.sysctl(name, { 'net.ipv4.ip_forward': 1, 'net/ipv6/conf/lo/forwarding': 1 });
  const read = (where: string, setting: string): string =>
    spawnSync('ip', ['netns', 'exec', where, 'sysctl', '-n', setting], { encoding: 'utf8' }).stdout.trim();
  t.is(read(name, 'net.ipv4.ip_forward'), '1');
  t.is(read(name, 'net.ipv6.conf.lo.forwarding'), '1');
  t.is(read(other, 'net.ipv4.ip_forward'), '0');
  t.is(readFileSync(key, 'utf8'), host);
  const missing = t.throws(() => namespaces.sysctl(name, { 'net.ipv4.none': 1 }), {
    instanceOf: NetlinkError,
  });
  t.is(missing?.code, 'netlink-not-found');
  for (const bad of ['kernel.hostname', 'net', 'net/../kernel/hostname', 'net.ipv4.a b']) {
    t.throws(
      () => namespaces.sysctl(name, { [bad]: 1 }),
      { instanceOf: NetlinkError, code: 'netlink-invalid' },
      bad,
    );
  }
});
