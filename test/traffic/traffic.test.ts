/** The load generator sees nothing where nothing happens, and sees what is done to the packets: a bench that cannot fail proves nothing. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { inspect } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { footprint, leftBehind, settledFootprint } from '../../bench/handovers/footprint.ts';
import { type Load, SHORT_LOAD } from '../../bench/traffic/load.ts';
import { type PreparedTraffic, prepareTraffic } from '../../bench/traffic/prepare-traffic.ts';
import type { TrafficReport } from '../../bench/traffic/report.ts';
import { progressLine, totals } from '../../bench/traffic/totals.ts';
import { startTraffic, type Traffic } from '../../bench/traffic/traffic.ts';
import { verdict } from '../../bench/traffic/verdict.ts';
import { startTestStack, type TestStack } from '../system/stack.ts';

let stack: TestStack;
let prepared: PreparedTraffic;

test.before(async () => {
  stack = await startTestStack(`svt${process.pid}`);
  prepared = await prepareTraffic(stack);
});
test.after.always(() => stack?.destroy());

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const IP = '/usr/sbin/ip';
const NFT = '/usr/sbin/nft';

/** Runs a load while `act` happens, and what the load saw. */
const during = async (
  t: ExecutionContext,
  load: Load,
  act: (traffic: Traffic) => Promise<void>,
): Promise<TrafficReport> => {
  await using traffic = await startTraffic({ maps: [prepared.map], load });
  await act(traffic);
  const report = await traffic.stop();
  t.teardown(() => {
    if (!t.passed) console.error(inspect(report, { depth: 6 }));
  });
  return report;
};

const inside = (machine: string, ...command: string[]): void => {
  const { status, stderr } = spawnSync(IP, ['netns', 'exec', `${stack.prefix}-${machine}`, ...command], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
};

/** Drops what arrives in the internet, all of it or what `match` says. */
const drop = (match: string): void =>
  inside(
    'internet',
    NFT,
    `table inet svt_drop { chain pre { type filter hook prerouting priority raw; iifname "eth0" ${match} drop; }; }`,
  );
const undrop = (): void => inside('internet', NFT, 'delete table inet svt_drop');

const pidsOf = (machine: string): number[] =>
  spawnSync(IP, ['netns', 'pids', `${stack.prefix}-${machine}`], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((pid) => pid !== '')
    .map(Number);

test.serial('where nothing happens everything is zero', async (t) => {
  const before = pidsOf('internet');
  const report = await during(t, SHORT_LOAD, async (traffic) => {
    await pause(2500);
    const snapshot = await traffic.snapshot();
    t.regex(
      progressLine(snapshot),
      /^[23] s: \d+ probes, 0 lost; 32 flows, 0 broken; 8 balanced, 0 broken; \d+ connections, 0 failed; \d+ names, 0 unanswered$/,
    );
    t.true(snapshot.probes.every(({ received, lost }) => received > 100 && lost === 0));
    await pause(2500);
  });
  t.deepEqual(verdict(report).failures, []);
  t.like(totals(report), {
    probesLost: 0,
    flowsBroken: 0,
    connectionsFailed: 0,
    dnsUnanswered: 0,
    longestOutage: 0,
  });
  t.is(report.probes.length, 4);
  t.true(report.probes.every(({ sent, received }) => sent > 500 && received === sent));
  t.deepEqual(
    report.flows.map(({ way, flows }) => [way, flows]),
    [
      ['source-nat', 16],
      ['port-forward', 8],
      ['static-nat', 8],
      ['load-balancer', 8],
    ],
  );
  t.true(report.flows.every(({ flows, echoes }) => echoes > flows * 10));
  t.true(report.connections.length === 3 && report.connections.every(({ finished }) => finished > 75));
  t.true(report.bulk.length === 1 && report.bulk.every(({ bytes, missing }) => bytes > 3e6 && missing === 0));
  t.true(report.dns.every(({ asked, answered }) => asked > 50 && answered === asked));
  t.true(report.dhcp.every(({ asked, answered }) => asked > 2 && answered === asked));
  t.deepEqual(pidsOf('internet'), before);
});

test.serial('control: a path that is cut for 300 ms loses as many probes as were due', async (t) => {
  const load: Load = { icmp: { rate: 1000 }, udp: { rate: 1000 } };
  let shortest = 0;
  let longest = 0;
  const report = await during(t, load, async () => {
    await pause(1000);
    const begun = performance.now();
    drop('');
    const cut = performance.now();
    await pause(300);
    const mending = performance.now();
    undrop();
    shortest = mending - cut;
    longest = performance.now() - begun;
    await pause(1000);
  });
  for (const probe of report.probes) {
    t.is(probe.outages.length, 1);
    // The rate is that of the clock less the slots this process missed.
    t.true(probe.lost > 0 && probe.lost <= longest + 2, `${probe.lost} lost`);
    t.true(probe.lost + probe.skipped >= shortest - 2, `${probe.lost} lost, ${probe.skipped} skipped`);
    const [outage] = probe.outages;
    t.true(outage !== undefined && outage.duration >= shortest - 10 && outage.duration <= longest + 30);
    t.true(probe.longestGap >= shortest);
    t.is(probe.doubled, 0);
  }
  t.deepEqual(new Set(verdict(report).failures.map(({ what }) => what)), new Set(['lost']));
});

test.serial(
  'control: one packet in a hundred dropped is seen by probes, connections and whatever speaks TCP',
  async (t) => {
    const load: Load = { ...SHORT_LOAD, icmp: { rate: 500 }, udp: { rate: 500 }, connections: { rate: 150 } };
    drop('numgen random mod 100 < 1');
    let report: TrafficReport;
    try {
      report = await during(t, load, () => pause(5000));
    } finally {
      undrop();
    }
    for (const probe of report.probes) {
      const share = probe.lost / probe.sent;
      t.true(share > 0.002 && share < 0.03, `${probe.protocol} ${probe.direction}: ${share}`);
    }
    const { failures, remarks } = verdict(report);
    t.true(failures.some(({ of, what }) => of.includes('connections') && what === 'slow'));
    t.true(remarks.some(({ of, what }) => of.includes('bulk') && what === 'retransmits'));
    const [bulk] = report.bulk;
    t.true(bulk !== undefined && bulk.retransmits > bulk.needlessRetransmits);
    t.true(report.flows.some(({ retransmits }) => retransmits > 0));
    t.true(report.flows.every(({ broken }) => broken === 0));
  },
);

test.serial('control: answers that come twice are counted', async (t) => {
  inside(
    'internet',
    NFT,
    `table ip svt_double { chain out { type filter hook output priority 0; ip protocol { icmp, udp } numgen random mod 10 < 1 dup to 198.51.100.10 device "eth0"; }; }`,
  );
  let report: TrafficReport;
  try {
    report = await during(t, { icmp: { rate: 200 }, udp: { rate: 200 } }, () => pause(1500));
  } finally {
    inside('internet', NFT, 'delete table ip svt_double');
  }
  t.true(report.probes.every(({ doubled, lost }) => doubled > 0 && lost === 0));
});

test.serial(
  "control: flows end with the workers of haproxy that hold them, others don't notice",
  async (t) => {
    const report = await during(
      t,
      {
        flows: { sourceNat: 10, portForward: 10, staticNat: 10, loadBalancer: 10 },
        connections: { rate: 60 },
      },
      async () => {
        await pause(1000);
        const haproxy = pidsOf(prepared.router).filter(
          (pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'haproxy',
        );
        t.true(haproxy.length > 0);
        for (const pid of haproxy) process.kill(pid, 'SIGKILL');
        await pause(2000);
      },
    );
    for (const { way, flows, broken } of report.flows) t.is(broken, way === 'load-balancer' ? flows : 0, way);
    for (const { way, failed } of report.connections) t.is(failed > 0, way === 'load-balancer', way);
  },
);

test.serial('control: a router that forgets its connections breaks those through source NAT', async (t) => {
  const report = await during(
    t,
    { flows: { sourceNat: 20, portForward: 20, staticNat: 10, loadBalancer: 10 } },
    async () => {
      await pause(1000);
      inside(prepared.router, '/usr/sbin/conntrack', '-F');
      await pause(2000);
    },
  );
  // The next segment of a guest gets another port, and is answered with a reset; a guest that waits for an echo just then
  // waits for ever, as the router drops what it does not know. Inwards the same rule translates the same way again, and
  // what ends in the router needs no translation.
  for (const { way, flows, broken, causes } of report.flows) {
    if (way === 'source-nat') t.true((causes['reset'] ?? 0) >= flows * 0.75);
    // An echo on its way may be taken for a flow of its own.
    else t.true(broken <= flows * 0.25, `${way}: ${broken} broken`);
  }
});

test.serial(
  'a program of ours that is kept from running says so, and takes nothing for a loss',
  async (t) => {
    const stalled = 600;
    const report = await during(t, { icmp: { rate: 1000 }, udp: { rate: 1000 } }, async (traffic) => {
      await pause(500);
      const { processes } = await traffic.snapshot();
      for (const role of ['client', 'server']) {
        const pids = processes.filter((program) => program.role === role).map(({ pid }) => pid);
        t.is(pids.length > 0, true);
        for (const pid of pids) process.kill(pid, 'SIGSTOP');
        await pause(stalled);
        for (const pid of pids) process.kill(pid, 'SIGCONT');
        await pause(500);
      }
    });
    t.deepEqual(verdict(report).failures, []);
    for (const { stalls } of report.processes) t.true(stalls.longest > stalled - 100 && stalls.count > 0);
    for (const { skipped, sent } of report.probes) t.true(skipped > stalled - 100 && sent > 500);
    t.true(verdict(report).remarks.some(({ what }) => what === 'stalled'));
  },
);

test.serial('a way that does not work is an error, and leaves nothing running', async (t) => {
  const before = pidsOf('internet');
  const error = await t.throwsAsync(
    startTraffic({
      maps: [{ ...prepared.map, client: { ...prepared.map.client, namespace: 'svt-none' } }],
      load: { icmp: { rate: 10 } },
    }),
  );
  t.true(error.message.includes('svt-none'));
  t.deepEqual(pidsOf('internet'), before);
});

test.serial(
  'control: whatever a router leaves behind is seen, and nothing where nothing is left',
  async (t) => {
    const before = await settledFootprint(stack);
    t.deepEqual(leftBehind(before, await settledFootprint(stack)), []);
    const namespace = `${stack.prefix}-rtr-left`;
    const file = join(stack.state, 'host/routers', prepared.router, 'left');
    spawnSync(IP, ['netns', 'add', namespace]);
    writeFileSync(file, '');
    const end = stack.start(prepared.router, ['/usr/bin/sleep', '60']);
    inside('fabric', IP, 'link', 'add', 'svl0', 'type', 'veth', 'peer', 'name', 'svl1');
    inside(
      'fabric',
      '/usr/sbin/bridge',
      'fdb',
      'add',
      '02:00:00:00:00:01',
      'dev',
      'svl0',
      'self',
      'permanent',
    );
    try {
      await pause(500);
      const left = leftBehind(before, footprint(stack));
      for (const wanted of [
        /^namespace .*-rtr$/,
        /^device lo in .*-rtr$/,
        /^file rtr.left$/,
        /^process sleep/,
        /^device of kind veth in .*-fabric$/,
        /entry in .*-fabric$/,
      ])
        t.true(
          left.some((name) => wanted.test(name)),
          `${wanted} is not in ${JSON.stringify(left)}`,
        );
    } finally {
      end();
      rmSync(file, { force: true });
      spawnSync(IP, ['netns', 'del', namespace]);
      inside('fabric', IP, 'link', 'del', 'svl0');
    }
  },
);
