/** dnsmasq is replaced while guests ask: nothing stays unanswered. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { RouterDocument } from 'documents';
import { processStartTime } from 'node-netlink';
import { dhcpFeature } from '../../dhcp/feature.ts';
import { dnsFeature } from '../../dns/feature.ts';
import { dnsmasqOf } from '../../service/dnsmasq-of.ts';
import { releaseServices, service } from '../../service/services.ts';
import type { System } from '../../system.ts';
import { type Job, Load } from '../support/load.ts';
import { udhcpc } from './dhcp-clients.ts';
import { document } from './document.ts';
import { TestNetwork } from './network.ts';
import { removeSystem, testSystem } from './test-system.ts';

const network = new TestNetwork();
const system = testSystem();
test.after.always(() => {
  removeSystem(system, 'dnsmasq');
  for (const pid of all()) process.kill(pid, 'SIGKILL');
  network.remove();
});

const guests = network.addSwitch('guest0', ['10.1.1.1/24']);
const outside = network.addSwitch('public0', ['203.0.113.10/24']);
const web = network.addMachine(guests, 'web', '02:00:00:00:01:11');
const internet = network.addMachine(outside, 'net', '02:00:00:00:02:99');
internet.configure('203.0.113.1/24');

/** A document of which each number makes dnsmasq restart: another lease time. */
const served = (number: number): RouterDocument =>
  document({
    generation: number + 1,
    dhcpSubnets: [
      {
        id: 'ds-1',
        leg: 'leg-guest0',
        prefix: '10.1.1.0/24',
        gateway: '10.1.1.1',
        dnsServers: ['10.1.1.1'],
        domain: 'cloud.internal',
        leaseTime: 3600 + number,
      },
    ],
    dhcpHosts: [{ id: 'dh-web', leg: 'leg-guest0', mac: web.mac, address: '10.1.1.11', hostname: 'web' }],
    dns: { domain: 'cloud.internal', upstreams: ['203.0.113.1'], records: [] },
  });

const apply = async (to: System, next: RouterDocument): Promise<string[]> => [
  ...(await dnsFeature.apply(to, dnsFeature.render(next), null)).changes,
  ...(await dhcpFeature.apply(to, dhcpFeature.render(next), null)).changes,
];

/** Every dnsmasq of this test, whoever started it. */
const all = (): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`--conf-file=${system.directory}`) &&
          processStartTime(pid) !== null
        );
      } catch {
        return false;
      }
    });

/** Waits until IPv6 has found its own addresses to be free (RFC 4862, 5.4): dnsmasq takes each as soon as it is. */
const addressesSettled = async (): Promise<void> => {
  const tentative = () =>
    readFileSync('/proc/self/net/if_inet6', 'utf8')
      .trimEnd()
      .split('\n')
      .some((line) => (Number.parseInt(line.split(/\s+/)[4] ?? '', 16) & 0x40) !== 0);
  for (let turn = 0; turn < 100 && tentative(); turn += 1) await sleep(50);
};

/** Answers every query with an address that nobody may keep, 300 ms after it was asked. */
const slowServer = `
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (query, { port, address }) => setTimeout(() => {
    const end = query.indexOf(0, 12) + 5;
    const answer = Buffer.concat([query.subarray(0, end), Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1])]);
    answer.set([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], 2);
    socket.send(answer, port, address);
  }, 300));
  socket.bind(53);
  process.stdin.resume().on('end', () => process.exit(0));
`;

const jobs: readonly Job[] = [
  { kind: 'dns', address: '10.1.1.1', name: 'web.cloud.internal', rate: 200 },
  { kind: 'dns', address: '10.1.1.1', name: 'far.example.com', rate: 20 },
  { kind: 'dns-tcp', address: '10.1.1.1', name: 'web.cloud.internal', rate: 20 },
  { kind: 'renew', address: '10.1.1.1', mac: web.mac, own: '10.1.1.11', rate: 20 },
];

test.serial('20 restarts under load leave nothing unanswered', async (t) => {
  const upstream = internet.start(process.execPath, ['-e', slowServer]);
  t.teardown(() => upstream.kill('SIGKILL'));
  await apply(system, served(0));
  t.truthy(await udhcpc(web));
  // The client has gone again, and with it the address.
  web.configure('10.1.1.11/24');
  const load = new Load(web.namespace, jobs);
  t.teardown(() => load.kill());
  await addressesSettled();
  await sleep(700);
  const pids = new Set<number | null>();
  for (let number = 1; number <= 20; number += 1) {
    const changes = await apply(system, served(number));
    t.regex(changes.join(), /restarted/);
    pids.add(service(system, 'dnsmasq').pid);
    await sleep(150);
  }
  t.is(pids.size, 20);
  const tallies = await load.stop();
  t.log(JSON.stringify(tallies));
  t.deepEqual(system.reports, []);
  for (const { asked, ok, others } of tallies) {
    t.deepEqual(others, {});
    t.is(ok, asked);
  }
  // The last but one may still be finishing what it had begun.
  for (let turn = 0; turn < 200 && all().length > 1; turn += 1) await sleep(20);
  t.deepEqual(all(), [service(system, 'dnsmasq').pid]);
  t.is((await dnsmasqOf(system).leases()).length, 1);
  t.false(
    (await system.nftables.list()).some(
      (object) => 'table' in object && object.table.name === 'selvage_pause',
    ),
  );
});

test.serial('control: ended and started again, it leaves some unanswered', async (t) => {
  const load = new Load(web.namespace, [{ ...(jobs[0] as Job), patience: 1_000 }]);
  t.teardown(() => load.kill());
  await sleep(700);
  for (let turn = 0; turn < 3; turn += 1) {
    const pid = service(system, 'dnsmasq').pid as number;
    process.kill(pid, 'SIGTERM');
    for (let wait = 0; wait < 200 && [pid, null].includes(service(system, 'dnsmasq').pid); wait += 1)
      await sleep(10);
  }
  const [dns] = await load.stop();
  t.log(JSON.stringify(dns));
  t.true((dns?.asked ?? 0) > (dns?.ok ?? 0));
});

test.serial(
  'a daemon killed in the middle leaves one behind, which does nothing, and the next ends it',
  async (t) => {
    await apply(system, served(30));
    const record = join(system.directory, 'dnsmasq', 'process.json');
    const text = readFileSync(record, 'utf8');
    t.is(all().length, 2);
    const [old] = (JSON.parse(text) as { leaving: { pid: number }[] }).leaving;
    const busy = (): number => {
      const fields = readFileSync(`/proc/${old?.pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      return Number(fields[11]) + Number(fields[12]);
    };
    const ticks = busy();
    await sleep(300);
    t.true(busy() - ticks <= 2, 'a listener that was closed would keep it busy');

    // As it is on disk when the daemon is killed.
    const next = testSystem(system.directory);
    t.teardown(() => releaseServices(next));
    t.deepEqual(await apply(next, served(30)), []);
    for (let turn = 0; turn < 100 && all().length > 1; turn += 1) await sleep(10);
    t.deepEqual(all(), [service(next, 'dnsmasq').pid]);
  },
);

/** The same system, which stops what it starts for `pause` ms, before it has begun. */
const interrupted = (pause: number): System => ({
  ...system,
  exec: {
    ...system.exec,
    start: async (...args) => {
      const pid = await system.exec.start(...args);
      process.kill(pid, 'SIGSTOP');
      void sleep(pause).then(() => processStartTime(pid) !== null && process.kill(pid, 'SIGCONT'));
      return pid;
    },
  },
});

test.serial(
  'one that takes seven seconds to begin is waited for, while the one before it answers',
  async (t) => {
    const late = interrupted(7_000);
    t.teardown(() => releaseServices(late));
    t.deepEqual(await apply(late, served(30)), [], 'it takes over what runs');
    const before = service(late, 'dnsmasq').pid;
    system.reports.length = 0;
    const load = new Load(web.namespace, [
      { ...(jobs[0] as Job), rate: 50 },
      { ...(jobs[3] as Job), rate: 5 },
    ]);
    t.teardown(() => load.kill());
    await sleep(700);
    const began = Date.now();
    t.regex((await apply(late, served(31))).join(), /restarted/);
    t.true(Date.now() - began > 6_500, 'control: it was slow');
    await sleep(300);
    const tallies = await load.stop();
    t.log(JSON.stringify(tallies));
    for (const { asked, ok } of tallies) t.is(ok, asked);
    t.not(service(late, 'dnsmasq').pid, before);
    t.deepEqual(system.reports, []);
    // The first daemon takes over again, as the following tests are about it.
    releaseServices(late);
  },
);
