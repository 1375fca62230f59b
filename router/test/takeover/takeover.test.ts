/** A newer daemon takes over a router that serves: from bundles, under traffic. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { RouterDocument, RouterStatus } from 'documents';
import { processStartTime } from 'node-netlink';
import type { Proof } from '../../takeover/proof.ts';
import { routerDocument } from '../support/documents.ts';
import { Lab } from '../support/lab.ts';
import { Load } from '../support/load.ts';
import { pinging } from '../support/pinging.ts';
import { variant } from './bundles.ts';

const folder = mkdtempSync(join(tmpdir(), 'svt-bundles-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const MAC = '02:00:0a:01:01:0a';
const whole: RouterDocument = routerDocument({
  egressPolicies: [{ id: 'egp-1', leg: 'leg-guest0', default: 'allow' }],
  firewallRules: [
    {
      id: 'fw-1',
      publicAddress: '198.51.100.11',
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
      leaseTime: 3600,
    },
  ],
  dhcpHosts: [{ id: 'port-web', leg: 'leg-guest0', mac: MAC, address: '10.1.1.10', hostname: 'web' }],
  metadataGuests: [
    {
      id: 'port-web',
      leg: 'leg-guest0',
      address: '10.1.1.10',
      instance: 'ins-web',
      hostname: 'web',
      userData: 'aGVsbG8=',
      publicKeys: [],
      metaData: {},
      password: 'web-Secret1',
    },
  ],
  loadBalancers: [
    {
      id: 'lb-1',
      publicAddress: '198.51.100.11',
      port: 80,
      protocol: 'tcp',
      algorithm: 'roundrobin',
      members: [{ id: 'mem-1', address: '10.1.1.10', port: 8000, draining: false }],
    },
  ],
});

/** A router that runs from a bundle, with that document in force. */
const router = async (t: ExecutionContext, program = variant(folder)): Promise<Lab> => {
  const lab = new Lab(program);
  t.teardown(async () => {
    endAll(lab);
    await lab.close();
  });
  await lab.start();
  await lab.put(whole);
  return lab;
};

/** Everything that runs in the router's namespace. */
const pids = (lab: Lab): readonly number[] =>
  spawnSync('ip', ['netns', 'pids', lab.router], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n')
    .filter(Boolean)
    .map(Number)
    .filter((pid) => processStartTime(pid) !== null);

const endAll = (lab: Lab): void => {
  for (const pid of pids(lab)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }
};

/** Daemons of the router, without their helpers. */
const daemons = (lab: Lab): readonly number[] =>
  pids(lab).filter((pid) => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return args.includes('--state') && args.includes(lab.directory);
    } catch {
      return false;
    }
  });

const recorded = <Record>(lab: Lab, ...path: string[]): Record =>
  JSON.parse(readFileSync(join(lab.directory, ...path), 'utf8')) as Record;
const pidOf = (lab: Lab, name: string): number => recorded<{ pid: number }>(lab, name, 'process.json').pid;

const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode);
    else child.once('exit', resolve);
  });

/** What the daemon in charge says, once it says anything. */
const status = async (lab: Lab, within = 30_000): Promise<RouterStatus> => {
  let last = 'it does not answer';
  for (const deadline = Date.now() + within; ; await sleep(20)) {
    try {
      const { body } = await lab.call<RouterStatus>('GET', '/v1/status');
      if (body.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True')) return body;
      last = JSON.stringify(body.conditions.filter(({ status: is }) => is === 'False'));
    } catch {
      // It is just being taken over.
    }
    if (Date.now() > deadline) throw new Error(`The router is not ready: ${last}`);
  }
};

/** Has `program` take over; resolves with the status of the router that it makes. */
const takeOver = async (lab: Lab, program: string): Promise<RouterStatus> => {
  const before = recorded<{ pid: number }>(lab, 'daemon.json').pid;
  const child = lab.runProgram(program, '--state', lab.directory, '--take-over');
  for (let turn = 0; turn < 1500; turn += 1) {
    if (child.exitCode !== null) throw new Error(`The new daemon ended with ${child.exitCode}`);
    if (recorded<{ pid: number }>(lab, 'daemon.json').pid !== before) return await status(lab);
    await sleep(10);
  }
  throw new Error('Nothing was taken over');
};

const proofBy = async (lab: Lab, program: string): Promise<{ code: number | null; proof: Proof }> => {
  const child = lab.runProgram(program, '--state', lab.directory, '--prove');
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const closed = new Promise((resolve) => child.once('close', resolve));
  const code = await ended(child);
  await closed;
  return { code, proof: JSON.parse(text) as Proof };
};

const changes = (proof: Proof): Record<string, string> =>
  Object.fromEntries(proof.services.map(({ name, change }) => [name, change]));

const RELOADS = ['timeout connect 5s', 'timeout connect 6s'] as const;

test('a newer daemon takes over under traffic: no packet, request, query or renewal is lost', async (t) => {
  const lab = await router(t);
  const [dnsmasq, haproxy] = [pidOf(lab, 'dnsmasq'), pidOf(lab, 'haproxy')];
  const first = await status(lab);
  t.is(first.bundle?.version, first.version);
  t.regex(first.bundle?.checksum ?? '', /^[0-9a-f]{64}$/);

  const load = new Load(lab.web.netns, [
    { kind: 'http', address: '10.1.1.1', port: 80, rate: 150 },
    { kind: 'dns', address: '10.1.1.1', name: 'web.cloud.internal', rate: 100 },
    { kind: 'renew', address: '10.1.1.1', mac: MAC, own: '10.1.1.10', rate: 5 },
  ]);
  t.teardown(() => load.kill());
  const ping = pinging(lab.web.netns, '198.51.100.1');
  t.teardown(() => ping.kill());
  await sleep(600);
  for (const program of [variant(folder), variant(folder, RELOADS), variant(folder)]) {
    const { bundle, version, appliedGeneration } = await takeOver(lab, program);
    t.is(appliedGeneration, whole.generation);
    t.is(bundle?.version ?? '', version);
    t.is(daemons(lab).length, 1);
    t.is(recorded<{ checksum: string }>(lab, 'daemon.json').checksum, bundle?.checksum ?? '');
    const proof = recorded<Proof>(lab, 'proof.json');
    t.is(proof.outcome, 'proved');
    t.is(proof.kernel, '');
    t.is(proof.checksum, bundle?.checksum);
    await sleep(200);
  }
  const [http, dns, renew] = await load.stop();
  const { sent, received } = await ping.stop();
  t.log({ http, dns, renew, sent, received });
  for (const tally of [http, dns, renew]) {
    t.deepEqual(tally?.others, {});
    t.is(tally?.ok, tally?.asked);
  }
  t.true(sent > 1000);
  t.is(received, sent);
  t.is(pidOf(lab, 'dnsmasq'), dnsmasq);
  // Its master stays; workers come and go.
  t.is(pidOf(lab, 'haproxy'), haproxy);
  t.regex(readFileSync(join(lab.directory, 'haproxy', 'haproxy.cfg'), 'utf8'), /timeout connect 5s/);
});

test('control: without listening beside each other, guests are refused', async (t) => {
  const alone = ['reusePort:!0', 'reusePort:!1'] as const;
  const lab = await router(t, variant(folder, alone));
  const load = new Load(lab.web.netns, [{ kind: 'http', address: '10.1.1.1', port: 80, rate: 300 }]);
  t.teardown(() => load.kill());
  await sleep(600);
  await takeOver(lab, variant(folder, alone));
  const [http] = await load.stop();
  t.log(JSON.stringify(http));
  t.true((http?.asked ?? 0) > (http?.ok ?? 0));
});

test('a proof says what would happen, and disturbs nobody', async (t) => {
  const lab = await router(t);
  const [pid] = daemons(lab);
  const events = await lab.events();
  const generation = (): string =>
    spawnSync('ip', ['netns', 'exec', lab.router, '/usr/sbin/nft', '-j', 'list', 'tables'], {
      encoding: 'utf8',
    }).stdout;
  const kernel = generation();

  const same = await proofBy(lab, variant(folder));
  t.is(same.code, 0);
  t.is(same.proof.outcome, 'proved');
  t.deepEqual(changes(same.proof), { metadata: 'none', dnsmasq: 'none', haproxy: 'none' });

  const other = await proofBy(lab, variant(folder, RELOADS, ['cacheSize:1e3', 'cacheSize:2e3']));
  t.is(other.code, 0);
  t.deepEqual(changes(other.proof), { metadata: 'none', dnsmasq: 'restart', haproxy: 'reload' });
  t.regex(other.proof.services.map(({ text }) => text).join(''), /\+\s+timeout connect 6s/);

  const broken = await proofBy(lab, variant(folder, ['timeout connect 5s', 'timeout connect soon']));
  t.is(broken.code, 3);
  t.is(broken.proof.problems[0]?.code, 'haproxy-refuses');

  const stricter = await proofBy(lab, variant(folder, ['MOST_USER_DATA=32768', 'MOST_USER_DATA=1']));
  t.is(stricter.code, 3);
  t.is(stricter.proof.outcome, 'refused');
  t.like(stricter.proof.problems[0], { pointer: '/metadataGuests/0/userData' });

  const richer = await proofBy(
    lab,
    variant(folder, ['"ipv4/tcp_migrate_req","1"', '"ipv4/tcp_migrate_req","0"']),
  );
  t.is(richer.code, 3);
  t.is(richer.proof.problems[0]?.code, 'kernel-differs');
  t.regex(richer.proof.kernel, /set ipv4\.tcp_migrate_req to 0/);

  t.false(existsSync(join(lab.directory, 'proof.json')));
  t.deepEqual(daemons(lab), [pid]);
  t.deepEqual(await lab.events(), events);
  t.is(generation(), kernel);
  t.is((await lab.call<RouterStatus>('GET', '/v1/status')).status, 200);
});

test('who would change the kernel does not take over; a daemon that hangs is killed', async (t) => {
  const lab = await router(t);
  const old = daemons(lab)[0] as number;
  const next = variant(folder);
  // So that it does not mend what we break.
  process.kill(old, 'SIGSTOP');
  lab.ip('address', 'del', '198.51.100.12/24', 'dev', 'public0');
  lab.nft('delete', 'table', 'inet', 'selvage');
  t.is(await ended(lab.runProgram(next, '--state', lab.directory, '--take-over')), 3);
  const proof = recorded<Proof>(lab, 'proof.json');
  t.is(proof.outcome, 'refused');
  t.regex(proof.kernel, /198\.51\.100\.12/);
  t.regex(proof.kernel, /chain/);
  t.deepEqual(daemons(lab), [old]);
  t.throws(() => lab.nft('list', 'table', 'inet', 'selvage'));
  process.kill(old, 'SIGCONT');
  await status(lab);
  for (let turn = 0; turn < 100 && (await proofBy(lab, next)).code !== 0; turn += 1) await sleep(50);

  process.kill(old, 'SIGSTOP');
  const load = new Load(lab.web.netns, [{ kind: 'http', address: '10.1.1.1', port: 80, rate: 2 }]);
  t.teardown(() => load.kill());
  const began = Date.now();
  await takeOver(lab, next);
  t.true(Date.now() - began > 4_500);
  t.is(daemons(lab).length, 1);
  t.not(daemons(lab)[0], old);
  const [http] = await load.stop();
  t.is(http?.others['ECONNREFUSED'] ?? 0, 0);
});

test('killed at any moment of a take-over, there is one daemon afterwards', async (t) => {
  const lab = await router(t);
  const program = variant(folder);
  let untouched = 0;
  for (const after of [60, 110, 160, 190, 210, 240, 280, 340]) {
    const before = daemons(lab)[0];
    const child = lab.runProgram(program, '--state', lab.directory, '--take-over');
    await sleep(after);
    child.kill('SIGKILL');
    await ended(child);
    // What the host agent does: whoever is gone is started again, and joins or begins.
    for (let turn = 0; turn < 300 && before !== undefined && daemons(lab).length > 1; turn += 1)
      await sleep(10);
    if (daemons(lab)[0] === before) {
      untouched += 1;
      await status(lab);
    } else {
      // The one before may still be ending.
      lab.runProgram(program, '--state', lab.directory, '--take-over');
      await status(lab);
    }
    t.is(daemons(lab).length, 1);
  }
  t.log(`${untouched} of 8 were killed before they mattered`);
  t.is((await lab.call<{ text: string }>('POST', '/v1/diff')).body.text, '');
});
