/**
 * From the API call to the first packet answered: for the first guest of a new network, its router included, and for a
 * guest that joins a live one. Held against the bare commands that make the same by hand, run one after another.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LAB_RANGE } from '../cli/lab/up.ts';
import { startTestStack, type TestStack } from '../test/system/stack.ts';
import { against, type Bench, percentile, type Row } from './bench.ts';

const IP = '/usr/sbin/ip';
const LIMIT = 30_000;

const ping = (namespace: string, address: string): Promise<boolean> =>
  new Promise((resolve) => {
    spawn(IP, ['netns', 'exec', namespace, 'ping', '-n', '-c', '1', '-W', '1', address], {
      stdio: 'ignore',
    }).once('exit', (code) => resolve(code === 0));
  });

/** ms until a guest's ping of the internet is answered; throws when it never is. */
const firstPacket = async (stack: TestStack, instance: string, started: number): Promise<number> => {
  const namespace = `${stack.prefix}-${instance}`;
  while (performance.now() - started < LIMIT) {
    if (existsSync(`/run/netns/${namespace}`) && (await ping(namespace, LAB_RANGE.gateway)))
      return performance.now() - started;
    await new Promise((done) => setTimeout(done, 5));
  }
  throw new Error(`${instance} got no answer within ${LIMIT} ms`);
};

const guest = async (stack: TestStack, name: string, network: string): Promise<number> => {
  const started = performance.now();
  const { id } = await stack.client().post('/v1/instances', { name, network });
  return firstPacket(stack, id, started);
};

const UDHCPC_SCRIPT = `#!/bin/sh
[ "$1" = bound ] || exit 0
/usr/sbin/ip address add "$ip/24" dev "$interface" && /usr/sbin/ip route add default via "$router"
`;

const run = (args: readonly string[]): void => {
  const [program = '', ...rest] = args;
  const { status, stderr } = spawnSync(program, rest, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
};

/** The same by hand: ms for a first guest with its router, ms for one more guest. Needs the bench's own namespaces only. */
const byHand = async (): Promise<{ first: number; added: number }> => {
  const id = `svb${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), 'selvage-ready-'));
  const [fabric, router, one, two, internet] = [
    `${id}-f`,
    `${id}-r`,
    `${id}-1`,
    `${id}-2`,
    `${id}-i`,
  ] as const;
  const daemons: ReturnType<typeof spawn>[] = [];
  const inside = (namespace: string, ...args: string[]): void =>
    run([IP, 'netns', 'exec', namespace, ...args]);
  const plug = (bridge: string, port: string, namespace: string, device: string, mac: string): void => {
    run([
      IP,
      '-n',
      fabric,
      'link',
      'add',
      port,
      'type',
      'veth',
      'peer',
      'name',
      device,
      'address',
      mac,
      'netns',
      namespace,
    ]);
    run([IP, '-n', fabric, 'link', 'set', port, 'master', bridge, 'up']);
    run([IP, '-n', namespace, 'link', 'set', device, 'up']);
  };
  // dnsmasq gives up root before it reads the file.
  chmodSync(directory, 0o755);
  const hostsFile = join(directory, 'hosts');
  const script = join(directory, 'udhcpc.sh');
  writeFileSync(script, UDHCPC_SCRIPT, { mode: 0o755 });
  writeFileSync(hostsFile, '02:00:00:00:00:11,10.9.9.11\n02:00:00:00:00:12,10.9.9.12\n', { mode: 0o644 });
  const boot = async (namespace: string, port: string, mac: string): Promise<void> => {
    run([IP, 'netns', 'add', namespace]);
    run([IP, '-n', namespace, 'link', 'set', 'lo', 'up']);
    plug('brg', port, namespace, 'eth0', mac);
    inside(
      namespace,
      'busybox',
      'udhcpc',
      '-i',
      'eth0',
      '-f',
      '-n',
      '-q',
      '-t',
      '50',
      '-T',
      '1',
      '-s',
      script,
    );
    while (!(await ping(namespace, '198.51.100.1'))) await new Promise((done) => setTimeout(done, 5));
  };
  try {
    for (const namespace of [fabric, internet]) run([IP, 'netns', 'add', namespace]);
    run([IP, '-n', fabric, 'link', 'add', 'brp', 'up', 'type', 'bridge']);
    plug('brp', 'pi', internet, 'eth0', '02:00:00:00:00:01');
    run([IP, '-n', internet, 'address', 'add', '198.51.100.1/24', 'dev', 'eth0']);

    let started = performance.now();
    run([IP, '-n', fabric, 'link', 'add', 'brg', 'up', 'type', 'bridge']);
    run([IP, 'netns', 'add', router]);
    run([IP, '-n', router, 'link', 'set', 'lo', 'up']);
    plug('brg', 'pg', router, 'guest0', '02:00:00:00:00:02');
    plug('brp', 'pp', router, 'public0', '02:00:00:00:00:03');
    run([IP, '-n', router, 'address', 'add', '10.9.9.1/24', 'dev', 'guest0']);
    run([IP, '-n', router, 'address', 'add', '198.51.100.10/24', 'dev', 'public0']);
    run([IP, '-n', router, 'route', 'add', 'default', 'via', '198.51.100.1']);
    inside(router, '/usr/sbin/sysctl', '-qw', 'net.ipv4.ip_forward=1');
    writeFileSync(
      join(directory, 'r.nft'),
      'table inet r {\n chain post {\n  type nat hook postrouting priority srcnat;\n  ip saddr 10.9.9.0/24 oifname "public0" snat ip to 198.51.100.10\n }\n}\n',
    );
    inside(router, '/usr/sbin/nft', '-f', join(directory, 'r.nft'));
    daemons.push(
      spawn(
        IP,
        [
          'netns',
          'exec',
          router,
          '/usr/sbin/dnsmasq',
          '-k',
          '--conf-file=/dev/null',
          '--port=0',
          '--pid-file=',
          '--bind-interfaces',
          '--interface=guest0',
          '--dhcp-range=10.9.9.0,static',
          `--dhcp-hostsfile=${hostsFile}`,
          '--dhcp-leasefile=/dev/null',
          '--leasefile-ro',
        ],
        { stdio: 'ignore' },
      ),
    );
    await boot(one, 'p1', '02:00:00:00:00:11');
    const first = performance.now() - started;

    started = performance.now();
    await boot(two, 'p2', '02:00:00:00:00:12');
    return { first, added: performance.now() - started };
  } finally {
    for (const daemon of daemons) {
      for (const pid of spawnSync(IP, ['netns', 'pids', router], { encoding: 'utf8' })
        .stdout.split('\n')
        .filter((line) => line !== '')) {
        try {
          process.kill(Number(pid), 'SIGKILL');
        } catch {
          // Gone by itself.
        }
      }
      daemon.kill('SIGKILL');
    }
    for (const namespace of [fabric, router, one, two, internet]) spawnSync(IP, ['netns', 'del', namespace]);
    rmSync(directory, { recursive: true, force: true });
  }
};

export const bench: Bench = {
  name: 'ready',
  description: 'API call to first packet: first guest on a new network, and a guest added to a live one',
  run: async ({ runs, tell }) => {
    const count = runs ?? 30;
    const stack = await startTestStack(`svr${process.pid}`);
    const first: number[] = [];
    const added: number[] = [];
    const bareFirst: number[] = [];
    const bareAdded: number[] = [];
    try {
      for (let round = 0; round < count; round += 1) {
        const network = await stack.create('/v1/networks', {
          name: `n-${round}`,
          offering: 'isolated-egress-allow',
        });
        first.push(await guest(stack, `a-${round}`, network.id));
        added.push(await guest(stack, `b-${round}`, network.id));
        const bare = await byHand();
        bareFirst.push(bare.first);
        bareAdded.push(bare.added);
        for (const instance of await stack.client().list('/v1/instances'))
          await stack.remove(`/v1/instances/${instance.id}`);
        await stack.remove(`/v1/networks/${network.id}`);
        tell(
          `${round + 1} of ${count}: first ${first.at(-1)?.toFixed(0)} ms (by hand ${bare.first.toFixed(0)}), added ${added.at(-1)?.toFixed(0)} ms (by hand ${bare.added.toFixed(0)})`,
        );
      }
      let control = 0;
      try {
        const closed = await stack.create('/v1/networks', { name: 'closed', offering: 'isolated' });
        const { id } = await stack.create('/v1/instances', { name: 'c', network: closed.id });
        control = (await ping(`${stack.prefix}-${id}`, LAB_RANGE.gateway)) ? 1 : 0;
      } finally {
        tell('control: a network whose egress is closed');
      }
      const row = (name: string, ours: readonly number[], bare: readonly number[], limit: number): Row[] => {
        const p50 = percentile(ours, 0.5);
        return [
          against(`${name} p50`, p50, 'ms', percentile(bare, 0.5), 'bare commands', {
            text: `<= ${limit} ms`,
            met: p50 <= limit,
          }),
          against(`${name} p99`, percentile(ours, 0.99), 'ms', percentile(bare, 0.99), 'bare commands'),
        ];
      };
      return [
        ...row('first guest, router included', first, bareFirst, 1500),
        ...row('guest added', added, bareAdded, 250),
        {
          name: 'control: answers where egress is closed',
          value: control,
          unit: 'answers',
          reach: '0',
          met: control === 0,
        },
      ];
    } finally {
      await stack.destroy();
    }
  },
};
