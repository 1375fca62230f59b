/** A guest network, a router and an outside, made of namespaces: for tests on real packets. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { RouterDocument, RouterEvent, RouterStatus } from 'documents';
import { Peer } from './peer.ts';

const fromSources = fileURLToPath(new URL('../../main.ts', import.meta.url));
/** Where a bundle that lies anywhere finds what stays outside of it. */
const modules = fileURLToPath(new URL('../../../node_modules', import.meta.url));
const NFT = '/usr/sbin/nft';

export interface Answer<Body = unknown> {
  readonly status: number;
  readonly body: Body;
}

const ip = (...args: string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
};

let labs = 0;

/** One router in a namespace of its own, with two guests behind it and an upstream machine before it. */
export class Lab {
  readonly directory = mkdtempSync(join(tmpdir(), 'svt-'));
  readonly router: string;
  readonly outside: Peer;
  readonly web: Peer;
  readonly other: Peer;
  readonly #names: Record<'fabric' | 'router' | 'outside' | 'web' | 'other', string>;
  readonly #added: Peer[] = [];
  #daemon: ChildProcess | null = null;
  readonly #program: string;

  /** `program`: what the daemon runs from, its sources or a bundle. */
  constructor(program = fromSources) {
    this.#program = program;
    labs += 1;
    const base = `svt${process.pid}${labs}`;
    const names = {
      fabric: `${base}f`,
      router: `${base}r`,
      outside: `${base}o`,
      web: `${base}w`,
      other: `${base}x`,
    };
    this.#names = names;
    this.router = names.router;
    for (const name of Object.values(names)) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('-n', names.fabric, 'link', 'add', 'br0', 'up', 'type', 'bridge');
    const attach = (device: string, mac: string, netns: string, port: string): void => {
      ip(
        '-n',
        names.fabric,
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
        netns,
      );
      ip('-n', names.fabric, 'link', 'set', port, 'master', 'br0', 'up');
    };
    attach('guest0', '02:00:0a:01:01:01', names.router, 'p-router');
    attach('eth0', '02:00:0a:01:01:0a', names.web, 'p-web');
    attach('eth0', '02:00:0a:01:01:0b', names.other, 'p-other');
    for (const [netns, address] of [
      [names.web, '10.1.1.10/24'],
      [names.other, '10.1.1.11/24'],
    ] as const) {
      ip('-n', netns, 'address', 'add', address, 'dev', 'eth0');
      ip('-n', netns, 'link', 'set', 'eth0', 'up');
      ip('-n', netns, 'route', 'add', 'default', 'via', '10.1.1.1');
    }
    ip(
      '-n',
      names.outside,
      'link',
      'add',
      'eth0',
      'type',
      'veth',
      'peer',
      'name',
      'public0',
      'address',
      '02:00:c6:33:64:0a',
      'netns',
      names.router,
    );
    for (const address of ['198.51.100.1/24', '198.51.100.2/24', '198.51.100.200/24']) {
      ip('-n', names.outside, 'address', 'add', address, 'dev', 'eth0');
    }
    ip('-n', names.outside, 'link', 'set', 'eth0', 'up');
    this.outside = new Peer(names.outside);
    this.web = new Peer(names.web);
    this.other = new Peer(names.other);
  }

  /** Starts the router daemon and waits until it listens. */
  async start(): Promise<void> {
    const child = this.run('--state', this.directory);
    this.#daemon = child;
    for (let attempt = 0; attempt < 500; attempt += 1) {
      if (child.exitCode !== null) throw new Error(`the router daemon ended with ${child.exitCode}`);
      if ((await this.call('GET', '/v1/status').catch(() => null)) !== null) return;
      await sleep(10);
    }
    throw new Error('the router daemon does not listen');
  }

  /** Runs the program in the router's namespace. */
  run(...args: string[]): ChildProcess {
    return this.runProgram(this.#program, ...args);
  }

  /** Runs another program of a daemon there, such as a newer bundle. */
  runProgram(program: string, ...args: string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.router, process.execPath, program, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_PATH: modules },
    });
    // Who wants what it prints listens at once; nobody else is to make it wait.
    child.stdout.resume();
    return child;
  }

  /** Ends the daemon at once, as the kernel would. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon === null || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    // `ip netns exec` becomes the program it runs: the pid is the daemon's own.
    daemon.kill(signal);
    await ended;
  }

  /** A call of the control API. */
  call<Body = unknown>(method: string, path: string, body?: unknown): Promise<Answer<Body>> {
    return new Promise((resolve, reject) => {
      // A connection of its own: one that is kept may be of a daemon that has gone.
      const target = { socketPath: join(this.directory, 'control.sock'), method, path, agent: false };
      const call = request(target, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Body });
        });
      });
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** Puts a document in force; throws when it is not. */
  async put(document: RouterDocument): Promise<RouterStatus> {
    const { status, body } = await this.call<RouterStatus>('PUT', '/v1/document', document);
    if (status !== 200) throw new Error(`the document was not taken: ${JSON.stringify(body)}`);
    return body;
  }

  async events(): Promise<readonly RouterEvent[]> {
    return (await this.call<{ readonly items: readonly RouterEvent[] }>('GET', '/v1/events?wait=0')).body
      .items;
  }

  /** Pids of the nftables helpers that the daemon has started. */
  helpers(): readonly number[] {
    const pid = this.#daemon?.pid;
    if (pid === undefined) return [];
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
    return children.map(Number).filter((child) => {
      try {
        return readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('helper');
      } catch {
        // It ended after it was listed.
        return false;
      }
    });
  }

  /** Another machine behind another leg of the router: made now, removed with the lab. */
  addGuest(name: string, device: string, mac: string, address: string, gateway: string): Peer {
    const netns = `${this.router.slice(0, -1)}${name}`;
    ip('netns', 'add', netns);
    ip('-n', netns, 'link', 'set', 'lo', 'up');
    ip(
      '-n',
      netns,
      'link',
      'add',
      'eth0',
      'type',
      'veth',
      'peer',
      'name',
      device,
      'address',
      mac,
      'netns',
      this.router,
    );
    ip('-n', netns, 'address', 'add', address, 'dev', 'eth0');
    ip('-n', netns, 'link', 'set', 'eth0', 'up');
    ip('-n', netns, 'route', 'add', 'default', 'via', gateway);
    const peer = new Peer(netns);
    this.#added.push(peer);
    return peer;
  }

  /** Runs nft in the router's namespace. */
  nft(...args: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.router, NFT, ...args], { encoding: 'utf8' });
  }

  /** Runs ip in the router's namespace. */
  ip(...args: string[]): string {
    return execFileSync('ip', ['-n', this.router, ...args], { encoding: 'utf8' });
  }

  /** Removes everything the lab made. */
  async close(): Promise<void> {
    await this.kill('SIGTERM');
    this.#endProcesses();
    for (const peer of [this.outside, this.web, this.other, ...this.#added]) peer.close();
    for (const { netns } of this.#added) spawnSync('ip', ['netns', 'del', netns]);
    for (const name of Object.values(this.#names)) spawnSync('ip', ['netns', 'del', name]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Services outlive their daemon; with what still runs in it a namespace would live on without a name. */
  #endProcesses(): void {
    const { stdout } = spawnSync('ip', ['netns', 'pids', this.router], { encoding: 'utf8' });
    for (const pid of stdout.split('\n').filter(Boolean).map(Number)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended after it was listed.
      }
    }
  }
}
