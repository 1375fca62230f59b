import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { HostDocument, ProbeReading } from 'documents';
import { namespaces } from 'node-netlink';
import { hostDocument, idOf, type Part, probeEnd, segment } from './fixtures/documents.ts';
import { Rig, undisturbed } from './fixtures/rig.ts';

const probe = idOf('prb', 1);
const RATE = 50;

const machines: readonly Part[] = [segment(1), probeEnd(11, 1, '10.1.1.11'), probeEnd(12, 1, '10.1.1.12')];

const document = (generation: number, measured: boolean): HostDocument => ({
  ...hostDocument(generation, ...machines),
  ...(measured
    ? {
        probes: [
          {
            id: probe,
            inside: idOf('ins', 11),
            outside: idOf('ins', 12),
            target: '10.1.1.12',
            dns: '10.1.1.12',
            rate: RATE,
          },
        ],
      }
    : {}),
});

const parentOf = (pid: number): number => {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1]);
  } catch {
    return 0;
  }
};

/** Pids of the probers of this process. */
const probers = (): readonly number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && parentOf(pid) === process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/probes/prober-program.ts');
      } catch {
        return false;
      }
    });

const counted = (rules: string, name: string): number => {
  const { nftables } = JSON.parse(rules) as {
    readonly nftables: readonly { readonly counter?: { readonly name: string; readonly packets: number } }[];
  };
  return nftables.find(({ counter }) => counter?.name === name)?.counter?.packets ?? -1;
};

test.serial('a probe tells what really went, what was cut, what came twice, and nothing else', async (t) => {
  const rig = await Rig.make(t);
  const [inside, outside] = [rig.namespaceOf(11), rig.namespaceOf(12)];
  rig.controller.document = document(1, false);
  await rig.agent();
  await rig.controller.ready(1);
  t.deepEqual(probers(), [], 'without probes there is no prober');
  rig.start(
    outside,
    '/usr/sbin/dnsmasq',
    '-k',
    '-C',
    '/dev/null',
    '--no-resolv',
    '--no-hosts',
    '--domain-needed',
    '-u',
    'root',
  );
  rig.controller.publish(document(2, true));
  await rig.controller.ready(2);
  const [prober] = probers();
  t.truthy(prober);

  const read = async (from: number, to: number): Promise<ProbeReading> => {
    const answer = await rig.controller.ask({
      type: 'request',
      method: 'probe-reading',
      params: { probe, from, to },
    });
    if (answer.type !== 'response' || !('result' in answer)) throw new Error(JSON.stringify(answer));
    return answer.result as ProbeReading;
  };
  const during = async (act: () => Promise<unknown>): Promise<ProbeReading> => {
    const from = Date.now();
    await act();
    return await read(from, Date.now());
  };
  const nft = async (namespace: string, ...commands: readonly string[]) => {
    for (const command of commands) {
      const done = await rig.exec(namespace, '/usr/sbin/nft', command);
      t.is(done.exitCode, 0, `${command}: ${done.stderr}`);
    }
  };
  const counter = async (namespace: string, name: string): Promise<number> =>
    counted((await rig.exec(namespace, '/usr/sbin/nft', '-j', 'list', 'counters')).stdout, name);
  for (let tries = 0; tries < 50; tries += 1) if ((await during(() => sleep(200))).names.sent > 0) break;

  const second = Math.floor(Date.now() / 1000) + 2;
  // The kernel counts the same seconds by its own clock.
  await nft(
    inside,
    'add table inet counted',
    'add counter inet counted sent',
    'add counter inet counted answered',
    'add chain inet counted out { type filter hook output priority 0; }',
    'add chain inet counted in { type filter hook input priority 0; }',
    `add rule inet counted out udp dport 7 meta time >= ${second} meta time < ${second + 2} counter name sent`,
    `add rule inet counted in udp sport 7 meta time >= ${second} meta time < ${second + 2} counter name answered`,
  );
  await sleep(second * 1000 + 2100 - Date.now());
  const quiet = await read(second * 1000, second * 1000 + 2000);
  const { datagrams } = quiet;
  t.is(datagrams.sent, await counter(inside, 'sent'), 'sent, by the kernel');
  t.true(Math.abs(datagrams.sent - (await counter(inside, 'answered'))) <= 1, 'answered, by the kernel');
  t.true(datagrams.sent > RATE && datagrams.sent <= 2 * RATE + 1, `${datagrams.sent} sent`);
  for (const [kind, measured] of Object.entries(quiet)) {
    t.true(measured.sent >= 3, `${kind}: ${measured.sent}`);
    t.is(measured.lost, 0, `${kind}: nothing was cut`);
    t.is(measured.doubled, 0, kind);
    t.true(measured.p50 > 0 && measured.p50 <= measured.p99 && measured.p99 <= measured.longest, kind);
  }
  t.log(`quiet: ${JSON.stringify(quiet)}`);

  await nft(
    outside,
    'add table inet cut',
    'add counter inet cut cut',
    'add chain inet cut in { type filter hook input priority 0; }',
  );
  const cut = await during(async () => {
    await sleep(100);
    await nft(outside, 'add rule inet cut in udp dport 7 counter name cut drop');
    await sleep(300);
    await nft(outside, 'flush chain inet cut in');
    await sleep(100);
  });
  t.is(cut.datagrams.lost, await counter(outside, 'cut'), 'as many as the kernel dropped');
  t.true(cut.datagrams.lost >= 10 && cut.datagrams.lost < cut.datagrams.sent, JSON.stringify(cut.datagrams));
  t.is(cut.connections.lost + cut.names.lost, 0, 'only datagrams were cut');

  const refused = await during(async () => {
    await nft(
      outside,
      'add rule inet cut in tcp dport 7 reject with tcp reset',
      'add rule inet cut in udp dport 53 drop',
    );
    await sleep(1000);
    await nft(outside, 'flush chain inet cut in');
  });
  t.true(refused.connections.lost >= 1 && refused.names.lost >= 1, JSON.stringify(refused));
  t.is(refused.datagrams.lost, 0);

  // What comes out of the echo's port goes to the prober's as the fabric delivers it, and once more.
  const [to, from] = [11, 12].map((number) => `pt${String(number).padStart(12, '0')}`);
  const twice = await during(async () => {
    await nft(
      rig.fabric,
      'add table netdev twice',
      'add counter netdev twice twice',
      `add chain netdev twice in { type filter hook ingress device "${from}" priority 0; }`,
      `add rule netdev twice in udp sport 7 counter name twice dup to "${to}"`,
    );
    await sleep(300);
    await nft(rig.fabric, 'flush chain netdev twice in');
  });
  t.is(twice.datagrams.doubled, await counter(rig.fabric, 'twice'), JSON.stringify(twice));
  t.true(twice.datagrams.doubled >= 10);
  await nft(rig.fabric, 'delete table netdev twice');
  t.is(twice.datagrams.lost, 0);

  // A prober that does not get to run sends less, and loses nothing.
  const stalled = await undisturbed(() =>
    during(async () => {
      process.kill(prober as number, 'SIGSTOP');
      await sleep(1500);
      process.kill(prober as number, 'SIGCONT');
      await sleep(300);
    }),
  );
  t.is(stalled.datagrams.lost + stalled.connections.lost + stalled.names.lost, 0, JSON.stringify(stalled));
  t.true(stalled.datagrams.sent > 0 && stalled.datagrams.sent < RATE, `${stalled.datagrams.sent} sent`);

  namespaces.remove(inside);
  await rig.controller.until('the namespace is back', () => namespaces.exists(inside));
  let again = await during(() => sleep(500));
  for (let tries = 0; tries < 20 && (again.datagrams.sent < 20 || again.datagrams.lost > 0); tries += 1)
    again = await during(() => sleep(500));
  t.true(
    again.datagrams.sent >= 20 && again.datagrams.lost === 0,
    `in the new one: ${JSON.stringify(again)}`,
  );

  process.kill(prober as number, 'SIGKILL');
  await rig.controller.until('another prober', () => probers().some((pid) => pid !== prober));
  rig.controller.publish(document(3, false));
  await rig.controller.until('no prober', () => probers().length === 0);
  const gone = await rig.controller.ask({
    type: 'request',
    method: 'probe-reading',
    params: { probe, from: 0, to: 1 },
  });
  t.like(gone, { problem: { code: 'unknown-probe' } });
});
