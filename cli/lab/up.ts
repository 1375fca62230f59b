/**
 * The lab: a public segment of this host with one upstream machine on it, the "internet". It is not part of the intent:
 * nothing of it is known to the controller but the public range and the resolver.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Client, Resource } from '../client.ts';
import { CliError } from '../connection.ts';

/** Name of the upstream machine, and of its namespace behind the prefix. */
export const INTERNET = 'internet';
/** Documentation prefixes (RFC 5737): no real host has them. */
export const LAB_RANGE = {
  prefix: '198.51.100.0/24',
  gateway: '198.51.100.1',
  first: '198.51.100.10',
  last: '198.51.100.250',
};
/** Host end of the lab's link. Devices with this beginning are the operator's (docs/contracts.md). */
export const UPLINK = 'uplink-lab';
/** The same every time: routers need not notice that the lab was away. */
const LAB_MAC = '02:00:c6:33:64:01';
/** Where example.com is, in the lab. */
export const LAB_SERVER = '192.0.2.1';

export interface LabOptions {
  readonly client: Client;
  readonly state: string;
  readonly prefix: string;
  readonly tell: (message: string) => void;
}

const IP = '/usr/sbin/ip';

const run = (program: string, ...args: string[]): void => {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0)
    throw new CliError(
      'lab-failed',
      `${[program, ...args].join(' ')}: ${stderr.trim()}`,
      'Take the lab down and up again: selvage lab down; selvage lab up.',
    );
};

const startIn = (
  namespace: string,
  directory: string,
  name: string,
  program: string,
  args: readonly string[],
): void => {
  const log = openSync(join(directory, `${name}.log`), 'a', 0o600);
  const child = spawn(IP, ['netns', 'exec', namespace, program, ...args], {
    stdio: ['ignore', log, log],
    detached: true,
  });
  child.unref();
};

/** The zone's public range: what is there already, or the lab's own. */
const ensureRange = async (client: Client, zone: Resource): Promise<void> => {
  const ranges = await client.list('/v1/public-ip-ranges');
  if (ranges.length === 0) await client.post('/v1/public-ip-ranges', { zone: zone.id, ...LAB_RANGE });
  else if (!ranges.some((range) => range['prefix'] === LAB_RANGE.prefix)) {
    throw new CliError(
      'range-exists',
      `The zone has public addresses of its own (${ranges.map((range) => range['prefix']).join(', ')})`,
      'The lab plays the internet for a zone without any; use a stack of its own: selvage --state DIR stack start.',
    );
  }
};

/** Brings the lab up; what is up already stays as it is. Throws CliError. */
export const labUp = async ({ client, state, prefix, tell }: LabOptions): Promise<void> => {
  const [zone] = await client.list('/v1/zones');
  if (zone === undefined)
    throw new CliError(
      'no-zone',
      'There is no zone',
      'Start the stack on this machine first: selvage stack start.',
    );
  await ensureRange(client, zone);
  const dns = zone['dns'];
  if (Array.isArray(dns) && dns.length === 0)
    await client.patch(`/v1/zones/${zone.id}`, { dns: [LAB_RANGE.gateway] });

  const bridge = `br${zone.id.split('-')[1] ?? ''}`;
  const fabric = `${prefix}-fabric`;
  const namespace = `${prefix}-${INTERNET}`;
  const deadline = performance.now() + 15_000;
  while (spawnSync(IP, ['-n', fabric, 'link', 'show', bridge]).status !== 0) {
    if (performance.now() > deadline)
      throw new CliError(
        'no-segment',
        `The public segment ${bridge} did not appear in ${fabric}`,
        `See ${join(state, 'log/agent.log')}.`,
      );
    await new Promise((done) => setTimeout(done, 20));
  }
  if (existsSync(`/run/netns/${namespace}`)) {
    tell('the lab is up');
    return;
  }
  const directory = resolve(state, 'lab');
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  run(IP, 'netns', 'add', namespace);
  run(
    IP,
    '-n',
    fabric,
    'link',
    'add',
    UPLINK,
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'address',
    LAB_MAC,
    'netns',
    namespace,
  );
  run(IP, '-n', fabric, 'link', 'set', UPLINK, 'master', bridge, 'up');
  run(IP, '-n', namespace, 'address', 'add', `${LAB_RANGE.gateway}/24`, 'dev', 'eth0');
  run(IP, '-n', namespace, 'address', 'add', `${LAB_SERVER}/32`, 'dev', 'lo');
  run(IP, '-n', namespace, 'link', 'set', 'lo', 'up');
  run(IP, '-n', namespace, 'link', 'set', 'eth0', 'up');
  mkdirSync(`/etc/netns/${namespace}`, { recursive: true });
  writeFileSync(`/etc/netns/${namespace}/resolv.conf`, 'nameserver 127.0.0.1\n');
  startIn(namespace, directory, 'internet', process.execPath, [join(import.meta.dirname, 'internet.ts')]);
  startIn(namespace, directory, 'dns', '/usr/sbin/dnsmasq', [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--no-resolv',
    '--no-hosts',
    '--pid-file=',
    '--bind-interfaces',
    '--local=/example.com/',
    `--address=/example.com/${LAB_SERVER}`,
    '--log-facility=-',
  ]);
  tell(
    `the lab is up: the internet is ${LAB_RANGE.gateway} (web on 80, echo on 7, names on 53), example.com is ${LAB_SERVER}`,
  );
};
