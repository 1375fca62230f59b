/** A standby that is kept up to date, and takes over when the active router is gone. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { RouterDocument, RouterStatus } from 'documents';
import {
  type ConntrackEntry,
  IPS_ASSURED,
  IPS_DST_NAT,
  IPS_SEEN_REPLY,
  IPS_SRC_NAT,
  openConntrackSocket,
  type TcpState,
  tupleKey,
} from 'node-netlink';
import { FakeNetwork } from 'node-netlink/fake';
import type { Load } from '../../../bench/traffic/load.ts';
import type { TrafficReport } from '../../../bench/traffic/report.ts';
import { startTraffic, type Traffic } from '../../../bench/traffic/traffic.ts';
import { endsHere } from '../../handover/own-ends.ts';
import { isWorthSyncing } from '../../sync/connection-changes.ts';
import { HeldConnections } from '../../sync/held-connections.ts';
import { parseLine } from '../../sync/lines.ts';
import { ChainLab, type ChainRouter } from '../handover/chain-lab.ts';
import { SyncPipe, standing } from './sync-pipe.ts';

test.beforeEach((t) => t.timeout(90_000));

/** Both of a pair may use the same ports: the standby goes on with the other's connections. */
const DOCUMENT: Partial<RouterDocument> = {
  metadataGuests: [
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
  ],
  sourceNats: [
    {
      id: 'sn-1',
      leg: 'leg-guest0',
      outLeg: 'leg-public0',
      publicAddress: '198.51.100.10',
      // Not those that clients have: a connection that nobody knows gets another port.
      ports: { first: 10_000, last: 32_767 },
    },
  ],
};

const OWN = new Set(['10.1.1.1', '198.51.100.10', '198.51.100.11', '198.51.100.12']);

interface Pair {
  readonly lab: ChainLab;
  readonly active: ChainRouter;
  readonly standby: ChainRouter;
}

const pairOf = async (t: ExecutionContext): Promise<Pair> => {
  const lab = new ChainLab();
  t.teardown(() => lab.close());
  const active = await lab.router();
  mkdirSync(join(active.directory, 'dnsmasq'), { recursive: true });
  writeFileSync(
    join(active.directory, 'dnsmasq', 'leases'),
    `${Math.round(Date.now() / 1000) + 3000} 02:00:0a:01:01:0a 10.1.1.10 guest-s *\n`,
  );
  await active.put(DOCUMENT);
  lab.flip(active);
  const standby = await lab.router();
  await standby.put(DOCUMENT);
  return { lab, active, standby };
};

const piped = (t: ExecutionContext, { active, standby }: Pair): SyncPipe => {
  const pipe = new SyncPipe(active, standby);
  t.teardown(() => pipe.close());
  return pipe;
};

const under = async (t: ExecutionContext, { lab }: Pair, load: Load): Promise<Traffic> => {
  const traffic = await startTraffic({ maps: [lab.map], load });
  t.teardown(() => traffic.abandon());
  return traffic;
};

const ALIKE = IPS_SRC_NAT | IPS_DST_NAT | IPS_SEEN_REPLY | IPS_ASSURED;

/** What a router's kernel has, as far as the other is to have it: one line for each connection. */
const tableOf = ({ netns }: ChainRouter): string[] => {
  using socket = openConntrackSocket({ netns });
  return socket
    .dump()
    .filter((entry) => isWorthSyncing(entry) && !endsHere(entry, OWN))
    .map(
      (entry) =>
        `${tupleKey(entry.original, entry.zone)} ${tupleKey(entry.reply)} ${entry.status & ALIKE} ${entry.mark} ${entry.tcp?.state} ${entry.tcp?.windowScaleOriginal}`,
    )
    .toSorted();
};

/** Fails when the tables do not become the same within ten seconds. Returns how many connections they have. */
const assertSame = async (t: ExecutionContext, { active, standby }: Pair): Promise<number> => {
  let theirs: string[] = [];
  let ours: string[] = [];
  for (let attempt = 0; attempt < 100; attempt += 1) {
    theirs = tableOf(active);
    ours = tableOf(standby);
    if (theirs.join() === ours.join()) return theirs.length;
    await sleep(100);
  }
  const [here, there] = [new Set(ours), new Set(theirs)];
  const only = (some: readonly string[], others: ReadonlySet<string>): readonly string[] =>
    some.filter((one) => !others.has(one)).slice(0, 5);
  t.deepEqual({ only: only(ours, there), of: ours.length }, { only: only(theirs, here), of: theirs.length });
  return theirs.length;
};

const broken = (report: TrafficReport, way: string): number =>
  report.flows
    .filter((flow) => flow.way === way)
    .reduce((sum, flow) => sum + Math.max(flow.broken, flow.down), 0);

/** A connection of a guest through source NAT. */
const outward = (
  port: number,
  parts: { readonly state?: TcpState; readonly protocol?: number; readonly to?: number } = {},
): ConntrackEntry => {
  const { state = 'established', protocol = 6, to = port } = parts;
  return {
    original: {
      protocol,
      source: '10.1.1.20',
      sourcePort: port,
      destination: '192.0.2.1',
      destinationPort: 443,
    },
    reply: {
      protocol,
      source: '192.0.2.1',
      sourcePort: 443,
      destination: '198.51.100.10',
      destinationPort: to,
    },
    status: 0xe,
    mark: 0,
    timeout: 600,
    zone: 0,
    ...(protocol === 6
      ? { tcp: { state, windowScaleOriginal: 7, windowScaleReply: 7, flagsOriginal: 0xb, flagsReply: 0xb } }
      : {}),
  };
};

test.serial(
  'what goes through the active router is in the standby a moment later, and gone with it',
  async (t) => {
    const pair = await pairOf(t);
    const { active, standby } = pair;
    // Some of it is there before anybody listens.
    const traffic = await under(t, pair, {
      flows: { sourceNat: 20, portForward: 10, staticNat: 10, loadBalancer: 4 },
      icmp: { rate: 20 },
      udp: { rate: 20 },
      connections: { rate: 100 },
    });
    await sleep(500);
    const pipe = piped(t, pair);
    await pipe.synced();
    await sleep(1500);
    t.is((await standing(active)).state, 'serving');
    const during = await standing(standby);
    t.like(during, { state: 'receiving', synced: true, refused: 0 });
    t.true((during.behind ?? 1000) < 500 && (during.lastMessageAge ?? 9000) < 2000, JSON.stringify(during));
    // 100 a second of 300 ms, and the long ones.
    t.true(tableOf(standby).length >= 44);
    await traffic.stop();
    const left = await assertSame(t, pair);
    t.log(`${left} connections left; ${JSON.stringify(pipe.ack)}`);
    t.is(pipe.streams, 1);
  },
);

test.serial('a thousand connections come, change and go; only what is worth it is told', async (t) => {
  const pair = await pairOf(t);
  const { active, standby } = pair;
  using there = openConntrackSocket({ netns: active.netns });
  using here = openConntrackSocket({ netns: standby.netns });
  const older = outward(33_000);
  there.insert([older]);
  const pipe = piped(t, pair);
  await pipe.synced();
  t.deepEqual(here.missing([older]), []);

  const thousand = Array.from({ length: 1000 }, (_none, index) => outward(40_000 + index));
  const questions = Array.from({ length: 20 }, (_none, index) => outward(50_000 + index, { protocol: 17 }));
  const handshakes = [outward(51_000, { state: 'syn-sent' }), outward(51_001, { state: 'syn-recv' })];
  const unanswered = { ...outward(51_002, { protocol: 17 }), status: 0x8 };
  // Ends in the router: an address of its own answers.
  const local: ConntrackEntry = {
    ...outward(51_003),
    original: { ...outward(51_003).original, destination: '10.1.1.1' },
    reply: {
      protocol: 6,
      source: '10.1.1.1',
      sourcePort: 443,
      destination: '10.1.1.20',
      destinationPort: 51_003,
    },
  };
  there.insert([...thousand, ...questions, ...handshakes, unanswered, local]);
  t.true((await assertSame(t, pair)) >= 1021);
  t.is(here.missing([...handshakes, unanswered, local]).length, 4);

  // A handshake that is done, a mark, a half-closed one, one that is over, one that is removed, one of another translation.
  const [marked, half, over, removed, other] = thousand as [
    ConntrackEntry,
    ConntrackEntry,
    ConntrackEntry,
    ConntrackEntry,
    ConntrackEntry,
  ];
  there.update([
    outward(51_000),
    { ...marked, mark: 5 },
    { ...half, tcp: { ...outward(0, { state: 'close-wait' }).tcp } as never },
    { ...over, tcp: { ...outward(0, { state: 'time-wait' }).tcp } as never },
  ]);
  there.remove([removed, other, older]);
  const translated = outward(40_004, { to: 60_000 });
  t.deepEqual(there.insert([translated]), [null]);
  await assertSame(t, pair);
  t.deepEqual(here.missing([translated, outward(51_000)]), []);
  t.is(here.missing([over, removed, older]).length, 3);
  t.is(here.find([marked])[0]?.mark, 5);
  t.is(here.find([half])[0]?.tcp?.state, 'close-wait');
  // No packet lengthens a question's life here.
  t.true((here.find(questions)[0]?.timeout ?? 0) > 150);

  // Somebody has been at the standby's table: the next snapshot mends it.
  here.remove([marked]);
  here.insert([outward(52_000)]);
  pipe.close();
  piped(t, pair);
  await assertSame(t, pair);

  // A router that serves takes no other's state.
  t.is((await active.call('POST', '/v1/sync/stream')).status, 409);
});

/** A reader of its own: what types of lines come, and how many of each. With `paused` it takes nothing. */
const reader = (
  t: ExecutionContext,
  { directory }: ChainRouter,
  paused = false,
): { readonly lines: Map<string, number>; readonly ended: () => boolean } => {
  const lines = new Map<string, number>();
  let ended = false;
  const call = request({ socketPath: join(directory, 'control.sock'), path: '/v1/sync/stream' });
  call.on('error', () => undefined);
  call.on('response', (answer) => {
    answer.on('close', () => {
      ended = true;
    });
    answer.on('error', () => undefined);
    if (paused) return;
    let rest = '';
    answer.setEncoding('utf8');
    answer.on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) {
        const { type } = JSON.parse(part) as { readonly type: string };
        lines.set(type, (lines.get(type) ?? 0) + 1);
      }
    });
  });
  call.end();
  t.teardown(() => call.destroy());
  return { lines, ended: () => ended };
};

test.serial(
  'changes that were lost are made up for, and a reader that does not read is let go',
  async (t) => {
    const pair = await pairOf(t);
    const { active, standby } = pair;
    using there = openConntrackSocket({ netns: active.netns });
    const pipe = piped(t, pair);
    await pipe.synced();
    const listener = reader(t, active);
    reader(t, active, true);
    for (let attempt = 0; attempt < 100 && listener.lines.get('snapshot-end') !== 1; attempt += 1)
      await sleep(50);
    for (let attempt = 0; attempt < 100 && (await standing(active)).readers < 3; attempt += 1)
      await sleep(50);
    t.is((await standing(active)).readers, 3);
    t.is(listener.lines.get('snapshot-begin'), 1);

    // More than the kernel keeps for a daemon that does something else.
    active.hold(true);
    const many = Array.from({ length: 27_000 }, (_none, index) => outward(33_000 + index));
    there.insert(many);
    there.remove(many.slice(0, 25_000));
    active.hold(false);
    t.is(await assertSame(t, pair), 2000);
    t.true((listener.lines.get('snapshot-begin') ?? 0) > 1);
    t.is((await standing(standby)).refused, 0);

    for (let from = 0; from < 25_000; from += 1000) {
      there.insert(many.slice(from, from + 1000));
      await sleep(40);
    }
    t.is(await assertSame(t, pair), 27_000);
    for (let attempt = 0; attempt < 150 && (await standing(active)).readers > 2; attempt += 1)
      await sleep(100);
    t.is((await standing(active)).readers, 2);
    t.is(pipe.streams, 1);
    t.false(listener.ended());
  },
);

test.serial('after either daemon was killed the tables are the same again', async (t) => {
  const pair = await pairOf(t);
  const { active, standby } = pair;
  const traffic = await under(t, pair, {
    flows: { sourceNat: 6, portForward: 6 },
    connections: { rate: 30 },
  });
  using there = openConntrackSocket({ netns: active.netns });
  const pipe = piped(t, pair);
  await pipe.synced();
  for (const killed of [active, standby]) {
    await killed.kill();
    // What the standby has it keeps.
    t.true(tableOf(standby).length >= 12);
    there.insert([outward(60_000 + killed.ordinal)]);
    there.remove([outward(60_000 + killed.ordinal - 1)]);
    await killed.start();
    await pipe.synced();
  }
  await traffic.stop();
  t.true((await assertSame(t, pair)) >= 1);
  t.is(pipe.streams, 3);
  // Its own checks and questions have gone unanswered for long enough.
  t.deepEqual([...(await standby.state()).members].toSorted(), ['lb-1/mem-s', 'lb-1/mem-u']);
  t.regex(
    standby.run('ip', 'neigh', 'show', 'dev', 'guest0'),
    /10\.1\.1\.20 lladdr 02:00:0a:01:01:14 (?:REACHABLE|STALE|DELAY|PROBE)/,
  );
  t.is(await active.diff(), '');
  t.is(await standby.diff(), '');
});

/** The active router dies under load, and the MACs are moved to the standby. */
const failOver = async (t: ExecutionContext, pair: Pair): Promise<TrafficReport> => {
  const { lab, active, standby } = pair;
  const traffic = await under(t, pair, {
    flows: { sourceNat: 8, portForward: 6, staticNat: 6, loadBalancer: 4 },
    udp: { rate: 100 },
  });
  await sleep(1000);
  await active.kill();
  await lab.retire(active);
  lab.flip(standby);
  await sleep(2000);
  return await traffic.stop();
};

test.serial(
  'the standby goes on with every translated connection when the active router is gone',
  async (t) => {
    const pair = await pairOf(t);
    const { lab, standby } = pair;
    const ask = (what: string): string => {
      const curl = ['curl', '-s', '-m', '3', '-H', `DomU_Request: ${what}`, 'http://10.1.1.1:8080/'];
      return spawnSync('ip', ['netns', 'exec', lab.guest('s'), ...curl], { encoding: 'utf8' }).stdout;
    };
    const pipe = piped(t, pair);
    await pipe.synced();
    t.is(ask('send_my_password'), 'a-secret-word');
    t.is(ask('saved_password'), 'saved_password');
    const report = await failOver(t, pair);
    t.is(ask('send_my_password'), 'saved_password');
    const { leases } = (await standby.call<RouterStatus>('GET', '/v1/status')).body;
    t.deepEqual(
      leases.map(({ address }) => address),
      ['10.1.1.10'],
    );
    t.log(report.probes.map(({ direction, sent, lost }) => `${direction} ${lost}/${sent}`).join(', '));
    for (const flow of report.flows) {
      // Its proxy held one end of these.
      if (flow.way === 'load-balancer') t.is(Math.max(flow.broken, flow.down), 4);
      else t.deepEqual([flow.broken, flow.down], [0, 0], flow.way);
    }
    t.like(await standing(standby), { state: 'idle', synced: true });
    t.is(await standby.diff(), '');
  },
);

test.serial('control: without the stream they break', async (t) => {
  const report = await failOver(t, await pairOf(t));
  t.true(broken(report, 'source-nat') >= 6, JSON.stringify(report.flows));
});

test('what is held is given time, follows every snapshot, and stays when one breaks off', (t) => {
  using socket = new FakeNetwork().openConntrackSocket();
  const held = new HeldConnections(socket);
  const idle = { ...outward(1), timeout: 20 };
  const [gone, moved] = [outward(2), outward(3)];
  const local = { ...outward(4), original: { ...outward(4).original, source: '10.1.1.1' } };
  const own: ReadonlySet<string> = new Set(['10.1.1.1']);
  socket.insert([local]);
  held.begin();
  held.set([idle, gone, moved], own);
  held.end(own);
  t.deepEqual([held.count, held.refused], [3, 0]);
  t.is(socket.find([idle])[0]?.timeout, 180);

  held.begin();
  held.set([{ ...idle, timeout: 500 }], own);
  held.abandon();
  t.false(held.end(own));
  t.is(socket.count(), 4);

  held.begin();
  held.set([{ ...idle, timeout: 400 }, outward(3, { to: 99 }), local], own);
  held.end(own);
  t.deepEqual([held.count, held.refused], [2, 0]);
  t.is(socket.find([idle])[0]?.timeout, 400);
  t.deepEqual(socket.missing([outward(3, { to: 99 }), local]), []);
  t.is(socket.find([gone]).length, 0);
  held.delete([idle, local], own);
  t.deepEqual([held.count, socket.count()], [1, 2]);
});

test('what no router writes is no line, and what this one has not heard of is let by', (t) => {
  for (const line of [
    { type: 'heartbeat', time: 1 },
    { type: 'conntrack', op: 'set', time: 1, entries: [outward(1)] },
    { type: 'conntrack', op: 'delete', time: 1, entries: [{ original: outward(1).original, zone: 0 }] },
  ])
    t.deepEqual(parseLine(JSON.stringify(line)), line as never);
  for (const text of [
    '',
    '{',
    '[]',
    '{"type":"heartbeat"}',
    '{"type":"conntrack","op":"put","time":1,"entries":[]}',
    '{"type":"conntrack","op":"set","time":1,"entries":[{"original":{}}]}',
    '{"type":"members","items":["a b"]}',
  ])
    t.is(parseLine(text), null, text);
  t.is(parseLine('{"type":"toString"}'), 'unknown');
});
