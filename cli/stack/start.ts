/** Starts controller and host agent on this machine, with a zone and this host registered, and keeps them running. */
import { randomUUID } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Client, type Resource } from '../client.ts';
import { CliError, findConnection, readStackFile } from '../connection.ts';
import { bundleRouter } from '../../scripts/bundle.ts';
import { ensureBundle } from './ensure-bundle.ts';
import { keepRunning } from './program.ts';

export interface StackOptions {
  readonly state: string;
  readonly port: number;
  readonly prefix: string;
  /** Seconds a network without guests keeps its router. */
  readonly networkGc: number;
  readonly tell: (message: string) => void;
  /** False: the bundle of this project is not uploaded, and the default stays what it is. */
  readonly uploadBundle?: boolean;
  /** Stay until SIGINT or SIGTERM; otherwise return the running stack. */
  readonly untilSignal: boolean;
}

export interface Stack {
  readonly url: string;
  readonly client: Client;
  readonly zone: string;
  readonly host: string;
  /** Pids of the programs, for those who want to do them harm. */
  readonly pids: () => { readonly controller: number | undefined; readonly agent: number | undefined };
  /** Ends controller and agent; routers and guests stay. */
  readonly stop: () => Promise<void>;
}

const ROOT = resolve(import.meta.dirname, '../..');
/** Longest state directory: sun_path has 107 bytes (unix(7)), the longest socket below it needs 62. */
const LONGEST_STATE = 45;

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

const writeFileAtomic = (path: string, text: string): void => {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
};

const until = async <T>(
  what: string,
  limit: number,
  hint: string,
  probe: () => Promise<T | null>,
): Promise<T> => {
  const deadline = performance.now() + limit;
  for (;;) {
    const found = await probe();
    if (found !== null) return found;
    if (performance.now() > deadline)
      throw new CliError('timeout', `${what} did not happen within ${limit / 1000} s`, hint);
    await new Promise((done) => setTimeout(done, 50));
  }
};

const checkOptions = ({ state, port, prefix }: StackOptions): void => {
  if (process.getuid?.() !== 0)
    throw new CliError('not-root', 'Network namespaces are made as root', 'Run this with sudo.');
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new CliError('bad-option', `${port} is not a port`, 'Give a number from 1 to 65535.');
  if (!/^[a-z][a-z0-9]{0,15}$/.test(prefix))
    throw new CliError(
      'bad-option',
      `${JSON.stringify(prefix)} cannot be a prefix`,
      'Use up to 16 lower-case letters and digits, a letter first.',
    );
  if (Buffer.byteLength(resolve(state)) > LONGEST_STATE) {
    throw new CliError(
      'state-too-long',
      `The state directory ${resolve(state)} is too long for the sockets below it`,
      `Choose a path of at most ${LONGEST_STATE} bytes.`,
    );
  }
  const running = readStackFile(state);
  if (running !== null && alive(running.pid))
    throw new CliError(
      'already-running',
      `A stack already runs here (pid ${running.pid}, ${running.url})`,
      'Use it, end it with Ctrl-C, or choose another --state and --port.',
    );
};

/** The zone of this machine: the only one there is, or a first one. */
const ensureZone = async (client: Client): Promise<Resource> => {
  const zones = await client.list('/v1/zones');
  return zones[0] ?? (await client.post('/v1/zones', { name: 'zone-1' }));
};

/** What this machine asks to be registered as, decided once: a start that died before it had the answer asks for the same. */
interface Joining {
  readonly key: string;
  readonly name: string;
}

const joiningOf = async (client: Client, file: string): Promise<Joining> => {
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Joining;
  const base =
    hostname()
      .toLowerCase()
      .replaceAll(/[^a-z0-9-]/g, '-')
      .replaceAll(/^-+|-+$/g, '')
      .slice(0, 40) || 'host';
  const taken = (await client.list('/v1/hosts')).some((host) => host['name'] === base);
  const joining = { key: randomUUID(), name: taken ? `${base}-${Date.now() % 100_000}` : base };
  writeFileAtomic(file, JSON.stringify(joining));
  return joining;
};

/**
 * Registers this machine as a host once; its token stays in host/host.json. The request carries an Idempotency-Key that is
 * on disk before it is sent: one that was answered to a process that died is answered alike again, token and all.
 */
const ensureHost = async (client: Client, url: string, zone: string, hostFile: string): Promise<string> => {
  if (existsSync(hostFile)) {
    const { id, token } = JSON.parse(readFileSync(hostFile, 'utf8')) as { id: string; token: string };
    writeFileAtomic(hostFile, JSON.stringify({ id, token, controller: url }));
    return id;
  }
  const { key, name } = await joiningOf(client, join(dirname(hostFile), 'joining.json'));
  const host = await client.post<Resource & { token: string }>(
    '/v1/hosts',
    { zone, name },
    { headers: { 'idempotency-key': key } },
  );
  writeFileAtomic(hostFile, JSON.stringify({ id: host.id, token: host.token, controller: url }));
  return host.id;
};

/** Throws CliError when the stack cannot start; what it had started by then is ended again. */
export const startStack = async (options: StackOptions): Promise<Stack> => {
  checkOptions(options);
  const state = resolve(options.state);
  const { tell } = options;
  // 0711: dnsmasq and haproxy drop their privileges and still have to reach their own folders below.
  mkdirSync(join(state, 'host'), { recursive: true, mode: 0o711 });
  chmodSync(state, 0o711);
  const log = (name: string): string => join(state, 'log', `${name}.log`);
  const bundle = await bundleRouter();
  const keys = ['--trusted-keys', join(dirname(bundle), 'signing.pub')];
  const url = `http://127.0.0.1:${options.port}`;

  const controller = keepRunning(
    'controller',
    join(ROOT, 'controller/main.ts'),
    ['--state', state, '--port', String(options.port), '--network-gc', String(options.networkGc)].concat(
      keys,
    ),
    log('controller'),
    tell,
  );
  const programs = [controller];
  const stop = async (): Promise<void> => {
    for (const program of programs.toReversed()) await program.stop();
    rmSync(join(state, 'stack.json'), { force: true });
  };
  try {
    await until('The start of the controller', 20_000, `Its log says why: ${log('controller')}`, async () => {
      try {
        return (await fetch(`${url}/healthz`)).ok && existsSync(join(state, 'admin.key')) ? true : null;
      } catch {
        return null;
      }
    });
    const client = new Client(findConnection({ url, state }, {}));
    if (options.uploadBundle !== false) await ensureBundle(client, bundle, tell);
    const zone = await ensureZone(client);
    const hostFile = join(state, 'host/host.json');
    const host = await ensureHost(client, url, zone.id, hostFile);
    const agent = keepRunning(
      'agent',
      join(ROOT, 'host/main.ts'),
      ['--controller', url, '--state', state, '--prefix', options.prefix, '--host-file', hostFile].concat(
        ['--bundle', bundle],
        keys,
      ),
      log('agent'),
      tell,
    );
    programs.push(agent);
    await until('The first word of the host agent', 20_000, `Its log says why: ${log('agent')}`, async () =>
      (await client.get(`/v1/hosts/${host}`))['state'] === 'up' ? true : null,
    );
    writeFileAtomic(
      join(state, 'stack.json'),
      JSON.stringify({ url, pid: process.pid, prefix: options.prefix }),
    );

    tell(`Selvage runs.
  API         ${url}/v1   (description: ${url}/docs)
  API key     ${join(state, 'admin.key')}   (or set SELVAGE_URL and SELVAGE_API_KEY)
  state       ${state}
  logs        ${log('controller')}, ${log('agent')}

In another terminal:
  npx selvage${options.state === '/var/lib/selvage' ? '' : ` --state ${options.state}`} lab up
  npx selvage${options.state === '/var/lib/selvage' ? '' : ` --state ${options.state}`} --help`);

    if (options.untilSignal) {
      tell('\nCtrl-C ends controller and agent; routers go on forwarding, and the next start adopts them.');
      await new Promise<void>((done) => {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done());
      });
      tell('stopping; routers and guests stay');
      await stop();
    }
    return {
      url,
      client,
      zone: zone.id,
      host,
      pids: () => ({ controller: controller.pid(), agent: agent.pid() }),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
};
