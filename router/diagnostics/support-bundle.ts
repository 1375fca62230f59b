import { promisify } from 'node:util';
import type { HealthCheck, RouterDocument } from 'documents';
import type { System } from '../system.ts';
import { tar, type TarFile } from './tar.ts';
import { withoutSecrets } from './without-secrets.ts';

/** What the daemon knows and the bundle should show. */
export interface BundleContents {
  readonly document: RouterDocument | null;
  /** RouterStatus, events or whatever else goes in as JSON, by file name. */
  readonly json?: Readonly<Record<string, unknown>>;
  readonly health?: readonly HealthCheck[];
}

const LINES_OF_A_LOG = 2_000;
const LARGEST_FILE = 16 * 1024 * 1024;

/** What the tools say, by file name. None of it prints a secret. */
const COMMANDS: readonly (readonly [file: string, program: string, ...args: string[]])[] = [
  ['ruleset.nft', '/usr/sbin/nft', 'list', 'ruleset'],
  ['links.txt', '/usr/sbin/ip', '-d', '-s', 'link'],
  ['addresses.txt', '/usr/sbin/ip', 'address'],
  ['routes.txt', '/usr/sbin/ip', 'route', 'show', 'table', 'all'],
  ['rules.txt', '/usr/sbin/ip', 'rule'],
  ['neighbours.txt', '/usr/sbin/ip', 'neighbour'],
  ['conntrack-count.txt', '/usr/sbin/conntrack', '-C'],
  ['conntrack-statistics.txt', '/usr/sbin/conntrack', '-S'],
  ['sockets.txt', '/usr/bin/ss', '-lntup'],
];

/** Files of the services, by their path below the router's directory. */
const FILES: readonly string[] = [
  'daemon.json',
  'dnsmasq/dnsmasq.conf',
  'dnsmasq/hosts/names',
  'dnsmasq/leases',
  'dnsmasq/process.json',
  'haproxy/haproxy.cfg',
  'haproxy/process.json',
];

const LOGS: readonly string[] = ['daemon.log', 'dnsmasq/log', 'haproxy/log'];

const file = (name: string, text: string): TarFile => ({
  name: `router/${name}`,
  content: Buffer.from(text).subarray(0, LARGEST_FILE),
});

/**
 * Everything somebody needs who is to find out from afar what is wrong with a router: a gzipped tar archive. Contains no
 * passwords and no user data.
 */
export const supportBundle = async (
  system: System,
  { document, json = {}, health = [] }: BundleContents,
): Promise<Buffer> => {
  const outputs = COMMANDS.map(async ([name, program, ...args]) => {
    const { exitCode, stdout, stderr } = await system.exec.run(program, args, { timeout: 20_000 });
    return file(name, exitCode === 0 ? stdout : `${stdout}${stderr}(exit code ${exitCode})\n`);
  });
  const files = FILES.map(async (name) => {
    const text = await system.files.read(`${system.directory}/${name}`);
    return text === null ? [] : [file(name, text)];
  });
  const logs = LOGS.map(async (name) => {
    const text = await system.files.read(`${system.directory}/${name}`);
    return text === null ? [] : [file(name, text.split('\n').slice(-LINES_OF_A_LOG).join('\n'))];
  });
  const values = Object.entries({
    ...json,
    ...(document === null ? {} : { document: withoutSecrets(document) }),
    health,
  }).map(([name, value]) => file(`${name}.json`, `${JSON.stringify(value, null, 2)}\n`));
  const archive = tar(
    [...values, ...(await Promise.all(outputs)), ...(await Promise.all([...files, ...logs])).flat()],
    system.clock.now(),
  );
  // Loaded here: no router needs it until somebody asks.
  return promisify(process.getBuiltinModule('node:zlib').gzip)(archive);
};
