import { spawnSync } from 'node:child_process';
import test from 'ava';
import fc from 'fast-check';
import {
  type ConntrackEntry,
  type ConntrackTuple,
  invertTuple,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_DST_NAT,
  IPS_SEEN_REPLY,
  IPS_SRC_NAT,
  matchesFilter,
  openConntrackSocket,
  TCP_LIBERAL,
  translationOf,
} from 'node-netlink';
import { FakeNetwork } from 'node-netlink/fake';
import { CT_NEW, decodeConntrack, encodeByTuple, encodeInsert } from '../src/conntrack-codec.ts';
import { scratchNamespace } from './support/scratch-namespaces.ts';

const tcp = (
  source: string,
  sourcePort: number,
  destination: string,
  destinationPort: number,
): ConntrackTuple => ({
  source,
  destination,
  protocol: 6,
  sourcePort,
  destinationPort,
});

const established = {
  state: 'established' as const,
  windowScaleOriginal: 7,
  windowScaleReply: 7,
  flagsOriginal: TCP_LIBERAL | 1,
  flagsReply: TCP_LIBERAL | 1,
};

const entry = (
  original: ConntrackTuple,
  reply: ConntrackTuple,
  rest: Partial<ConntrackEntry> = {},
): ConntrackEntry => ({
  original,
  reply,
  status: IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED,
  mark: 0,
  timeout: 600,
  zone: 0,
  ...(original.protocol === 6 ? { tcp: established } : {}),
  ...rest,
});

/** A port forward to 10.1.1.11:80 and source NAT to 198.51.100.10, as they look in a dump. */
const portForward = entry(
  tcp('203.0.113.5', 40000, '198.51.100.12', 8001),
  tcp('10.1.1.11', 80, '203.0.113.5', 40000),
);
const sourceNat = entry(
  tcp('10.1.1.12', 41000, '203.0.113.6', 443),
  tcp('203.0.113.6', 443, '198.51.100.10', 33000),
  { mark: 7 },
);
const plain = entry(tcp('10.1.1.13', 42000, '10.1.1.14', 22), tcp('10.1.1.14', 22, '10.1.1.13', 42000));
const ping = entry(
  { source: '10.1.1.15', destination: '203.0.113.7', protocol: 1, icmp: { type: 8, code: 0, id: 99 } },
  { source: '203.0.113.7', destination: '198.51.100.10', protocol: 1, icmp: { type: 0, code: 0, id: 99 } },
);
const v6 = entry(
  tcp('2001:db8::1', 1000, '2001:db8:1::2', 443),
  tcp('2001:db8:1::2', 443, '2001:db8::1', 1000),
);
const both = entry(
  tcp('10.1.1.20', 5000, '198.51.100.11', 80),
  tcp('10.1.1.11', 8080, '198.51.100.10', 6000),
);
const udp = entry(
  { source: '10.1.1.30', destination: '203.0.113.53', protocol: 17, sourcePort: 5353, destinationPort: 53 },
  { source: '203.0.113.53', destination: '10.1.1.30', protocol: 17, sourcePort: 53, destinationPort: 5353 },
);
const all = [portForward, sourceNat, plain, ping, v6, both];

test('inserted entries are there with their translation, and the kernel knows it as NAT', (t) => {
  const socket = openConntrackSocket({ netns: scratchNamespace(t) });
  t.teardown(() => socket.close());
  t.deepEqual(
    socket.insert(all),
    all.map(() => null),
  );
  t.is(socket.count(), all.length);
  t.deepEqual(socket.missing(all), []);
  const dumped = socket.dump();
  t.is(dumped.length, all.length);
  const find = (source: string): ConntrackEntry | undefined =>
    dumped.find((e) => e.original.source === source);
  t.deepEqual(find('203.0.113.5')?.reply, portForward.reply);
  t.is((find('203.0.113.5')?.status ?? 0) & (IPS_DST_NAT | IPS_SRC_NAT), IPS_DST_NAT);
  t.is((find('10.1.1.12')?.status ?? 0) & (IPS_DST_NAT | IPS_SRC_NAT), IPS_SRC_NAT);
  t.is((find('10.1.1.20')?.status ?? 0) & (IPS_DST_NAT | IPS_SRC_NAT), IPS_SRC_NAT | IPS_DST_NAT);
  t.is((find('10.1.1.13')?.status ?? 0) & (IPS_DST_NAT | IPS_SRC_NAT), 0);
  t.is(find('10.1.1.12')?.mark, 7);
  t.is(find('10.1.1.12')?.tcp?.state, 'established');
  t.is(find('10.1.1.12')?.tcp?.flagsOriginal, TCP_LIBERAL | 1);
  t.deepEqual(find('10.1.1.15')?.reply, ping.reply);
  t.deepEqual(find('2001:db8::1')?.reply, v6.reply);
});

test('control: an entry given with its translated reply as it is gets no translation, and missing() says so', (t) => {
  const netns = scratchNamespace(t);
  const socket = openConntrackSocket({ netns });
  t.teardown(() => socket.close());
  // What conntrack(8) does with plain tuples: an entry without NAT whose reply merely looks translated.
  const made = spawnSync(
    'ip',
    [
      'netns',
      'exec',
      netns,
      'conntrack',
      '-I',
      '-s',
      '10.1.1.12',
      '-d',
      '203.0.113.6',
      '-r',
      '203.0.113.6',
      '-q',
      '198.51.100.10',
      '-p',
      'tcp',
      '--sport',
      '41000',
      '--dport',
      '443',
      '--reply-port-src',
      '443',
      '--reply-port-dst',
      '33000',
      '--state',
      'ESTABLISHED',
      '-t',
      '600',
      '-u',
      'ASSURED,SEEN_REPLY',
    ],
    { encoding: 'utf8' },
  );
  t.is(made.status, 0, made.stderr);
  const [found] = socket.dump();
  t.is((found?.status ?? 0) & IPS_SRC_NAT, 0);
  socket.flush();
  const wrong = { ...sourceNat, reply: invertTuple(sourceNat.original) };
  t.deepEqual(socket.insert([wrong]), [null]);
  t.deepEqual(socket.missing([sourceNat]), [sourceNat]);
});

test('a copy from one namespace to another is complete', (t) => {
  const from = openConntrackSocket({ netns: scratchNamespace(t) });
  const to = openConntrackSocket({ netns: scratchNamespace(t) });
  t.teardown(() => from.close());
  t.teardown(() => to.close());
  const many = Array.from({ length: 2000 }, (_, i) =>
    entry(
      tcp(`10.2.${i >> 8}.${i & 255}`, 1024 + i, '203.0.113.9', 443),
      tcp('203.0.113.9', 443, '198.51.100.10', 10000 + i),
    ),
  );
  t.true(from.insert(many).every((error) => error === null));
  t.is(from.count(), 2000);
  const copied = from.dump({ translated: 'source' });
  t.is(copied.length, 2000);
  t.true(to.insert(copied).every((error) => error === null));
  t.deepEqual(to.missing(copied), []);
  const again = to.insert(copied.slice(0, 3));
  t.true(again.every((error) => error?.code === 'netlink-exists' || error?.errno === 'EOPNOTSUPP'));
  t.is(to.remove({ replyDestination: '198.51.100.10', protocol: 6 }), 2000);
  t.is(to.count(), 0);
  from.flush();
  t.is(from.count(), 0);
});

test('filters select in the kernel and again here, for both families', (t) => {
  const socket = openConntrackSocket({ netns: scratchNamespace(t) });
  t.teardown(() => socket.close());
  socket.insert(all);
  const sources = (filter: Parameters<typeof socket.dump>[0]): string[] =>
    socket
      .dump(filter)
      .map((e) => e.original.source)
      .toSorted();
  t.deepEqual(sources({ originalDestination: '198.51.100.12' }), ['203.0.113.5']);
  t.deepEqual(sources({ originalDestination: '198.51.100.12', protocol: 6, originalDestinationPort: 8001 }), [
    '203.0.113.5',
  ]);
  t.deepEqual(
    sources({ originalDestination: '198.51.100.12', protocol: 6, originalDestinationPort: 8002 }),
    [],
  );
  t.deepEqual(sources({ replySource: '10.1.1.11' }), ['10.1.1.20', '203.0.113.5']);
  t.deepEqual(sources({ replySource: '10.1.1.11', protocol: 6, replySourcePort: 80 }), ['203.0.113.5']);
  t.deepEqual(sources({ replyDestination: '198.51.100.10' }), ['10.1.1.12', '10.1.1.15', '10.1.1.20']);
  t.deepEqual(sources({ protocol: 1 }), ['10.1.1.15']);
  t.deepEqual(sources({ mark: { value: 7 } }), ['10.1.1.12']);
  t.deepEqual(sources({ family: 'ipv6' }), ['2001:db8::1']);
  t.deepEqual(sources({ originalSource: '2001:db8::1' }), ['2001:db8::1']);
  t.deepEqual(sources({ translated: 'none' }), ['10.1.1.13', '2001:db8::1']);
  t.deepEqual(sources({ originalSourcePort: 42000 }), ['10.1.1.13']);
  t.is(socket.remove({ replySource: '10.1.1.11' }), 2);
  t.is(socket.count(), 4);
  t.is(socket.remove([plain]), 1);
  t.is(socket.remove([plain]), 0);
  for (const e of all.filter((one) => matchesFilter(one, { protocol: 1 }))) t.is(e, ping);
});

test('an entry with a stale id is left alone', (t) => {
  const socket = openConntrackSocket({ netns: scratchNamespace(t) });
  t.teardown(() => socket.close());
  socket.insert([plain]);
  t.is(socket.remove([{ ...plain, id: 12345 }]), 0);
  t.is(socket.count(), 1);
});

test('zones keep equal tuples apart', (t) => {
  const socket = openConntrackSocket({ netns: scratchNamespace(t) });
  t.teardown(() => socket.close());
  t.deepEqual(socket.insert([plain, { ...plain, zone: 5 }]), [null, null]);
  t.is(socket.dump().length, 2);
  t.deepEqual(
    socket.dump({ zone: 5 }).map((e) => e.zone),
    [5],
  );
  t.is(socket.remove({ zone: 5 }), 1);
  t.deepEqual(
    socket.dump().map((e) => e.zone),
    [0],
  );
});

for (const world of ['kernel', 'fake'] as const) {
  test(`${world}: entries are inserted once, found by filter, missed and removed`, (t) => {
    const socket =
      world === 'kernel'
        ? openConntrackSocket({ netns: scratchNamespace(t) })
        : new FakeNetwork().openConntrackSocket();
    t.teardown(() => socket.close());
    t.deepEqual(
      socket.insert(all),
      all.map(() => null),
    );
    t.is(socket.insert([{ ...udp }])[0], null);
    t.is(socket.insert([udp])[0]?.code, 'netlink-exists');
    t.is(socket.count(), all.length + 1);
    t.deepEqual(socket.missing([...all, udp]), []);
    const changed = { ...udp, reply: { ...udp.reply, destination: '198.51.100.99' } };
    t.deepEqual(socket.missing([changed]), [changed]);
    t.is(socket.dump({ translated: 'destination' }).length, 2);
    const [nat] = socket.dump({ originalSource: '10.1.1.12' });
    t.is((nat?.status ?? 0) & (IPS_SRC_NAT | IPS_DST_NAT), IPS_SRC_NAT);
    const later = { ...udp, timeout: 4000, mark: 7, status: udp.status | 0x6 };
    t.is(socket.update([later, { ...later, original: { ...later.original, sourcePort: 1 } }])[0], null);
    const [updated, ...more] = socket.find([udp, { ...udp, original: { ...udp.original, sourcePort: 1 } }]);
    t.deepEqual(more, []);
    t.is(updated?.mark, 7);
    t.is((updated?.status ?? 0) & 0x6, 0x6);
    t.true((updated?.timeout ?? 0) > 3990);
    t.deepEqual(updated?.reply, udp.reply);
    t.is(
      socket.update([{ ...later, original: { ...udp.original, sourcePort: 1 } }])[0]?.code,
      'netlink-not-found',
    );
    t.is(socket.update([{ ...later, status: 0x8 }])[0]?.code, 'netlink-busy');
    t.is(socket.remove([{ ...udp, id: 987654 }]), 0);
    t.is(socket.remove({ originalDestination: udp.original.destination }), 1);
    t.is(socket.remove([udp]), 0);
    socket.flush();
    t.is(socket.count(), 0);
  });
}

const octet = fc.integer({ min: 0, max: 255 });
const ipv4 = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join('.'));
const port = fc.integer({ min: 1, max: 65535 });

test('encoding and decoding give back the tuples, and inversion is its own inverse', (t) => {
  fc.assert(
    fc.property(
      ipv4,
      port,
      ipv4,
      port,
      fc.constantFrom(6, 17),
      fc.nat(65535),
      (a, ap, b, bp, protocol, zone) => {
        const original = { source: a, sourcePort: ap, destination: b, destinationPort: bp, protocol };
        t.deepEqual(invertTuple(invertTuple(original)), original);
        const reply = invertTuple(original);
        const one = entry(original, reply, { zone });
        t.deepEqual(translationOf(one), { source: null, destination: null });
        const message = encodeInsert(one);
        const decoded = decodeConntrack({
          type: CT_NEW,
          flags: 0,
          buffer: message,
          start: 16,
          end: message.length,
        });
        t.deepEqual(decoded?.original, original);
        t.deepEqual(decoded?.reply, reply);
        t.is(decoded?.zone, zone);
        t.deepEqual(decoded?.tcp, one.tcp);
        const byTuple = encodeByTuple(CT_NEW, one);
        t.is(byTuple.readUInt32LE(0), byTuple.length);
      },
    ),
  );
});
