/** What the bench of replacements says of a load: nothing that went wrong is without a row. */
import test from 'ava';
import { leftBehind } from '../../bench/handovers/footprint.ts';
import { outcomeOf, outcomeRows } from '../../bench/handovers/outcome.ts';
import type { TrafficReport } from '../../bench/traffic/report.ts';
import { verdict } from '../../bench/traffic/verdict.ts';

const none = { count: 0, p50: 0, p99: 0, max: 0 };
const tcp = { causes: {}, moments: [], retransmits: 0, needlessRetransmits: 0, skipped: 0 };
const probe: TrafficReport['probes'][number] = {
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
const flow: TrafficReport['flows'][number] = {
  ...tcp,
  kind: 'flows',
  label: 'n',
  way: 'source-nat',
  flows: 10,
  broken: 0,
  down: 0,
  echoes: 1000,
  latency: none,
  longestStall: 3,
};
const short: TrafficReport['connections'][number] = {
  ...tcp,
  kind: 'connections',
  label: 'n',
  way: 'source-nat',
  started: 100,
  finished: 100,
  failed: 0,
  slow: 0,
  late: 0,
  connect: none,
  total: none,
};
const bulk: TrafficReport['bulk'][number] = {
  ...tcp,
  kind: 'bulk',
  label: 'n',
  bytes: 1e6,
  rate: 10,
  broken: 0,
  missing: 0,
  longestStall: 0,
};
const query: TrafficReport['dns'][number] = {
  kind: 'dns',
  label: 'n',
  asked: 100,
  answered: 100,
  unanswered: 0,
  wrong: 0,
  causes: {},
  moments: [],
  latency: none,
};
const well: TrafficReport = {
  duration: 1000,
  probes: [probe],
  flows: [flow, { ...flow, way: 'load-balancer' }],
  connections: [short],
  bulk: [bulk],
  dns: [query],
  dhcp: [{ ...query, kind: 'dhcp' }],
  processes: [],
  backlogDrops: 0,
};

const notMet = (report: TrafficReport): string[] =>
  outcomeRows('x', outcomeOf(report, [1]), true).flatMap(({ name, met }) => (met ? [] : [name]));

test('where nothing went wrong every row is met', (t) => {
  t.deepEqual(notMet(well), []);
});

const other = 'other failures (down or open in the end, bulk flow, wrong answers)';

for (const [what, change, row] of [
  ['a probe lost', { probes: [{ ...probe, lost: 1 }] }, 'probes lost of 1000'],
  ['a probe doubled', { probes: [{ ...probe, doubled: 1 }] }, 'probes doubled of 1000'],
  ['no probe sent', { probes: [{ ...probe, sent: 0 }] }, other],
  ['a flow broken', { flows: [{ ...flow, broken: 1 }] }, 'long flows broken of 10'],
  ['a flow down', { flows: [{ ...flow, down: 1 }] }, other],
  ['a session cut', { flows: [{ ...flow, way: 'load-balancer', broken: 1 }] }, 'haproxy sessions cut of 10'],
  ['a connection failed', { connections: [{ ...short, failed: 1 }] }, 'new connections failed of 100'],
  ['a connection open', { connections: [{ ...short, finished: 99 }] }, other],
  ['a SYN sent again', { connections: [{ ...short, slow: 1 }] }, 'SYNs sent again of 100'],
  ['bulk broken', { bulk: [{ ...bulk, broken: 1 }] }, other],
  ['bytes missing', { bulk: [{ ...bulk, missing: 1 }] }, other],
  ['a name unanswered', { dns: [{ ...query, unanswered: 1 }] }, 'names unanswered of 100'],
  ['a name wrong', { dns: [{ ...query, wrong: 1 }] }, other],
  ['a lease not renewed', { dhcp: [{ ...query, kind: 'dhcp', unanswered: 1 }] }, 'leases not renewed of 100'],
  ['a lease wrong', { dhcp: [{ ...query, kind: 'dhcp', wrong: 1 }] }, other],
] as const satisfies readonly (readonly [string, Partial<TrafficReport>, string])[])
  test(`a row is not met: ${what}`, (t) => {
    const report: TrafficReport = { ...well, ...change };
    t.true(verdict(report).failures.length > 0);
    t.true(notMet(report).includes(`x: ${row}`), JSON.stringify(notMet(report)));
  });

test('what is there more often than before is left behind', (t) => {
  t.deepEqual(leftBehind(['a', 'a', 'b'], ['a', 'b', 'a']), []);
  t.deepEqual(leftBehind(['a', 'b'], ['a', 'a', 'c']), ['a', 'c']);
  t.deepEqual(leftBehind([], ['a']), ['a']);
});
