import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { DhcpHost, RouterDocument } from 'documents';
import { dhcpFeature } from '../../dhcp/feature.ts';
import { dnsFeature } from '../../dns/feature.ts';
import { dnsmasqOf } from '../../service/dnsmasq-of.ts';
import { releaseServices, service } from '../../service/services.ts';
import type { System } from '../../system.ts';
import { dhclient, udhcpc } from './dhcp-clients.ts';
import { document } from './document.ts';
import { type Machine, TestNetwork } from './network.ts';
import { removeSystem, testSystem } from './test-system.ts';

const network = new TestNetwork();
const system = testSystem();
test.after.always(() => {
  removeSystem(system, 'dnsmasq');
  network.remove();
});

const guests = network.addSwitch('guest0', ['10.1.1.1/24']);
const outside = network.addSwitch('public0', ['203.0.113.10/24']);
const web = network.addMachine(guests, 'web', '02:00:00:00:01:11');
const db = network.addMachine(guests, 'db', '02:00:00:00:01:12');
const stranger = network.addMachine(guests, 'no', '02:00:00:00:01:66');
const internet = network.addMachine(outside, 'net', '02:00:00:00:02:99');

const host = (name: string, { mac }: { readonly mac: string }, address: string): DhcpHost => ({
  id: `dh-${name}`,
  leg: 'leg-guest0',
  mac,
  address,
  hostname: name,
});

const served = (hosts: readonly DhcpHost[], parts: Partial<RouterDocument> = {}): RouterDocument =>
  document({
    dhcpSubnets: [
      {
        id: 'ds-1',
        leg: 'leg-guest0',
        prefix: '10.1.1.0/24',
        gateway: '10.1.1.1',
        dnsServers: ['10.1.1.1'],
        domain: 'cloud.internal',
        leaseTime: 3600,
      },
    ],
    dhcpHosts: [...hosts],
    ...parts,
  });

const apply = async (to: System, next: RouterDocument): Promise<string[]> => [
  ...(await dnsFeature.apply(to, dnsFeature.render(next), null)).changes,
  ...(await dhcpFeature.apply(to, dhcpFeature.render(next), null)).changes,
];

const dig = async (machine: Machine, ...args: string[]): Promise<string> =>
  (await machine.run('/usr/bin/dig', ['+short', '+tries=1', '+time=1', ...args])).stdout.trim();

const pid = (): number => service(system, 'dnsmasq').pid as number;

/** Bounded wait for something that other processes bring about. */
const until = async (what: () => boolean | Promise<boolean>, within = 5_000): Promise<boolean> => {
  for (const end = Date.now() + within; Date.now() < end; await sleep(20)) if (await what()) return true;
  return false;
};

const both = [host('db', db, '10.1.1.12'), host('web', web, '10.1.1.11')];

test.serial(
  'both clients get the reserved address with its options; an unknown MAC gets nothing',
  async (t) => {
    t.deepEqual(await apply(system, served([host('web', web, '10.1.1.11')])), ['dnsmasq started']);
    t.like(await udhcpc(web), {
      ip: '10.1.1.11',
      subnet: '255.255.255.0',
      router: '10.1.1.1',
      dns: '10.1.1.1',
      domain: 'cloud.internal',
      hostname: 'web',
      mtu: '1450',
      lease: '3600',
    });
    t.like(await dhclient(web), {
      new_ip_address: '10.1.1.11',
      new_subnet_mask: '255.255.255.0',
      new_routers: '10.1.1.1',
      new_domain_name_servers: '10.1.1.1',
      new_domain_name: 'cloud.internal',
      new_interface_mtu: '1450',
      new_host_name: 'web',
    });
    t.is(await udhcpc(stranger, 2), null);
    t.is(await udhcpc(db, 2), null, 'control: db is not reserved yet');
    t.deepEqual(
      (await dnsmasqOf(system).leases()).map(({ mac, address }) => [mac, address]),
      [[web.mac, '10.1.1.11']],
    );
  },
);

test.serial('dnsmasq has given up root', async (t) => {
  const status = await system.files.read(`/proc/${pid()}/status`);
  t.regex(status ?? '', /^Uid:\t[1-9]/m);
});

test.serial('applying the same again changes nothing', async (t) => {
  const next = served([host('web', web, '10.1.1.11')]);
  t.is(await dnsFeature.diff(system, dnsFeature.render(next)), '');
  t.is(await dhcpFeature.diff(system, dhcpFeature.render(next)), '');
  t.deepEqual(await apply(system, next), []);
  t.deepEqual((await dhcpFeature.heal(system, dhcpFeature.render(next))).changes, []);
});

test.serial('a guest is added without a restart, and served at once', async (t) => {
  const before = pid();
  const diff = await dhcpFeature.diff(system, dhcpFeature.render(served(both)));
  t.regex(diff, /\+02:00:00:00:01:12,10\.1\.1\.12,db/);
  await apply(system, served(both));
  t.is(pid(), before);
  t.like(await udhcpc(db), { ip: '10.1.1.12', hostname: 'db' });
});

test.serial('guests resolve each other, both ways, with and without the domain', async (t) => {
  web.configure('10.1.1.11/24', '10.1.1.1');
  db.configure('10.1.1.12/24', '10.1.1.1');
  await apply(
    system,
    served(both, {
      dns: {
        domain: 'cloud.internal',
        upstreams: [],
        records: [{ id: 'rec-1', name: 'data-server', address: '10.1.1.1' }],
      },
    }),
  );
  const ask = (...args: string[]): Promise<string> => dig(web, '@10.1.1.1', ...args);
  t.true(await until(async () => (await ask('data-server')) === '10.1.1.1'));
  t.is(await ask('db'), '10.1.1.12');
  t.is(await ask('db.cloud.internal'), '10.1.1.12');
  t.is(await ask('data-server.cloud.internal'), '10.1.1.1');
  t.is(await ask('-x', '10.1.1.12'), 'db.cloud.internal.');
  t.is(await ask('nobody.cloud.internal'), '', 'control: a name that is not there');
  t.is(await ask('-x', '10.1.1.77'), '');
});

test.serial('nothing is answered on the public side', async (t) => {
  internet.configure('203.0.113.99/24', '203.0.113.10');
  const args = ['+tries=1', '+time=1', 'db.cloud.internal'];
  for (const server of ['203.0.113.10', '10.1.1.1']) {
    const { stdout } = await internet.run('/usr/bin/dig', [`@${server}`, ...args]);
    t.notRegex(stdout, /10\.1\.1\.12/);
    t.regex(stdout, /no servers could be reached|connection refused/, server);
  }
  t.is(await udhcpc(internet, 2), null);
});

test.serial('other names are asked upstream, in order', async (t) => {
  const upstream = internet.start('/usr/sbin/dnsmasq', [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--no-resolv',
    '--no-hosts',
    '--pid-file=',
    '--bind-interfaces',
    '--listen-address=203.0.113.99',
    '--address=/example.org/198.51.100.7',
  ]);
  t.teardown(() => upstream.kill('SIGKILL'));
  const before = pid();
  const changes = await apply(
    system,
    served(both, { dns: { domain: 'cloud.internal', upstreams: ['203.0.113.99'], records: [] } }),
  );
  t.regex(changes.join(), /restarted/);
  t.not(pid(), before);
  t.true(await until(async () => (await dig(web, '@10.1.1.1', 'www.example.org')) === '198.51.100.7'));
  t.is(await dig(web, '@10.1.1.1', 'db'), '10.1.1.12', 'guests keep their names');
  t.is((await dnsmasqOf(system).leases()).length, 2, 'leases outlive the restart');
});

test.serial('the address of a guest that is gone goes to another MAC, without a restart', async (t) => {
  const before = pid();
  const heir = network.addMachine(guests, 'heir', '02:00:00:00:01:13');
  const next = (hosts: readonly DhcpHost[]): RouterDocument =>
    served(hosts, { dns: { domain: 'cloud.internal', upstreams: ['203.0.113.99'], records: [] } });
  t.true(
    (await dnsmasqOf(system).leases()).some(({ mac }) => mac === db.mac),
    'control: the old guest has a lease',
  );
  await apply(system, next([host('web', web, '10.1.1.11')]));
  t.is(await udhcpc(db, 2), null);
  t.true(await until(async () => (await dnsmasqOf(system).leases()).every(({ mac }) => mac !== db.mac)));
  await apply(system, next([host('heir', heir, '10.1.1.12'), host('web', web, '10.1.1.11')]));
  t.like(await udhcpc(heir), { ip: '10.1.1.12' });
  t.is(pid(), before);
  // And in one step: from one MAC to another.
  await apply(system, next([host('db', db, '10.1.1.12'), host('web', web, '10.1.1.11')]));
  t.like(await udhcpc(db, 5), { ip: '10.1.1.12' });
  t.is(await udhcpc(heir, 2), null);
  t.is(pid(), before);
});

test.serial('killed, it comes back by itself and says so', async (t) => {
  const before = pid();
  system.reports.length = 0;
  process.kill(before, 'SIGKILL');
  t.true(await until(() => system.reports.some(({ type }) => type === 'router.service-restarted')));
  t.not(pid(), before);
  t.like(system.reports[0], { level: 'warning', subject: 'rtr-test00000001' });
  t.is(service(system, 'dnsmasq').condition?.status, 'True');
  t.is(await dig(web, '@10.1.1.1', 'db'), '10.1.1.12');
});

test.serial('after a restart of the router daemon the process is taken over as it is', async (t) => {
  const before = pid();
  releaseServices(system);
  const next = served([host('db', db, '10.1.1.12'), host('web', web, '10.1.1.11')], {
    dns: { domain: 'cloud.internal', upstreams: ['203.0.113.99'], records: [] },
  });
  const second = testSystem(system.directory);
  t.teardown(() => releaseServices(second));
  t.deepEqual(await apply(second, next), []);
  t.is(service(second, 'dnsmasq').pid, before);
  t.is(service(second, 'dnsmasq').condition?.reason, 'Adopted');
  // The new daemon supervises it too.
  process.kill(before, 'SIGKILL');
  t.true(await until(() => second.reports.some(({ type }) => type === 'router.service-restarted')));
  t.is(await dig(web, '@10.1.1.1', 'web'), '10.1.1.11');
});

test.serial('what was changed by hand in its files is put back', async (t) => {
  const third = testSystem(system.directory);
  t.teardown(() => releaseServices(third));
  const next = served([host('db', db, '10.1.1.12'), host('web', web, '10.1.1.11')], {
    dns: { domain: 'cloud.internal', upstreams: ['203.0.113.99'], records: [] },
  });
  t.deepEqual(await apply(third, next), []);
  const names = `${third.directory}/dnsmasq/hosts/names`;
  writeFileSync(names, '10.1.1.99 db\n');
  t.true(
    await until(async () => (await dig(web, '@10.1.1.1', 'db')) === '10.1.1.99'),
    'control: the change works',
  );
  t.regex(await dnsFeature.diff(third, dnsFeature.render(next)), /^-10\.1\.1\.99 db$/m);
  t.true((await dhcpFeature.heal(third, dhcpFeature.render(next))).changes.length > 0);
  t.true(await until(async () => (await dig(web, '@10.1.1.1', 'db')) === '10.1.1.12'));
});

test.serial('a leg that appears later is served without a restart', async (t) => {
  const fourth = testSystem(system.directory);
  t.teardown(() => releaseServices(fourth));
  const late = document({
    legs: [
      ...document().legs,
      {
        id: 'leg-guest1',
        role: 'guest',
        device: 'guest1',
        mac: '02:00:00:00:03:01',
        mtu: 1450,
        addresses: ['10.2.2.1/24'],
        gateways: [],
      },
    ],
    dhcpSubnets: [
      ...served([]).dhcpSubnets,
      {
        id: 'ds-2',
        leg: 'leg-guest1',
        prefix: '10.2.2.0/24',
        gateway: '10.2.2.1',
        dnsServers: ['10.2.2.1'],
        domain: 'cloud.internal',
        leaseTime: 0,
      },
    ],
    dhcpHosts: [
      { id: 'dh-app', leg: 'leg-guest1', mac: '02:00:00:00:03:11', address: '10.2.2.11', hostname: 'app' },
    ],
  });
  await apply(fourth, late);
  const before = service(fourth, 'dnsmasq').pid;
  const tier = network.addSwitch('guest1', ['10.2.2.1/24']);
  const app = network.addMachine(tier, 'app', '02:00:00:00:03:11');
  t.like(await udhcpc(app, 5), { ip: '10.2.2.11', router: '10.2.2.1', hostname: 'app', lease: '4294967295' });
  t.is(service(fourth, 'dnsmasq').pid, before);
  // Without guest legs there is nobody to serve.
  t.deepEqual(await apply(fourth, document({ legs: [] })), ['dnsmasq is no longer needed: ended']);
  t.false(existsSync(`/proc/${before}`));
});

test.serial('a configuration that dnsmasq refuses is told with its words', async (t) => {
  const fifth = testSystem(system.directory);
  t.teardown(() => releaseServices(fifth));
  const good = served([]);
  t.deepEqual(await dnsFeature.check?.(fifth, dnsFeature.render(good)), []);
  t.deepEqual(await dhcpFeature.check?.(fifth, dhcpFeature.render(good)), []);
  const dns = dnsFeature.render(good);
  const problems = await dnsFeature.check?.(fifth, { ...dns, dns: { ...dns.dns, port: 99_999 } });
  t.is(problems?.[0]?.code, 'dnsmasq-refuses');
  t.regex(problems?.[0]?.message ?? '', /port|line \d+/);
});

test.serial('where the user dnsmasq cannot go it runs as root, and that is told', async (t) => {
  const closed = mkdtempSync(join(tmpdir(), 'svt-'));
  const hidden = testSystem(join(closed, 'state'));
  t.teardown(() => {
    removeSystem(hidden, 'dnsmasq');
    rmSync(closed, { recursive: true, force: true });
  });
  await apply(hidden, served([]));
  const record = JSON.parse((await hidden.files.read(`${hidden.directory}/dnsmasq/process.json`)) ?? '') as {
    pid: number;
  };
  t.regex((await hidden.files.read(`/proc/${record.pid}/status`)) ?? '', /^Uid:\t0/m);
  t.like(hidden.reports[0], { type: 'router.service-privileged', level: 'warning' });
  t.true(hidden.reports[0]?.message.includes(`chmod o+x ${closed}`));
});
