import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import test from 'ava';
import type { RouterDocument } from 'documents';
import { diagnose } from '../../diagnostics/diagnose.ts';
import { diagnosticCommand } from '../../diagnostics/diagnostic-command.ts';
import { supportBundle } from '../../diagnostics/support-bundle.ts';
import { dhcpFeature } from '../../dhcp/feature.ts';
import { dnsFeature } from '../../dns/feature.ts';
import { standsByWhile } from '../../handover/standing-by.ts';
import { HealthMonitor } from '../../health/health-monitor.ts';
import { checkGateways } from '../../health/surroundings-checks.ts';
import { loadBalancerFeature } from '../../loadbalancer/feature.ts';
import { metadataServer } from '../../metadata/apply.ts';
import { metadataFeature } from '../../metadata/feature.ts';
import { service } from '../../service/services.ts';
import { balancer, document } from './document.ts';
import { TestNetwork } from './network.ts';
import { removeSystem, testSystem } from './test-system.ts';

const network = new TestNetwork();
const system = testSystem();
test.after.always(() => {
  metadataServer(system).close();
  removeSystem(system, 'dnsmasq', 'haproxy');
  network.remove();
});

network.addSwitch('guest0', ['10.1.1.1/24']);
const outside = network.addSwitch('public0', ['203.0.113.10/24']);
const upstream = network.addMachine(outside, 'net', '02:00:00:00:02:99');
upstream.configure('203.0.113.1/24');

const whole: RouterDocument = document({
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
  metadataGuests: [
    {
      id: 'port-web',
      leg: 'leg-guest0',
      address: '10.1.1.11',
      instance: 'ins-web',
      hostname: 'web',
      userData: Buffer.from('token=very-Secret').toString('base64'),
      publicKeys: [],
      metaData: {},
      password: 'pass-Secret1',
    },
  ],
  loadBalancers: [balancer()],
});

test.before(async () => {
  await metadataFeature.apply(system, metadataFeature.render(whole), null);
  await dnsFeature.apply(system, dnsFeature.render(whole), null);
  await dhcpFeature.apply(system, dhcpFeature.render(whole), null);
  await loadBalancerFeature.apply(system, loadBalancerFeature.render(whole), null);
});

let drift = '';
const monitor = new HealthMonitor(system, { document: () => whole, drift: () => Promise.resolve(drift) });
const round = async (): Promise<Map<string, { status: string; message: string }>> =>
  new Map((await monitor.check({ thorough: true })).map((each) => [each.name, each]));

test.serial('finds a router in good health, but for members that are not there', async (t) => {
  for (let tries = 0; tries < 40; tries += 1) {
    if ((await round()).get('load balancer lb-000000000001')?.status === 'fail') break;
    await system.clock.sleep(250);
  }
  const found = await round();
  const expected = {
    dnsmasq: 'pass',
    haproxy: 'pass',
    'load balancer lb-000000000001': 'fail',
    metadata: 'pass',
    'gateway public0': 'pass',
    configuration: 'pass',
  };
  // What the machine of this test has left is its own affair.
  const ours = [...found].filter(([name]) => name !== 'disk' && name !== 'memory');
  t.deepEqual(Object.fromEntries(ours.map(([name, { status }]) => [name, status])), expected);
  t.regex(found.get('disk')?.message ?? '', /^\d+ MB free at /);
  t.regex(found.get('memory')?.message ?? '', /^\d+ % available; the daemon has \d+ MB$/);
  t.true(monitor.results.every(({ checkedAt }) => Date.now() - checkedAt < 10_000));
});

test.serial('finds what does not work', async (t) => {
  spawnSync('/usr/sbin/ip', ['-n', upstream.namespace, 'addr', 'del', '203.0.113.1/24', 'dev', 'eth0']);
  upstream.configure('203.0.113.2/24');
  drift = 'one line\nanother\n';
  metadataServer(system).close();
  // Stopped, not ended: it looks as if it ran, and answers nobody.
  process.kill(service(system, 'dnsmasq').pid as number, 'SIGSTOP');
  t.teardown(() => process.kill(service(system, 'dnsmasq').pid as number, 'SIGCONT'));
  rmSync(`${system.directory}/haproxy/runtime.sock`);
  const found = await round();
  t.like(found.get('gateway public0'), { status: 'fail', message: '203.0.113.1 does not answer on public0' });
  t.like(found.get('configuration'), {
    status: 'warn',
    message: 'differs from the document: one line; another',
  });
  t.like(found.get('dnsmasq'), { status: 'fail', message: 'does not answer on 10.1.1.1' });
  t.like(found.get('metadata'), { status: 'fail' });
  t.like(found.get('haproxy'), { status: 'fail', message: 'its socket does not answer' });
  // One that stands by gets no answers to what it asks, and does not wait for any.
  standsByWhile(system, () => true);
  t.teardown(() => standsByWhile(system, () => false));
  const began = performance.now();
  t.deepEqual(await checkGateways(system, whole), [
    { name: 'gateway public0', status: 'pass', message: 'standing by: not asked' },
  ]);
  t.true(performance.now() - began < 500);
});

test.serial('diagnostics run inside the router', async (t) => {
  const run = async (request: object): Promise<{ exitCode: number; stdout: string }> => {
    const outcome = await diagnose(system, whole, request);
    if (!('exitCode' in outcome)) throw new Error(JSON.stringify(outcome));
    return outcome;
  };
  t.regex((await run({ type: 'ping', address: '203.0.113.2', count: 1 })).stdout, /1 received/);
  t.is((await run({ type: 'ping', address: '203.0.113.77', count: 1 })).exitCode, 1);
  t.regex(
    (await run({ type: 'arping', address: '203.0.113.2', count: 1 })).stdout,
    /reply from 203\.0\.113\.2/,
  );
  t.regex(
    (await run({ type: 'traceroute', address: '203.0.113.2', leg: 'leg-public0', count: 3 })).stdout,
    / 1 {2}203\.0\.113\.2/,
  );
});

test('a diagnostic takes an address, a leg and a number, and nothing else', (t) => {
  const codes = (request: unknown): string[] => {
    const outcome = diagnosticCommand(request, whole);
    return 'program' in outcome ? ['none'] : outcome.map(({ pointer, code }) => `${pointer} ${code}`);
  };
  t.deepEqual(codes({ type: 'ping', address: '10.1.1.1' }), ['none']);
  t.deepEqual(codes({ type: 'ping', address: '-f' }), ['/address bad-format']);
  t.deepEqual(codes({ type: 'ping', address: '10.1.1.1; reboot' }), ['/address bad-format']);
  t.deepEqual(codes({ type: 'ping', address: '010.1.1.1', count: 1e9, leg: 'eth0', extra: 1 }), [
    '/extra unknown-field',
    '/address bad-format',
    '/count out-of-bounds',
    '/leg unknown-leg',
  ]);
  t.deepEqual(codes({ type: 'sh', address: '10.1.1.1' }), ['/type not-allowed']);
  t.deepEqual(codes({ type: 'arping', address: '198.51.100.1' }), ['/leg missing-field']);
  t.deepEqual(codes({ type: 'arping', address: '2001:db8::1' }), ['/address not-allowed']);
  t.deepEqual(codes(null), [' wrong-type']);
});

test.serial('the support bundle can be unpacked, has what is needed and no secrets', async (t) => {
  const bundle = await supportBundle(system, {
    document: whole,
    json: { status: { generation: 1 } },
    health: monitor.results,
  });
  const list = spawnSync('/usr/bin/tar', ['-tzf', '-'], { input: bundle, encoding: 'utf8' });
  t.is(list.status, 0, list.stderr);
  for (const name of [
    'document.json',
    'ruleset.nft',
    'routes.txt',
    'dnsmasq/dnsmasq.conf',
    'haproxy/haproxy.cfg',
    'dnsmasq/log',
    'conntrack-count.txt',
  ]) {
    t.true(list.stdout.split('\n').includes(`router/${name}`), name);
  }
  const text = spawnSync('/usr/bin/tar', ['-xzOf', '-'], { input: bundle, encoding: 'latin1' }).stdout;
  t.regex(text, /203\.0\.113\.10/);
  t.regex(text, /ins-web/);
  t.notRegex(text, /Secret|dG9rZW4/);
});
