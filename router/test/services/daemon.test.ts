/** The services as guests of a real router daemon see them: through its firewall, over its restart, by its API. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { RouterDocument, RouterEvent, RouterStatus } from 'documents';
import { processStartTime } from 'node-netlink';
import { dhclient, udhcpc } from './dhcp-clients.ts';
import { balancer, document } from './document.ts';
import { TestNetwork } from './network.ts';
import { removeSystem, testSystem } from './test-system.ts';

const network = new TestNetwork();
const system = testSystem();
let daemon: ChildProcess | null = null;
const children: ChildProcess[] = [];
test.after.always(() => {
  daemon?.kill('SIGKILL');
  for (const child of children) child.kill('SIGKILL');
  killServices();
  removeSystem(system, 'dnsmasq', 'haproxy');
  network.remove();
});

const guests = network.addSwitch('guest0', []);
const outside = network.addSwitch('public0', []);
const web = network.addMachine(guests, 'web', '02:00:00:00:01:11');
const db = network.addMachine(guests, 'db', '02:00:00:00:01:12');
const internet = network.addMachine(outside, 'net', '02:00:00:00:02:99');
internet.configure('203.0.113.1/24');

const api = (method: string, path: string, body?: unknown): Promise<{ status: number; body: Buffer }> =>
  new Promise((resolve, reject) => {
    const request = httpRequest(
      { socketPath: join(system.directory, 'control.sock'), method, path },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      },
    );
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
const json = async <Body>(method: string, path: string, body?: unknown): Promise<Body> =>
  JSON.parse((await api(method, path, body)).body.toString()) as Body;

/** Starts the daemon and waits until it listens; ms it took. */
const start = async (): Promise<number> => {
  const main = fileURLToPath(new URL('../../main.ts', import.meta.url));
  const began = Date.now();
  daemon = spawn(process.execPath, [main, '--state', system.directory], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  for (let tries = 0; tries < 500; tries += 1) {
    try {
      await api('GET', '/v1/status');
      return Date.now() - began;
    } catch {
      await sleep(20);
    }
  }
  throw new Error('The daemon does not listen');
};

const guest = (name: string, last: number, mac: string) => ({
  dhcpHost: { id: `port-${name}`, leg: 'leg-guest0', mac, address: `10.1.1.${last}`, hostname: name },
  metadataGuest: {
    id: `port-${name}`,
    leg: 'leg-guest0',
    address: `10.1.1.${last}`,
    instance: `ins-${name}`,
    hostname: name,
    userData: Buffer.from(`I am ${name}`).toString('base64'),
    publicKeys: [],
    metaData: {},
    password: `${name}-Secret1`,
  },
});
const webGuest = guest('web', 11, web.mac);
const dbGuest = guest('db', 12, db.mac);

const whole: RouterDocument = document({
  egressPolicies: [{ id: 'egp-1', leg: 'leg-guest0', default: 'deny' }],
  firewallRules: [
    {
      id: 'fw-1',
      publicAddress: '203.0.113.10',
      protocol: 'tcp',
      ports: { first: 80, last: 80 },
      sources: ['0.0.0.0/0'],
    },
  ],
  dhcpSubnets: [
    {
      id: 'dhs-1',
      leg: 'leg-guest0',
      prefix: '10.1.1.0/24',
      gateway: '10.1.1.1',
      dnsServers: ['10.1.1.1'],
      domain: 'cloud.internal',
      leaseTime: 0,
    },
  ],
  dhcpHosts: [webGuest.dhcpHost],
  metadataGuests: [webGuest.metadataGuest],
  dns: {
    domain: 'cloud.internal',
    upstreams: [],
    records: [{ id: 'rec-1', name: 'data-server', address: '10.1.1.1' }],
  },
  loadBalancers: [
    balancer({ members: [{ id: 'mem-web', address: '10.1.1.11', port: 8000, draining: false }] }),
  ],
});

/** Programs of that name in the router's namespace, without those that only wait to be buried. */
const running = (name: string): number[] =>
  spawnSync('/usr/sbin/ip', ['netns', 'pids', network.router.namespace], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n')
    .map(Number)
    .filter((pid) => {
      try {
        return processStartTime(pid) !== null && readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name;
      } catch {
        // It ended while we looked.
        return false;
      }
    });

const killServices = (): void => {
  for (const pid of [...running('dnsmasq'), ...running('haproxy')]) process.kill(pid, 'SIGKILL');
};

const pidOf = (name: string): number =>
  (JSON.parse(readFileSync(join(system.directory, name, 'process.json'), 'utf8')) as { pid: number }).pid;
const curl = async (from: typeof web, url: string, ...more: string[]): Promise<string> =>
  (await from.run('/usr/bin/curl', ['-s', '-m', '3', ...more, url])).stdout;

test.serial('one document, and guests are served through the firewall', async (t) => {
  await start();
  const answer = await api('PUT', '/v1/document', whole);
  t.is(answer.status, 200, answer.body.toString());
  t.like(await udhcpc(web, 5), { ip: '10.1.1.11', router: '10.1.1.1', mtu: '1450' });
  t.like(await dhclient(web), { new_ip_address: '10.1.1.11' });
  web.configure('10.1.1.11/24', '10.1.1.1');
  const dig = await web.run('/usr/bin/dig', ['+short', '+tries=1', '+time=2', '@10.1.1.1', 'data-server']);
  t.is(dig.stdout.trim(), '10.1.1.1');
  const overTcp = await web.run('/usr/bin/dig', [
    '+tcp',
    '+short',
    '+tries=1',
    '+time=2',
    '@10.1.1.1',
    'web',
  ]);
  t.is(overTcp.stdout.trim(), '10.1.1.11');
  t.is(await curl(web, 'http://10.1.1.1/latest/user-data'), 'I am web');
  t.is(await curl(web, 'http://10.1.1.1:8080/', '-H', 'DomU_Request: send_my_password'), 'web-Secret1');
  const member = web.start(process.execPath, [fileURLToPath(new URL('member.ts', import.meta.url)), 'web']);
  children.push(member);
  let body = '';
  for (let tries = 0; tries < 50 && body === ''; tries += 1) {
    body = await curl(internet, 'http://203.0.113.10/');
    if (body === '') await sleep(200);
  }
  t.is(body, 'web -\n');
  // Nobody outside gets at what is for guests.
  t.is((await internet.run('/usr/bin/curl', ['-s', '-m', '1', 'http://203.0.113.10:8080/'])).stdout, '');
});

test.serial('nothing is left to change, and the status says how it is', async (t) => {
  t.is((await json<{ text: string }>('POST', '/v1/diff')).text, '');
  t.true((await json<{ items: unknown[] }>('POST', '/v1/health')).items.length >= 6);
  const status = await json<RouterStatus>('GET', '/v1/status');
  const conditions = new Map(status.conditions.map(({ type, status: state }) => [type, state]));
  t.is(conditions.get('DnsmasqRunning'), 'True');
  t.is(conditions.get('HaproxyRunning'), 'True');
  t.is(conditions.get('Ready'), 'True');
  t.is(conditions.get('Drifted'), 'False');
  t.deepEqual(status.leases, [{ mac: web.mac, address: '10.1.1.11', expiresAt: 0 }]);
  const health = new Map(status.health.map((check) => [check.name, check.status]));
  for (const name of ['dnsmasq', 'haproxy', 'metadata', 'gateway public0', 'configuration'])
    t.is(health.get(name), 'pass', name);
});

test.serial('a guest added by a change is served within the answer, and nothing is restarted', async (t) => {
  const before = [pidOf('dnsmasq'), pidOf('haproxy')];
  const began = performance.now();
  const { status, body } = await api('PATCH', '/v1/document', {
    schemaVersion: 1,
    id: whole.id,
    baseGeneration: 1,
    generation: 2,
    collections: {
      dhcpHosts: { upsert: [dbGuest.dhcpHost], remove: [] },
      metadataGuests: { upsert: [dbGuest.metadataGuest], remove: [] },
    },
  });
  t.log(`${Math.round(performance.now() - began)} ms`);
  t.is(status, 200, body.toString());
  t.like(await udhcpc(db, 5), { ip: '10.1.1.12', hostname: 'db' });
  db.configure('10.1.1.12/24', '10.1.1.1');
  t.is(await curl(db, 'http://10.1.1.1/latest/user-data'), 'I am db');
  t.deepEqual([pidOf('dnsmasq'), pidOf('haproxy')], before);
});

test.serial('killed, the daemon finds its services again as they were', async (t) => {
  const before = [pidOf('dnsmasq'), pidOf('haproxy')];
  t.is(await curl(web, 'http://10.1.1.1:8080/', '-H', 'DomU_Request: saved_password'), 'saved_password');
  const old = daemon as ChildProcess;
  const ended = new Promise((resolve) => old.once('exit', resolve));
  old.kill('SIGKILL');
  await ended;
  // DHCP, DNS and load balancing do not need the daemon.
  t.like(await udhcpc(db, 5), { ip: '10.1.1.12' });
  t.is(await curl(internet, 'http://203.0.113.10/'), 'web -\n');
  t.is(await curl(web, 'http://10.1.1.1/latest/user-data'), '', 'control: metadata does');
  t.log(`${await start()} ms until it listens again`);
  t.is(await curl(web, 'http://10.1.1.1/latest/user-data'), 'I am web');
  t.deepEqual([pidOf('dnsmasq'), pidOf('haproxy')], before);
  t.is(await curl(web, 'http://10.1.1.1:8080/', '-H', 'DomU_Request: send_my_password'), 'saved_password');
  t.is(await curl(db, 'http://10.1.1.1:8080/', '-H', 'DomU_Request: send_my_password'), 'db-Secret1');
  const { items } = await json<{ items: RouterEvent[] }>('GET', '/v1/events');
  t.true(items.some(({ type, subject }) => type === 'guest.password-saved' && subject === 'port-web'));
  t.is((await json<{ text: string }>('POST', '/v1/diff')).text, '');
});

test.serial(
  'killed at any moment of a change, it comes back with one of each and what the last document says',
  async (t) => {
    const hosts = [webGuest.dhcpHost, dbGuest.dhcpHost];
    for (let generation = 3; generation < 11; generation += 1) {
      // Every other time a change that restarts dnsmasq and reloads haproxy, else one that does neither.
      const port = generation % 2 === 0 ? 80 : 80 + generation;
      const next: RouterDocument = {
        ...whole,
        generation,
        dhcpHosts: generation % 2 === 0 ? hosts.slice(1) : hosts.slice(0, 1),
        dns: { ...whole.dns, domain: generation % 2 === 0 ? 'cloud.internal' : 'other.internal' },
        loadBalancers: whole.loadBalancers.map((each) => ({ ...each, port })),
      };
      api('PUT', '/v1/document', next).catch(() => undefined);
      await sleep((generation - 3) * 12);
      const old = daemon as ChildProcess;
      const ended = new Promise((resolve) => old.once('exit', resolve));
      old.kill('SIGKILL');
      await ended;
      // The last time everything together, whether its pid was written down or not.
      if (generation === 10) killServices();
      await start();
    }
    const last = {
      ...whole,
      generation: 20,
      dhcpHosts: hosts,
      metadataGuests: [webGuest.metadataGuest, dbGuest.metadataGuest],
    };
    const { status, body } = await api('PUT', '/v1/document', {
      ...last,
      dhcpHosts: hosts.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      metadataGuests: last.metadataGuests.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    });
    t.is(status, 200, body.toString());
    t.is((await json<{ text: string }>('POST', '/v1/diff')).text, '');
    // One that was replaced by the last document finishes what it has begun.
    for (let tries = 0; tries < 50 && running('dnsmasq').length > 1; tries += 1) await sleep(100);
    t.deepEqual(running('dnsmasq'), [pidOf('dnsmasq')]);
    // A master and its worker; workers of earlier generations had no connections to wait for.
    for (let tries = 0; tries < 50 && running('haproxy').length > 2; tries += 1) await sleep(100);
    t.is(running('haproxy').length, 2);
    t.like(await udhcpc(db, 5), { ip: '10.1.1.12' });
    t.like(await udhcpc(web, 5), { ip: '10.1.1.11' });
    t.is(await curl(internet, 'http://203.0.113.10/'), 'web -\n');
  },
);

test.serial('diagnostics, drain and support bundle over the API', async (t) => {
  const ping = await json<{ exitCode: number }>('POST', '/v1/diagnostics', {
    type: 'ping',
    address: '203.0.113.1',
    count: 1,
  });
  t.is(ping.exitCode, 0);
  const refused = await api('POST', '/v1/diagnostics', { type: 'ping', address: '--help' });
  t.is(refused.status, 422);
  t.regex(refused.body.toString(), /bad-format/);
  const loadBalancer = 'lb-000000000001';
  t.is((await api('POST', '/v1/drain', { loadBalancer, member: 'mem-web' })).status, 200);
  t.regex(await curl(internet, 'http://203.0.113.10/'), /^$/, 'its only member takes nothing new');
  t.is((await api('POST', '/v1/drain', { loadBalancer, member: 'mem-none' })).status, 404);
  const bundle = await api('GET', '/v1/support-bundle');
  const text = spawnSync('/usr/bin/tar', ['-xzOf', '-'], { input: bundle.body, encoding: 'latin1' }).stdout;
  t.regex(text, /lb-000000000001/);
  t.notRegex(text, /Secret1/);
});

test.serial('a guest removed is served no more', async (t) => {
  const { status, body } = await api('PATCH', '/v1/document', {
    schemaVersion: 1,
    id: whole.id,
    baseGeneration: 20,
    generation: 21,
    collections: {
      dhcpHosts: { upsert: [], remove: ['port-db'] },
      metadataGuests: { upsert: [], remove: ['port-db'] },
    },
  });
  t.is(status, 200, body.toString());
  t.is(await udhcpc(db, 2), null);
  t.is(await curl(db, 'http://10.1.1.1/latest/user-data'), 'not found\n');
  t.deepEqual(
    (await json<RouterStatus>('GET', '/v1/status')).leases.map(({ mac }) => mac),
    [web.mac],
  );
  t.not(processStartTime(pidOf('dnsmasq')), null);
});
