/** The parts that need no network. */
import test from 'ava';
import fc from 'fast-check';
import { encodeRenewal, judgeLease } from '../../bench/traffic/jobs/dhcp.ts';
import { encodeQuery, judgeAnswer } from '../../bench/traffic/jobs/dns.ts';
import { Histogram } from '../../bench/traffic/histogram.ts';
import { FULL_LOAD, SHORT_LOAD } from '../../bench/traffic/load.ts';
import { momentsOfLoss } from '../../bench/traffic/moments.ts';
import { MESSAGE_LENGTH, STREAM, streamPieces, writeMessage } from '../../bench/traffic/message.ts';
import { Pacer } from '../../bench/traffic/pacer.ts';
import { planWorkers } from '../../bench/traffic/plan-workers.ts';
import type { ProbeReport, TrafficReport } from '../../bench/traffic/report.ts';
import type { TrafficMap } from '../../bench/traffic/traffic-map.ts';
import { verdict } from '../../bench/traffic/verdict.ts';

test('a quantile is at most 2 % above the true one', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.002, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (values, share) => {
        const histogram = new Histogram();
        for (const value of values) histogram.add(value);
        const sorted = values.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
        const told = histogram.quantile(share);
        return (
          told >= exact * 0.9999 && told <= exact * 1.0201 && histogram.distribution().count === values.length
        );
      },
    ),
  );
  t.deepEqual(new Histogram().distribution(), { count: 0, p50: 0, p99: 0, max: 0 });
});

test('no message is taken for another', (t) => {
  const number = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(
    fc.property(number, number, number, number, (sender, first, other, second) => {
      const [a, b] = [Buffer.alloc(MESSAGE_LENGTH), Buffer.alloc(MESSAGE_LENGTH)];
      writeMessage(a, sender, first);
      writeMessage(b, other, second);
      return a.equals(b) === (sender === other && first === second);
    }),
  );
  t.pass();
});

test('the stream is the same however it is cut', (t) => {
  fc.assert(
    fc.property(fc.nat(1 << 24), fc.integer({ min: 1, max: 200_000 }), fc.nat(), (from, length, cut) => {
      const whole = Buffer.concat([...streamPieces(from, length)]);
      const at = cut % length;
      const parts = Buffer.concat([...streamPieces(from, at), ...streamPieces(from + at, length - at)]);
      return whole.length === length && whole.equals(parts) && whole[0] === STREAM[from % STREAM.length];
    }),
    { numRuns: 50 },
  );
  t.pass();
});

test('a lane that is late skips, and does not burst', async (t) => {
  const pacer = new Pacer(1);
  t.teardown(() => pacer.close());
  const times: number[] = [];
  const begun = performance.now();
  const lane = pacer.every(1000, () => times.push(performance.now()));
  await new Promise((done) => setTimeout(done, 100));
  const stalledAt = performance.now();
  while (performance.now() - stalledAt < 200);
  await new Promise((done) => setTimeout(done, 100));
  lane.stop();
  const elapsed = performance.now() - begun;
  t.true(lane.skipped() >= 180, `${lane.skipped()} skipped`);
  t.true(Math.abs(times.length + lane.skipped() - elapsed) < 25);
  const burst = times.filter((time) => time >= stalledAt + 199 && time < stalledAt + 202).length;
  t.true(burst <= 15, `${burst} at once`);
  t.true(pacer.stalls().count >= 1 && pacer.stalls().longest >= 190);
});

const A_RECORD = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
const answerTo = (query: Buffer, flags: number, records: readonly (readonly number[])[]): Buffer => {
  const answer = Buffer.concat([query, Buffer.from(records.flat())]);
  answer.writeUInt16BE(flags, 2);
  answer.writeUInt16BE(records.length, 6);
  return answer;
};

test('DNS answers are judged', (t) => {
  const query = encodeQuery(7, 'a.example.com');
  t.is(
    query.toString('hex'),
    '00070100000100000000000001610765786d706c6503636f6d0000010001'.replace('65786d706c65', '6578616d706c65'),
  );
  const alias = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 14];
  t.is(judgeAnswer(answerTo(query, 0x8180, [A_RECORD]), '192.0.2.1'), null);
  t.is(judgeAnswer(answerTo(query, 0x8180, [alias, A_RECORD]), '192.0.2.1'), null);
  t.is(judgeAnswer(answerTo(query, 0x8180, [A_RECORD]), '192.0.2.2'), 'other address');
  t.is(judgeAnswer(answerTo(query, 0x8183, []), '192.0.2.1'), 'rcode 3');
  t.is(judgeAnswer(answerTo(query, 0x8180, []), '192.0.2.1'), 'no address');
  t.is(judgeAnswer(query, '192.0.2.1'), 'no response');
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 100 }), (bytes) => {
      judgeAnswer(Buffer.from(bytes), '192.0.2.1');
    }),
  );
});

test('leases are judged', (t) => {
  const renewal = encodeRenewal(1, '10.1.1.2', '02:00:00:00:00:01');
  const answer = (type: number, address: readonly number[]): Buffer => {
    const message = Buffer.from(renewal);
    message[0] = 2;
    message[242] = type;
    message.set(address, 16);
    return message;
  };
  t.is(judgeLease(answer(5, [10, 1, 1, 2]), '10.1.1.2'), null);
  t.is(judgeLease(answer(5, [10, 1, 1, 3]), '10.1.1.2'), 'other address');
  t.is(judgeLease(answer(6, [0, 0, 0, 0]), '10.1.1.2'), 'refused');
  t.is(judgeLease(renewal.subarray(0, 240), '10.1.1.2'), 'malformed');
});

const map = (label: string): TrafficMap => ({
  label,
  internet: { namespace: 'internet', address: '192.0.2.1' },
  client: { namespace: `${label}-client`, address: '10.0.0.2' },
  servers: [`${label}-1`, `${label}-2`],
  staticNat: '198.51.100.11',
  portForwards: [{ address: '198.51.100.12', port: 8001 }],
  loadBalancer: { address: '198.51.100.13', port: 80 },
  router: '10.0.0.1',
  names: [],
  outside: { domain: 'example.com', address: '192.0.2.1' },
});

test('there is one client and one server a namespace, and none without work', (t) => {
  const names = (maps: readonly TrafficMap[], load: Parameters<typeof planWorkers>[1]): string[] =>
    planWorkers(maps, load)
      .map(({ namespace, role }) => `${role} ${namespace}`)
      .toSorted();
  const both = ['client a-client', 'client internet', 'server a-1', 'server a-2', 'server internet'];
  t.deepEqual(names([map('a')], FULL_LOAD), both);
  t.deepEqual(names([map('a')], SHORT_LOAD), both);
  t.deepEqual(names([map('a')], { dns: { rate: 1 } }), ['client a-client']);
  t.deepEqual(names([map('a')], { icmp: { rate: 1 } }), ['client a-client', 'client internet']);
  t.deepEqual(names([map('a'), map('b')], { icmp: { rate: 1, directions: ['in'] } }), ['client internet']);
  t.deepEqual(names([map('a')], { udp: { rate: 1, directions: ['out'] } }), [
    'client a-client',
    'server internet',
  ]);
  t.deepEqual(names([map('a')], {}), []);
  const [inward] = planWorkers([map('a'), map('b')], { icmp: { rate: 1, directions: ['in'] } });
  t.deepEqual(
    inward?.jobs.map((job) => (job.kind === 'probe' ? [job.label, job.direction] : [])),
    [
      ['a', 'in'],
      ['b', 'in'],
    ],
  );
});

test('the verdict tells what failed from what explains it', (t) => {
  const none = { count: 0, p50: 0, p99: 0, max: 0 };
  const probe: ProbeReport = {
    kind: 'probe',
    label: 'n',
    protocol: 'udp',
    direction: 'in',
    sent: 1000,
    received: 1000,
    lost: 0,
    doubled: 0,
    longestGap: 3,
    outages: [],
    rtt: none,
    skipped: 0,
  };
  const report: TrafficReport = {
    duration: 1000,
    probes: [probe],
    flows: [],
    connections: [],
    bulk: [],
    dns: [],
    dhcp: [],
    processes: [
      {
        namespace: 'g',
        role: 'server',
        pid: 1,
        stalls: { count: 0, longest: 4 },
        cpu: 10,
        udpOverflows: 0,
        icmpOverflows: 0,
        listenOverflows: 0,
      },
    ],
    backlogDrops: 0,
  };
  t.deepEqual(verdict(report), { failures: [], remarks: [] });
  t.deepEqual(
    verdict({ ...report, probes: [{ ...probe, sent: 0, received: 0 }] }).failures[0]?.what,
    'nothing sent',
  );
  const worse: TrafficReport = {
    ...report,
    probes: [{ ...probe, lost: 3, doubled: 1, outages: [{ at: 10, lost: 2, duration: 2 }] }],
    processes: report.processes.map((one) => ({
      ...one,
      udpOverflows: 3,
      stalls: { count: 1, longest: 90 },
    })),
    connections: [
      {
        kind: 'connections',
        label: 'n',
        way: 'source-nat',
        started: 10,
        finished: 8,
        failed: 1,
        causes: { 'connect refused': 1 },
        slow: 2,
        moments: [
          { at: 700, what: 'connect refused' },
          { at: 20, what: 'slow' },
          { at: 110, what: 'slow' },
        ],
        late: 3,
        retransmits: 0,
        needlessRetransmits: 0,
        connect: none,
        total: none,
        skipped: 0,
      },
    ],
  };
  const bad = verdict(worse);
  t.deepEqual(
    momentsOfLoss(worse).map(({ at, of, what, times }) => [at, of, what, times]),
    [
      [10, 'n udp in', '2 lost in a row, for 2 ms', 1],
      [20, 'n connections source-nat', 'slow', 2],
      [700, 'n connections source-nat', 'connect refused', 1],
    ],
  );
  t.deepEqual(
    bad.failures.map(({ of, what, count }) => [of, what, count]),
    [
      ['n udp in', 'lost', 3],
      ['n udp in', 'doubled', 1],
      ['n connections source-nat', 'failed', 1],
      ['n connections source-nat', 'unfinished', 1],
      ['n connections source-nat', 'slow', 2],
    ],
  );
  t.deepEqual(
    bad.remarks.map(({ what, count }) => [what, count]),
    [
      ['late', 3],
      ['stalled', 1],
      ['udp overflow', 3],
    ],
  );
  t.is(bad.failures[0]?.text, 'n udp in: 3 of 1000 probes lost, at most 2 in a row, for 2 ms, at 10 ms');
});
