/** Connections that end in a router after they were copied: their copies do not outlive them, and nothing else is touched. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { type ConntrackEntry, openConntrackSocket, tupleKey } from 'node-netlink';
import type { TakenOver } from '../../handover/state.ts';
import { Peer } from '../support/peer.ts';
import { ChainLab, type ChainRouter } from './chain-lab.ts';
import { entry, outward, TCP, tuple } from './connections.ts';

test.beforeEach((t) => t.timeout(60_000));

const ECHO = 7000;

interface Pair {
  readonly lab: ChainLab;
  readonly first: ChainRouter;
  readonly second: ChainRouter;
  /** Hands over, moves the frames, and ends the first. */
  readonly handOver: () => Promise<void>;
  readonly retire: () => Promise<void>;
}

/** A router that serves, and its successor. */
const pairOf = async (t: ExecutionContext): Promise<Pair> => {
  const lab = new ChainLab();
  t.teardown(() => lab.close());
  const first = await lab.router();
  await first.put({});
  lab.flip(first);
  const second = await lab.router();
  const links = lab.join(first, second);
  await second.put({}, { older: links.older, newer: [] });
  return {
    lab,
    first,
    second,
    handOver: async () => {
      await first.place({ older: [], newer: links.newer });
      lab.flip(second);
    },
    retire: async () => {
      await second.place(null);
      await lab.retire(first);
    },
  };
};

const peerOf = (t: ExecutionContext, netns: string): Peer => {
  const peer = new Peer(netns);
  t.teardown(() => peer.close());
  return peer;
};

const tableOf = ({ netns }: ChainRouter): readonly ConntrackEntry[] => {
  using socket = openConntrackSocket({ netns });
  return socket.dump();
};

const keysOf = (entries: readonly ConntrackEntry[]): readonly string[] =>
  entries.map(({ original, zone }) => tupleKey(original, zone)).toSorted();

/** TCP connections through a router, to the port of the echo, in one of these states. */
const through = (router: ChainRouter, ...states: string[]): readonly ConntrackEntry[] =>
  tableOf(router).filter(
    ({ reply, tcp }) => reply.sourcePort === ECHO && tcp !== undefined && states.includes(tcp.state),
  );

const untilCount = async (read: () => readonly unknown[], count: number): Promise<void> => {
  for (let attempt = 0; attempt < 100 && read().length !== count; attempt += 1) await sleep(50);
  if (read().length !== count) throw new Error(`${JSON.stringify(read())}, not ${count}`);
};

/** As a router of an earlier version writes its state. */
const copyAsBefore = async (from: ChainRouter, to: ChainRouter): Promise<TakenOver> => {
  const { ended: _ended, from: _from, ...state } = await from.state();
  const { status, body } = await to.call<TakenOver>('PUT', '/v1/handover/state', state);
  if (status !== 200) throw new Error(JSON.stringify(body));
  return body;
};

test.serial(
  'what ends in the old router after it was copied is taken out of the successor; all else stays',
  async (t) => {
    const { lab, first, second, handOver, retire } = await pairOf(t);
    const server = peerOf(t, lab.guest('s'));
    const outside = peerOf(t, lab.outside);
    const guest = peerOf(t, lab.guest('c'));
    await server.serve(ECHO);
    await outside.serve(ECHO);
    const ways = [
      { name: 'source NAT', by: guest, address: '198.51.100.1', port: ECHO },
      { name: 'static NAT', by: outside, address: '198.51.100.11', port: ECHO },
      { name: 'port forward', by: outside, address: '198.51.100.12', port: 8001 },
    ];
    const stays: { readonly name: string; readonly by: Peer; readonly handle: number }[] = [];
    for (const { name, by, address, port } of ways) {
      const { handle } = await by.open({ address, port });
      stays.push({ name, by, handle });
    }
    t.not(await guest.udp({ address: '198.51.100.1', port: ECHO }), 'timeout');
    const open = through(first, 'established');
    t.is(open.length, 3);
    // The same ways, by programs that end.
    const enders = [new Peer(lab.guest('c')), new Peer(lab.outside), new Peer(lab.outside)];
    t.teardown(() => enders.forEach((ender) => ender.close()));
    for (const [index, { address, port }] of ways.entries()) await enders[index]?.open({ address, port });
    const all = through(first, 'established');
    t.is(all.length, 6);
    for (const { original, reply, status } of all)
      t.true((status & 0x30) !== 0, `${JSON.stringify(original)} ${JSON.stringify(reply)}`);
    const stale = keysOf(all).filter((key) => !keysOf(open).includes(key));

    const copied = await lab.copy(first, second);
    t.deepEqual([copied.refused, copied.removed], [[], 0]);
    t.deepEqual(keysOf(through(second, 'established')), keysOf(all));
    // Only the successor knows this one.
    const own = entry(
      tuple(TCP, ['10.1.1.20', 41_000], ['192.0.2.1', ECHO]),
      tuple(TCP, ['192.0.2.1', ECHO], ['198.51.100.10', 11_000]),
    );
    using here = openConntrackSocket({ netns: second.netns });
    t.deepEqual(here.insert([own]), [null]);

    for (const ender of enders) ender.close();
    await untilCount(() => through(first, 'time-wait'), 3);
    t.deepEqual(keysOf(through(first, 'time-wait')), stale);

    // Control: who is not told keeps them, for five days.
    const before = await copyAsBefore(first, second);
    t.is(before.removed, 0);
    t.is(through(second, 'established').length, 7);
    t.true(through(second, 'established').every(({ timeout }) => timeout > 500));

    const datagrams = (): readonly string[] =>
      keysOf(tableOf(second).filter(({ original }) => original.protocol === 17));
    const udp = datagrams();
    t.true(udp.length > 0);
    const { ended, from } = await first.state();
    t.is(from, 'rtr-000000000001');
    t.deepEqual(ended.map(({ original, zone }) => tupleKey(original, zone)).toSorted(), stale);
    const late = await lab.copy(first, second);
    t.deepEqual([late.removed, late.inserted, late.refused], [3, 0, []]);
    t.deepEqual(keysOf(through(second, 'established')), keysOf([...open, own]));
    t.deepEqual(here.missing([...open, own]), []);
    t.deepEqual(datagrams(), udp);

    const again = await lab.copy(first, second);
    t.deepEqual([again.removed, again.inserted, again.present, again.refused], [0, 0, late.present, []]);
    t.deepEqual(here.missing([...open, own]), []);

    // What is open goes on, with the old router and without.
    await handOver();
    for (const { name, by, handle } of stays) t.not(await by.say(handle), 'timeout', name);
    t.is((await lab.copy(first, second)).removed, 0);
    await retire();
    for (const { name, by, handle } of stays) t.not(await by.say(handle), 'timeout', name);
  },
);

/** A client with a port of its choice. */
class Caller {
  readonly #child: ChildProcess;
  #heard = '';

  constructor(netns: string, localPort: number, host: string) {
    const program = `
      const socket = require('node:net').connect(${JSON.stringify({ host, port: ECHO, localPort })});
      socket.on('data', (data) => process.stdout.write(data));
      process.stdin.on('data', (data) => String(data) === 'reset' ? socket.resetAndDestroy() : socket.write(data));
      process.stdin.on('end', () => process.exit(0));`;
    this.#child = spawn('ip', ['netns', 'exec', netns, process.execPath, '-e', program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.on('data', (data: Buffer) => {
      this.#heard += data.toString();
    });
  }

  /** Whether what it says is answered within two seconds. */
  async says(): Promise<boolean> {
    const before = this.#heard.length;
    this.#child.stdin?.write('x');
    for (let attempt = 0; attempt < 100 && this.#heard.length === before; attempt += 1) await sleep(20);
    return this.#heard.length > before;
  }

  /** Ends the connection so that its port is free at once. */
  reset(): void {
    this.#child.stdin?.write('reset');
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await exit;
  }
}

test.serial(
  'a copy that the next connection of the same four numbers uses is not taken from it',
  async (t) => {
    const { lab, first, second, handOver, retire } = await pairOf(t);
    const outside = peerOf(t, lab.outside);
    await outside.serve(ECHO);
    const call = async (port: number): Promise<Caller> => {
      const caller = new Caller(lab.guest('c'), port, '198.51.100.1');
      t.teardown(() => caller.close());
      t.true(await caller.says());
      return caller;
    };
    const used = await call(45_000);
    const unused = await call(45_001);
    t.is((await lab.copy(first, second)).inserted >= 2, true);
    used.reset();
    unused.reset();
    await untilCount(() => through(first, 'close'), 2);
    await handOver();
    await used.close();
    // Its first packet meets the copy of the one before: the successor has not been told yet.
    const next = await call(45_000);
    t.is(through(first, 'established').length, 0);
    t.is(through(second, 'established').length, 2);
    const late = await lab.copy(first, second);
    t.is(late.removed, 1);
    t.deepEqual(
      through(second, 'established').map(({ original }) => original.sourcePort),
      [45_000],
    );
    t.true(await next.says());
    await retire();
    t.true(await next.says());
  },
);

test.serial('only what was given, by the same router, and is as it was given, is removed', async (t) => {
  const { lab, first, second } = await pairOf(t);
  using there = openConntrackSocket({ netns: first.netns });
  using here = openConntrackSocket({ netns: second.netns });
  const of = (port: number): ConntrackEntry => ({ ...outward(port), timeout: 400_000 });
  const [lastAck, close, gone, shaking, changed, older, touched, replaced, other, anew, datagram] = [
    of(40_001),
    of(40_002),
    of(40_003),
    of(40_004),
    of(40_005),
    of(40_006),
    of(40_007),
    of(40_008),
    of(40_009),
    of(40_010),
    { ...outward(40_011, undefined, 17), timeout: 600 },
  ] as const;
  const given = [lastAck, close, gone, shaking, changed, older, touched, replaced, other, anew, datagram];
  const inState = (one: ConntrackEntry, state: 'last-ack' | 'close' | 'time-wait' | 'syn-sent') => ({
    ...one,
    tcp: { ...outward(1).tcp, state } as NonNullable<ConntrackEntry['tcp']>,
    timeout: 100,
  });
  t.deepEqual(
    there.insert(given).filter((error) => error !== null),
    [],
  );
  // It was not given by anybody, though it is open here and over there.
  const mine = of(40_020);
  t.deepEqual(here.insert([mine]), [null]);
  t.deepEqual(there.insert([inState(mine, 'time-wait')]), [null]);
  t.is((await lab.copy(first, second)).inserted >= given.length, true);
  t.deepEqual(here.missing(given), []);
  // A third router's word counts for nothing.
  const state = await first.state();
  const names = given.map(({ original, zone }) => ({ original, zone }));
  const stranger = { ...state, from: 'rtr-000000000009', ended: names };
  const { body } = await second.call<TakenOver>('PUT', '/v1/handover/state', stranger);
  t.is(body.removed, 0);
  t.deepEqual(here.missing(given), []);

  const over = [
    inState(lastAck, 'last-ack'),
    inState(close, 'close'),
    inState(changed, 'time-wait'),
    inState(older, 'time-wait'),
    inState(touched, 'time-wait'),
    inState(replaced, 'time-wait'),
    inState(other, 'time-wait'),
    inState(shaking, 'syn-sent'),
  ];
  t.true(there.update(over).every((error) => error === null));
  there.remove([gone, datagram]);
  // The same ports, translated to others: a later connection, which is open there.
  const later: ConntrackEntry = {
    ...anew,
    reply: tuple(TCP, ['192.0.2.1', 443], ['198.51.100.10', 50_000]),
  };
  there.remove([anew]);
  t.deepEqual(there.insert([later]), [null]);

  // It is over here too.
  t.deepEqual(here.update([inState(changed, 'time-wait')]), [null]);
  // What a packet does.
  t.deepEqual(here.update([{ ...touched, timeout: 432_000 }]), [null]);
  // Nothing but its time shows that it was used while something was not acknowledged.
  t.deepEqual(here.update([{ ...older, timeout: 300 }]), [null]);
  // Another entry of the same name, and one with another translation.
  here.remove([replaced, other]);
  t.deepEqual(here.insert([replaced]), [null]);
  const translated = { ...other, reply: tuple(TCP, ['192.0.2.1', 443], ['198.51.100.10', 50_001]) };
  t.deepEqual(here.insert([translated]), [null]);

  const late = await lab.copy(first, second);
  t.deepEqual([late.removed, late.inserted, late.refused], [4, 1, []]);
  const stay = [shaking, changed, older, touched, replaced, translated, later, datagram, mine];
  t.deepEqual(here.missing(stay), []);
  t.is(here.missing([lastAck, close, gone]).length, 3);
  const again = await lab.copy(first, second);
  t.deepEqual([again.removed, again.inserted], [0, 0]);
  t.deepEqual(here.missing(stay), []);
});

test.serial('a state that says it wrongly is refused; one that does not say it is taken', async (t) => {
  const { first, second } = await pairOf(t);
  const state = await first.state();
  t.deepEqual(state.ended, []);
  const put = async (parts: object): Promise<number> =>
    (await second.call('PUT', '/v1/handover/state', { ...state, ...parts })).status;
  const name = { original: outward(40_001).original, zone: 0 };
  t.is(await put({ ended: [name] }), 200);
  t.is(await put({ ended: undefined, from: undefined }), 200);
  for (const ended of [null, {}, 'x', [null], [{}], [{ original: name.original }], [{ zone: 0 }]])
    t.is(await put({ ended }), 422, JSON.stringify(ended));
  for (const from of [7, null, 'x'.repeat(101)]) t.is(await put({ from }), 422, JSON.stringify(from));
  t.is(await put({ ended: Array.from({ length: 300_001 }, () => name) }), 422);
});

test.serial('replacement after replacement: copies of what ended do not add up', async (t) => {
  const lab = new ChainLab();
  t.teardown(() => lab.close());
  let serving = await lab.router();
  await serving.put({});
  lab.flip(serving);
  const outside = peerOf(t, lab.outside);
  await outside.serve(ECHO);
  const guest = peerOf(t, lab.guest('c'));
  const { handle } = await guest.open({ address: '198.51.100.1', port: ECHO });
  const carried: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    const next = await lab.router();
    const links = lab.join(serving, next);
    await next.put({}, { older: links.older, newer: [] });
    const brief = new Peer(lab.guest('c'));
    t.teardown(() => brief.close());
    for (let count = 0; count < 5; count += 1) await brief.open({ address: '198.51.100.1', port: ECHO });
    await lab.copy(serving, next);
    t.is(through(next, 'established').length, 6);
    const ended = through(serving, 'time-wait').length;
    brief.close();
    const old = serving;
    await untilCount(() => through(old, 'time-wait'), ended + 5);
    await serving.place({ older: [], newer: links.newer });
    lab.flip(next);
    t.is((await lab.copy(serving, next)).removed, 5);
    await next.place(null);
    await lab.retire(serving);
    serving = next;
    carried.push(through(serving, 'established').length);
    t.not(await guest.say(handle), 'timeout');
  }
  t.deepEqual(carried, [1, 1, 1, 1]);
});
