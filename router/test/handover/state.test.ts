/** What two routers tell each other: connections, neighbours, leases, passwords, ports, health. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnSync } from 'node:child_process';
import test, { type ExecutionContext } from 'ava';
import type { RouterStatus } from 'documents';
import { openConntrackSocket } from 'node-netlink';
import { startTraffic } from '../../../bench/traffic/traffic.ts';
import { verdict } from '../../../bench/traffic/verdict.ts';
import { parsePorts } from '../../handover/port-list.ts';
import { ChainLab, type ChainRouter } from './chain-lab.ts';
import { entry, outward, TCP, tuple } from './connections.ts';

test.beforeEach((t) => t.timeout(120_000));

const labOf = async (
  t: ExecutionContext,
): Promise<{ readonly lab: ChainLab; readonly first: ChainRouter }> => {
  const lab = new ChainLab();
  t.teardown(() => lab.close());
  return { lab, first: await lab.router() };
};

test.serial(
  'connections are carried with their translation; what ends in the router, or ends anyway, is not',
  async (t) => {
    const { lab, first } = await labOf(t);
    await first.put({});
    const second = await lab.router();
    // A successor, as it is when it is given a state: else the ports it reserves are nobody's, and freed with the next look.
    await second.put({}, { older: lab.join(first, second).older, newer: [] });
    const carried = [
      outward(40_001),
      outward(40_002, 'close-wait'),
      outward(40_003, undefined, 17),
      // A port forward that changes the port, and a hairpin.
      entry(
        tuple(TCP, ['192.0.2.7', 5000], ['198.51.100.12', 8001]),
        tuple(TCP, ['10.1.1.10', 7000], ['192.0.2.7', 5000]),
      ),
      entry(
        tuple(TCP, ['10.1.1.20', 5001], ['198.51.100.12', 8001]),
        tuple(TCP, ['10.1.1.10', 7000], ['10.1.1.1', 5001]),
      ),
      entry(tuple(1, ['10.1.1.20', 8], ['192.0.2.1', 77]), tuple(1, ['192.0.2.1', 0], ['198.51.100.10', 77])),
      // IPv6 is not translated.
      entry(
        tuple(TCP, ['2001:db8:1::20', 6000], ['2001:db8:2::1', 443]),
        tuple(TCP, ['2001:db8:2::1', 443], ['2001:db8:1::20', 6000]),
      ),
    ];
    const local = entry(
      tuple(TCP, ['192.0.2.9', 6001], ['198.51.100.10', 7080]),
      tuple(TCP, ['198.51.100.10', 7080], ['192.0.2.9', 6001]),
    );
    const backend = entry(
      tuple(TCP, ['10.1.1.1', 33_333], ['10.1.1.10', 7000]),
      tuple(TCP, ['10.1.1.10', 7000], ['10.1.1.1', 33_333]),
    );
    const left = [
      local,
      backend,
      outward(40_010, 'syn-sent'),
      outward(40_011, 'time-wait'),
      outward(40_012, 'last-ack'),
    ];
    using there = openConntrackSocket({ netns: first.netns });
    using here = openConntrackSocket({ netns: second.netns });
    there.flush();
    here.flush();
    t.deepEqual(
      there.insert([...carried, ...left]).filter((error) => error !== null),
      [],
    );
    t.deepEqual(there.missing([...carried, ...left]), []);

    const sessions = await first.sessions();
    t.is(sessions.translated, carried.length);
    t.deepEqual(sessions.holders, [{ address: '198.51.100.10', port: 7080, protocol: 'tcp', count: 1 }]);

    const copied = await lab.copy(first, second);
    t.deepEqual([copied.inserted, copied.present, copied.refused], [carried.length, 0, []]);
    t.deepEqual(here.missing(carried), []);
    t.is(here.missing(left).length, left.length);
    // The port of the session that stays behind is not used for another.
    t.is(second.run('cat', '/proc/sys/net/ipv4/ip_local_reserved_ports').trim(), '33333');

    const again = await lab.copy(first, second);
    t.deepEqual([again.inserted, again.present, again.refused], [0, carried.length, []]);

    // The same connection with another translation: it stays as it is, and that is said.
    const other = entry(outward(40_001).original, tuple(TCP, ['192.0.2.1', 443], ['198.51.100.10', 50_000]));
    here.remove([outward(40_001)]);
    t.deepEqual(here.insert([other]), [null]);
    const clash = await lab.copy(first, second);
    t.is(clash.refused.length, 1);
    t.deepEqual(here.missing([other]), []);

    // Entries that end in the router are refused even when somebody sends them.
    const state = await first.state();
    await second.call('PUT', '/v1/handover/state', { ...state, conntrack: [local] });
    t.is(here.missing([local]).length, 1);
    const { status } = await second.call('PUT', '/v1/handover/state', { ...state, conntrack: [{}] });
    t.is(status, 422);
  },
);

test.serial('2,500 connections are carried over, every one', async (t) => {
  const { lab, first } = await labOf(t);
  await first.put({});
  const second = await lab.router();
  await second.put({});
  using there = openConntrackSocket({ netns: first.netns });
  const entries = Array.from({ length: 2500 }, (_none, index) => outward(33_000 + index));
  there.insert(entries);
  // What is measured is the copy, not the compiler.
  await lab.copy(second, second);
  const began = performance.now();
  const state = await first.state();
  const taken = performance.now();
  const { body } = await second.call<{ readonly inserted: number }>('PUT', '/v1/handover/state', state);
  const put = performance.now();
  t.log(`GET ${Math.round(taken - began)} ms, PUT ${Math.round(put - taken)} ms`);
  t.is(body.inserted, 2500);
  using here = openConntrackSocket({ netns: second.netns });
  t.deepEqual(here.missing(entries), []);
});

test.serial(
  'ports are reserved as long as sessions of older routers have them, these and no others',
  async (t) => {
    const { lab, first } = await labOf(t);
    await first.put({});
    const second = await lab.router();
    await second.put({}, { older: lab.join(first, second).older, newer: [] });
    using there = openConntrackSocket({ netns: first.netns });
    const session = (port: number) =>
      entry(
        tuple(TCP, ['10.1.1.1', port], ['10.1.1.10', 7000]),
        tuple(TCP, ['10.1.1.10', 7000], ['10.1.1.1', port]),
      );
    const reserved = () => {
      const text = second.run('cat', '/proc/sys/net/ipv4/ip_local_reserved_ports');
      return parsePorts(text.trim());
    };
    // One session lasts, fifty others do not: every copy has others of them.
    const lasting = session(10_001);
    t.deepEqual(there.insert([lasting]), [null]);
    for (let round = 0; round < 20; round += 1) {
      const passing = Array.from({ length: 50 }, (_none, index) => session(20_000 + round * 100 + index * 2));
      t.true(there.insert(passing).every((error) => error === null));
      await lab.copy(first, second);
      t.deepEqual(
        reserved(),
        [lasting, ...passing].map(({ original }) => original.sourcePort as number),
      );
      there.remove(passing);
    }
    // More than the kernel takes or tells at once.
    const many = Array.from({ length: 6000 }, (_none, index) => session(12_000 + index * 2));
    t.true(there.insert(many).every((error) => error === null));
    await lab.copy(first, second);
    t.is(reserved().length, 6001);
    t.is(await second.diff(), '');
    there.remove([lasting, ...many]);
    await lab.copy(first, second);
    t.deepEqual(reserved(), []);
  },
);

test.serial('leases and passwords that were taken go along; dnsmasq is restarted once at most', async (t) => {
  const { lab, first } = await labOf(t);
  const expiry = Math.round(Date.now() / 1000) + 3000;
  mkdirSync(join(first.directory, 'dnsmasq'), { recursive: true });
  writeFileSync(
    join(first.directory, 'dnsmasq', 'leases'),
    `${expiry} 02:00:0a:01:01:0a 10.1.1.10 guest-s *\n${expiry} 02:00:0a:01:01:99 10.1.1.99 gone *\n`,
  );
  const metadataGuests = [
    {
      id: 'meta-1',
      leg: 'leg-guest0',
      address: '10.1.1.10',
      instance: 'ins-1',
      hostname: 'guest-s',
      userData: '',
      publicKeys: [],
      metaData: {},
      password: 'a-secret-word',
    },
  ];
  await first.put({ metadataGuests });
  lab.flip(first);
  const ask = (what: string): string =>
    spawnSync(
      'ip',
      [
        'netns',
        'exec',
        lab.guest('s'),
        'curl',
        '-s',
        '-m',
        '3',
        '-H',
        `DomU_Request: ${what}`,
        'http://10.1.1.1:8080/',
      ],
      { encoding: 'utf8' },
    ).stdout;
  t.is(ask('send_my_password'), 'a-secret-word');
  t.is(ask('saved_password'), 'saved_password');

  const second = await lab.router();
  await second.put({ metadataGuests });
  const pid = (): string => readFileSync(join(second.directory, 'dnsmasq', 'process.json'), 'utf8');
  const before = pid();
  const copied = await lab.copy(first, second);
  t.deepEqual([copied.leases, copied.passwords], [1, 1]);
  const restarted = pid();
  t.not(restarted, before);
  const { body } = await second.call<RouterStatus>('GET', '/v1/status');
  t.deepEqual(
    body.leases.map(({ address, mac }) => [address, mac]),
    [['10.1.1.10', '02:00:0a:01:01:0a']],
  );
  t.false(JSON.stringify(await first.state()).includes('a-secret-word'));

  const again = await lab.copy(first, second);
  t.deepEqual([again.leases, again.passwords], [0, 0]);
  t.is(pid(), restarted);
  lab.flip(second);
  t.is(ask('send_my_password'), 'saved_password');
  t.is(await second.diff(), '');
});

test.serial(
  'a successor that waited long is told who answers: no new connection meets a dead balancer',
  async (t) => {
    const { lab, first } = await labOf(t);
    await first.put({});
    lab.flip(first);
    const traffic = await startTraffic({ maps: [lab.map], load: { connections: { rate: 60 } } });
    t.teardown(() => traffic.abandon());
    const second = await lab.router();
    const links = lab.join(first, second);
    await second.put({}, { older: links.older, newer: [] });
    // Its health checks are answered to the other router: after a while it holds its members for dead.
    for (let attempt = 0; attempt < 150 && (await second.state()).members.length > 0; attempt += 1)
      await sleep(100);
    t.deepEqual((await second.state()).members, []);
    await lab.copy(first, second);
    t.deepEqual([...(await second.state()).members].toSorted(), ['lb-1/mem-s', 'lb-1/mem-u']);
    // However long the rest takes.
    await sleep(9000);
    t.deepEqual([...(await second.state()).members].toSorted(), ['lb-1/mem-s', 'lb-1/mem-u']);
    await first.place({ older: [], newer: links.newer });
    lab.flip(second);
    // Nobody raises them any more: they answer.
    await sleep(8000);
    t.deepEqual([...(await second.state()).members].toSorted(), ['lb-1/mem-s', 'lb-1/mem-u']);
    t.deepEqual(
      verdict(await traffic.stop()).failures.map(({ text }) => text),
      [],
    );
  },
);

test.serial('long datagrams that may be fragmented pass on their way round', async (t) => {
  const { lab, first } = await labOf(t);
  await first.put({});
  lab.flip(first);
  t.true(lab.pings('c', '198.51.100.1'));
  const second = await lab.router();
  const links = lab.join(first, second);
  await second.put({}, { older: links.older, newer: [] });
  await lab.copy(first, second);
  await first.place({ older: [], newer: links.newer });
  // The first answer counts: a sender that was told of a shorter way would send less.
  const pings = (from: string, to: string, size: number): boolean =>
    spawnSync('ip', ['netns', 'exec', from, 'ping', '-n', '-c1', '-W1', '-M', 'dont', '-s', `${size}`, to])
      .status === 0;
  for (const at of [first, second]) {
    lab.flip(at);
    for (const size of [1472, 4000]) {
      t.true(pings(lab.guest('c'), '198.51.100.1', size), `${size} out, flipped to ${at.ordinal}`);
      t.true(pings(lab.outside, '198.51.100.11', size), `${size} in, flipped to ${at.ordinal}`);
    }
  }
  // Without that rule they are lost where the next leg takes shorter ones only.
  for (const router of [first, second]) {
    router.hold(true);
    const listed = router.nft('-a', 'list', 'table', 'ip', 'selvage_handover');
    for (const [, handle = ''] of listed.matchAll(/frag-off set 0 # handle (\d+)/g)) {
      router.nft('delete', 'rule', 'ip', 'selvage_handover', 'prerouting', 'handle', handle);
    }
  }
  t.false(pings(lab.outside, '198.51.100.11', 1472));
  for (const router of [first, second]) router.hold(false);
});

test.serial('names asked over TCP are answered by whoever is asked first', async (t) => {
  const { lab, first } = await labOf(t);
  lab.serveNames();
  await first.put({});
  lab.flip(first);
  t.true(lab.pings('c', '198.51.100.1'));
  const second = await lab.router();
  const links = lab.join(first, second);
  await second.put({}, { older: links.older, newer: [] });
  await lab.copy(first, second);
  await first.place({ older: [], newer: links.newer });
  const ask = (name: string): string =>
    spawnSync(
      'ip',
      ['netns', 'exec', lab.guest('c'), 'dig', '+tcp', '+short', '+tries=1', '+time=2', '@10.1.1.1', name],
      { encoding: 'utf8' },
    ).stdout.trim();
  for (const at of [first, second, first]) {
    lab.flip(at);
    t.is(ask('guest-s.cloud.internal'), '10.1.1.10', `flipped to ${at.ordinal}`);
    t.is(ask(`n${at.ordinal}.example.com`), '198.51.100.1', `flipped to ${at.ordinal}`);
  }
});
