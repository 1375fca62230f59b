/** Routers that hand a network over under load, and what happens when one of the means is left out. */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { HandoverLink } from 'documents';
import type { Load } from '../../../bench/traffic/load.ts';
import type { TrafficReport } from '../../../bench/traffic/report.ts';
import { startTraffic, type Traffic } from '../../../bench/traffic/traffic.ts';
import { verdict } from '../../../bench/traffic/verdict.ts';
import { parsePorts } from '../../handover/port-list.ts';
import { chainDocument, ChainLab, type ChainRouter } from './chain-lab.ts';

test.beforeEach((t) => t.timeout(120_000));

const FULL: Load = {
  icmp: { rate: 1000 },
  udp: { rate: 1000 },
  flows: { sourceNat: 12, portForward: 9, staticNat: 9, loadBalancer: 8 },
  connections: { rate: 100 },
  dns: { rate: 50 },
  dhcp: { rate: 2 },
};

/** A network with one router that is active, and one that is to take over: in the chain, and idle. */
const pair = async (
  t: ExecutionContext,
): Promise<{ readonly lab: ChainLab; readonly first: ChainRouter }> => {
  const lab = new ChainLab();
  t.teardown(() => lab.close());
  lab.serveNames();
  const first = await lab.router();
  await first.put({});
  lab.flip(first);
  return { lab, first };
};

const under = async (t: ExecutionContext, lab: ChainLab, load: Load): Promise<Traffic> => {
  const traffic = await startTraffic({ maps: [lab.map], load });
  t.teardown(() => traffic.abandon());
  await sleep(500);
  return traffic;
};

/** Until nothing ends in the router any more; fails after ten seconds. */
const untilUnheld = async (router: ChainRouter): Promise<void> => {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if ((await router.sessions()).local === 0) return;
    await sleep(50);
  }
  throw new Error(`still held: ${JSON.stringify(await router.sessions())}`);
};

/** Waits up to five seconds for a text, or one that has it in it. */
const untilSame = async (
  t: ExecutionContext,
  read: () => string,
  wanted: string,
  within = false,
): Promise<void> => {
  let text = '';
  for (let attempt = 0; attempt < 50; attempt += 1) {
    text = read();
    if (within ? text.includes(wanted.trim()) : text === wanted) break;
    await sleep(100);
  }
  t.true(within ? text.includes(wanted.trim()) : text === wanted, text);
};

const assertNothingLost = (t: ExecutionContext, report: TrafficReport): void => {
  const { failures, remarks } = verdict(report);
  t.log(
    report.probes
      .map(({ protocol, direction, sent, lost }) => `${protocol} ${direction} ${lost}/${sent}`)
      .join(', '),
    report.connections.map(({ way, started, failed }) => `${way} ${failed}/${started}`).join(', '),
    remarks.map(({ text }) => text).join('; '),
  );
  t.deepEqual(
    failures.map(({ text }) => text),
    [],
  );
};

const brokenFlows = (report: TrafficReport, way: string): number =>
  report.flows
    .filter((flow) => flow.way === way)
    .reduce((sum, { broken, down }) => sum + Math.max(broken, down), 0);

test.serial(
  'one replacement: built, copied, drained, flipped leg by leg, retired; nothing is lost',
  async (t) => {
    const { lab, first } = await pair(t);
    const traffic = await under(t, lab, { ...FULL, flows: { ...FULL.flows, loadBalancer: 0 } });

    const second = await lab.router();
    const links = lab.join(first, second);
    await second.put({}, { older: links.older, newer: [] });
    const copied = await lab.copy(first, second);
    t.deepEqual(copied.refused, []);
    t.true(copied.inserted >= 30, JSON.stringify(copied));

    await first.place({ older: [], newer: links.newer });
    t.is(await first.diff(), '');
    t.is(await second.diff(), '');
    await sleep(300);
    // When and in which order the legs move makes no difference.
    lab.flipLeg(second, 1);
    await sleep(500);
    lab.flip(second);
    await sleep(1000);
    const late = await lab.copy(first, second);
    t.deepEqual(late.refused, []);
    t.true(late.present >= 30, JSON.stringify(late));

    await untilUnheld(first);
    await second.place(null);
    await lab.retire(first);
    await sleep(1000);
    t.is(await second.diff(), '');
    t.false(second.nft('list', 'tables').includes('selvage_handover'));
    assertNothingLost(t, await traffic.stop());
  },
);

type Links = ReturnType<ChainLab['join']>;

const heard = (links: readonly HandoverLink[]): HandoverLink[] =>
  links.map((link) => ({ ...link, receiveOnly: true }));

/** Takes the middle one of three out of the chain, as the controller does it. Returns the links between the others. */
const takeOut = async (
  lab: ChainLab,
  [older, newer]: readonly [ChainRouter, ChainRouter],
  below: Links,
  above: Links,
): Promise<Links> => {
  const past = lab.join(older, newer);
  await older.place({ older: [], newer: [...below.newer, ...heard(past.newer)] });
  await newer.place({ older: [...above.older, ...heard(past.older)], newer: [] });
  await older.place({ older: [], newer: [...past.newer, ...heard(below.newer)] });
  await newer.place({ older: [...past.older, ...heard(above.older)], newer: [] });
  await older.place({ older: [], newer: past.newer });
  await newer.place({ older: past.older, newer: [] });
  return past;
};

/** Carries over what came to be in the meantime, until nothing of it is half open any more. */
const copyRest = async (lab: ChainLab, from: ChainRouter, to: ChainRouter): Promise<void> => {
  let refused: unknown = null;
  for (let attempt = 0; attempt < 20; attempt += 1) {
    await sleep(200);
    refused = (await lab.copy(from, to)).refused;
    if (Array.isArray(refused) && refused.length === 0) return;
  }
  throw new Error(`refused: ${JSON.stringify(refused)}`);
};

test.serial(
  'ten replacements in a row: sessions of the first one’s haproxy go on, and those in the middle leave the chain',
  async (t) => {
    const { lab, first } = await pair(t);
    const traffic = await under(t, lab, FULL);

    let serving = await lab.router();
    let below = lab.join(first, serving);
    await serving.put({}, { older: below.older, newer: [] });
    await lab.copy(first, serving);
    await first.place({ older: [], newer: below.newer });
    lab.flip(serving);
    await sleep(800);
    await copyRest(lab, first, serving);
    const held = await first.sessions();
    t.is(held.local, 8, JSON.stringify(held));
    t.deepEqual(held.holders, [{ address: '198.51.100.10', port: 7080, protocol: 'tcp', count: 8 }]);

    for (let round = 2; round <= 10; round += 1) {
      const middle = serving;
      serving = await lab.router();
      const above = lab.join(middle, serving);
      await serving.put({}, { older: above.older, newer: [] });
      await lab.copy(middle, serving);
      await middle.place({ older: below.older, newer: above.newer });
      lab.flip(serving);
      await copyRest(lab, middle, serving);
      await untilUnheld(middle);
      if (round === 2) {
        // The third may use the same ports as the first: those that the first one's sessions have are left out.
        const text = serving.run('cat', '/proc/sys/net/ipv4/ip_local_reserved_ports');
        const reserved = parsePorts(text.trim());
        const { ports } = await first.state();
        t.true(
          ports.length >= 8 && ports.every((port) => reserved.includes(port)),
          `${ports} of ${reserved}`,
        );
        for (const router of [first, middle, serving]) {
          t.is(await router.diff(), '');
          t.deepEqual(await router.drifts(), []);
        }
      }
      below = await takeOut(lab, [first, serving], below, above);
      await lab.retire(middle);
    }
    t.is((await first.sessions()).local, 8);
    for (const router of [first, serving]) {
      t.is(await router.diff(), '');
      t.deepEqual(await router.drifts(), []);
    }
    await sleep(500);
    assertNothingLost(t, await traffic.stop());
    // Their clients are gone.
    await untilUnheld(first);
    await serving.place({ older: [], newer: [] });
    await serving.place(null);
    await lab.retire(first);
    t.is(await serving.diff(), '');
  },
);

test.serial(
  'sent past a router before the next one hears, or forgotten too early, packets are lost',
  async (t) => {
    const { lab, first } = await pair(t);
    const [second, third] = [await lab.router(), await lab.router()];
    const [below, above, past] = [lab.join(first, second), lab.join(second, third), lab.join(first, third)];
    await second.put({}, { older: below.older, newer: above.newer });
    await third.put({}, { older: above.older, newer: [] });
    await lab.copy(first, third);
    await first.place({ older: [], newer: below.newer });
    lab.flip(third);
    // Every echo request is a connection of its own: it goes down to the first one and comes back up.
    const lost = (): boolean => !lab.pings('c', '198.51.100.1');
    t.false(lost());
    await first.place({ older: [], newer: [...past.newer, ...heard(below.newer)] });
    t.true(lost(), 'the third does not hear the first');
    await third.place({ older: [...above.older, ...heard(past.older)], newer: [] });
    t.false(lost());
    await first.place({ older: [], newer: past.newer });
    await third.place({ older: above.older, newer: [] });
    t.true(lost(), 'the third has forgotten the first, which still sends there');
    await third.place({ older: [...above.older, ...heard(past.older)], newer: [] });
    t.true(lost(), 'the first has forgotten the second, which still sends there');
    await third.place({ older: [...past.older, ...heard(above.older)], newer: [] });
    t.false(lost());
  },
);

test.serial(
  'given up after the hand-over: the order of the two is swapped, and nothing is lost',
  async (t) => {
    const { lab, first } = await pair(t);
    const traffic = await under(t, lab, FULL);
    const second = await lab.router();
    const links = lab.join(first, second);
    await second.put({}, { older: links.older, newer: [] });
    await lab.copy(first, second);
    await first.place({ older: [], newer: links.newer });
    lab.flipLeg(second, 0);
    await sleep(700);

    // The one that is to be newest again first: the other way round nobody would take what neither knows.
    await first.place({ older: links.newer, newer: [] });
    await second.place({ older: [], newer: links.older });
    lab.flip(first);
    await sleep(700);
    await lab.copy(second, first);
    await untilUnheld(second);
    await first.place(null);
    await lab.retire(second);
    await sleep(700);
    t.true((await first.sessions()).local >= 8);
    assertNothingLost(t, await traffic.stop());
  },
);

test.serial(
  'daemons killed in the middle of it: the kernel goes on, and their next start changes nothing',
  async (t) => {
    const { lab, first } = await pair(t);
    const traffic = await under(t, lab, FULL);
    const second = await lab.router();
    const links = lab.join(first, second);
    await second.put({}, { older: links.older, newer: [] });
    await lab.copy(first, second);
    await first.place({ older: [], newer: links.newer });
    const steering = (router: ChainRouter): string =>
      router.nft('-a', 'list', 'table', 'ip', 'selvage_handover');
    const before = [first, second].map(steering);
    await Promise.all([first.kill(), second.kill()]);
    lab.flip(second);
    await sleep(500);
    await Promise.all([first.start(), second.start()]);
    // The same rules by their handles: nothing was written anew.
    t.deepEqual([first, second].map(steering), before);
    for (const router of [first, second]) {
      t.is(await router.diff(), '');
      t.deepEqual(await router.drifts(), []);
    }
    await sleep(500);
    t.deepEqual((await lab.copy(first, second)).refused, []);
    await sleep(500);
    t.is((await first.sessions()).local, 8);
    assertNothingLost(t, await traffic.stop());
  },
);

test.serial('without the steering a flip breaks every session of haproxy', async (t) => {
  const { lab, first } = await pair(t);
  const traffic = await under(t, lab, { flows: { loadBalancer: 8, sourceNat: 4 } });
  const second = await lab.router();
  await second.put({});
  await lab.copy(first, second);
  lab.flip(second);
  await sleep(1500);
  const report = await traffic.stop();
  t.is(brokenFlows(report, 'load-balancer'), 8);
  t.is(brokenFlows(report, 'source-nat'), 0);
});

test.serial('without state and without draining a flip breaks what goes through source NAT', async (t) => {
  const { lab, first } = await pair(t);
  const traffic = await under(t, lab, { flows: { sourceNat: 8 } });
  const second = await lab.router();
  await second.put({});
  lab.flip(second);
  await sleep(1500);
  t.is(brokenFlows(await traffic.stop(), 'source-nat'), 8);
  t.is((await first.sessions()).translated >= 8, true);
});

test.serial('with reverse path filtering on the links the traffic between the routers is lost', async (t) => {
  const { lab, first } = await pair(t);
  const traffic = await under(t, lab, { icmp: { rate: 100 }, flows: { sourceNat: 4 } });
  const second = await lab.router();
  const links = lab.join(first, second);
  await second.put({}, { older: links.older, newer: [] });
  await first.place({ older: [], newer: links.newer });
  for (const [router, side] of [
    [first, links.newer],
    [second, links.older],
  ] as const) {
    router.hold(true);
    for (const { device } of side) router.run('sysctl', '-qw', `net.ipv4.conf.${device}.rp_filter=1`);
  }
  lab.flip(second);
  await sleep(2500);
  const seen = await traffic.snapshot();
  t.true(
    seen.probes.every(({ sent, lost }) => sent > 100 && lost > 20),
    JSON.stringify(seen.probes),
  );
  // It is drift, and is mended when something happens to the links.
  for (const router of [first, second]) {
    router.hold(false);
    for (const { device } of [...(router.handover?.older ?? []), ...(router.handover?.newer ?? [])]) {
      router.run('ip', 'link', 'set', device, 'alias', 'touched');
    }
  }
  for (let attempt = 0; attempt < 50 && (await first.diff()) + (await second.diff()) !== ''; attempt += 1) {
    await sleep(100);
  }
  await sleep(1500);
  const before = await traffic.snapshot();
  await sleep(2000);
  const after = await traffic.snapshot();
  t.deepEqual(
    after.probes.map(({ lost }) => lost),
    before.probes.map(({ lost }) => lost),
  );
});

test.serial(
  'the steering is mended, goes where it belongs, and neighbours are kept as long as they must',
  async (t) => {
    const { lab, first } = await pair(t);
    const second = await lab.router();
    const links = lab.join(first, second);
    t.true(lab.pings('c', '198.51.100.1'));
    const states = (router: ChainRouter): string => router.run('ip', 'neigh', 'show', 'dev', 'public0');
    t.notRegex(states(first), /PERMANENT/);

    // Before it is in force, the difference says what would be done.
    const document = chainDocument(1, { generation: 2 });
    const { body } = await first.call<{ readonly text: string }>('POST', '/v1/diff', {
      ...document,
      handover: { older: [], newer: links.newer },
    });
    t.regex(
      body.text,
      /add rule ip selvage_handover prerouting iifname "guest0" dup to \S+ device "n2-guest0" drop/,
    );
    t.regex(body.text, /added address 169\.254\.2\.8\/31 to n2-guest0/);

    await second.put({}, { older: links.older, newer: [] });
    await lab.copy(first, second);
    t.is(second.run('sysctl', '-n', 'net.ipv4.neigh.public0.base_reachable_time_ms').trim(), '3600000');
    t.regex(states(second), /198\.51\.100\.1 lladdr 02:00:c6:33:64:01 REACHABLE/);
    await first.place({ older: [], newer: links.newer });
    t.regex(states(first), /198\.51\.100\.1 lladdr 02:00:c6:33:64:01 PERMANENT/);
    t.regex(first.run('ip', 'neigh', 'show', 'dev', 'n2-guest0'), /169\.254\.2\.9 lladdr \S+ PERMANENT/);

    // Somebody changes the chain, then removes the table.
    const wanted = first.nft('list', 'table', 'ip', 'selvage_handover');
    first.nft('insert', 'rule', 'ip', 'selvage_handover', 'prerouting', 'counter');
    await untilSame(t, () => first.nft('list', 'table', 'ip', 'selvage_handover'), wanted);
    first.nft('delete', 'table', 'ip', 'selvage_handover');
    await untilSame(t, () => first.nft('list', 'ruleset'), wanted, true);
    first.nft('add', 'chain', 'ip', 'selvage_handover', 'more');
    await untilSame(t, () => first.nft('list', 'table', 'ip', 'selvage_handover'), wanted);
    t.is(await first.diff(), '');

    // Given up before anything was flipped.
    await first.place(null);
    t.notRegex(states(first), /PERMANENT/);
    t.false(first.nft('list', 'tables').includes('selvage_handover'));
    t.is(await first.diff(), '');
  },
);

test.serial('an older router that is suddenly gone takes nothing with it but its own sessions', async (t) => {
  const { lab, first } = await pair(t);
  const traffic = await under(t, lab, { flows: { sourceNat: 6, portForward: 4, staticNat: 4 } });
  const second = await lab.router();
  const links = lab.join(first, second);
  await second.put({}, { older: links.older, newer: [] });
  await lab.copy(first, second);
  await first.place({ older: [], newer: links.newer });
  lab.flip(second);
  await sleep(300);
  await lab.copy(first, second);
  await lab.retire(first);
  // What the two would have had to decide together is the newer one's as soon as it sees that the links are gone.
  const began = performance.now();
  while (!lab.pings('c', '198.51.100.1') && performance.now() - began < 5000) await sleep(10);
  t.true(performance.now() - began < 3000);
  t.false(second.nft('list', 'tables').includes('selvage_handover'));
  t.regex(await second.diff(), /There is no device o1-guest0/);
  await second.place(null);
  t.is(await second.diff(), '');
  assertNothingLost(t, await traffic.stop());
});

test.serial(
  'neighbours of a router that drains do not age: when they do, what it still carries is lost',
  async (t) => {
    const { lab, first } = await pair(t);
    const traffic = await under(t, lab, { icmp: { rate: 50 } });
    const second = await lab.router();
    const links = lab.join(first, second);
    await second.put({}, { older: links.older, newer: [] });
    // Nothing is copied: every probe goes on being the older one's.
    await first.place({ older: [], newer: links.newer });
    lab.flip(second);
    // Half a minute in a second or so.
    first.hold(true);
    for (const device of ['guest0', 'public0']) {
      first.run('sysctl', '-qw', `net.ipv4.neigh.${device}.base_reachable_time_ms=1000`);
      first.run('sysctl', '-qw', `net.ipv4.neigh.${device}.delay_first_probe_time=1`);
    }
    await sleep(7000);
    const pinned = await traffic.snapshot();
    t.deepEqual(
      pinned.probes.map(({ lost }) => lost),
      [0, 0],
    );
    for (const device of ['guest0', 'public0']) {
      for (const [, address = '', mac = ''] of first
        .run('ip', 'neigh', 'show', 'dev', device)
        .matchAll(/^(\S+) lladdr (\S+) PERMANENT/gm)) {
        first.run('ip', 'neigh', 'replace', address, 'lladdr', mac, 'dev', device, 'nud', 'reachable');
      }
    }
    await sleep(9000);
    const aged = await traffic.snapshot();
    first.hold(false);
    t.true(
      aged.probes.every(({ lost }) => lost > 20),
      JSON.stringify(aged.probes),
    );
  },
);
