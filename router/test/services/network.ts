/** A router's surroundings made of real namespaces: a switch, guests behind it, a machine on the public side. */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';

const IP = '/usr/sbin/ip';
const CLONE_NEWNET = 0x40000000;

const ip = (...args: string[]): void => {
  execFileSync(IP, args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Moves this process into a namespace for good: from here on all its sockets and children are there. */
const enter = (namespace: string): void => {
  const setns = koffi.load('libc.so.6').func('int setns(int fd, int type)');
  const fd = openSync(`/run/netns/${namespace}`, 'r');
  try {
    if (setns(fd, CLONE_NEWNET) !== 0) throw new Error(`Cannot enter the namespace ${namespace}`);
  } finally {
    closeSync(fd);
  }
};

/** A machine in a namespace of its own. */
export class Machine {
  readonly namespace: string;
  readonly device: string;
  readonly mac: string;

  constructor(namespace: string, device: string, mac: string) {
    this.namespace = namespace;
    this.device = device;
    this.mac = mac;
  }

  /** Runs a program in it; at most `timeout` ms. */
  run(program: string, args: readonly string[], timeout = 15_000): Promise<Outcome> {
    return new Promise((resolve) => {
      execFile(
        IP,
        ['netns', 'exec', this.namespace, program, ...args],
        { timeout, encoding: 'buffer', maxBuffer: 16 * 1024 * 1024 },
        (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
          resolve({ exitCode: code, stdout: stdout.toString('latin1'), stderr: stderr.toString('latin1') });
        },
      );
    });
  }

  start(program: string, args: readonly string[]): ChildProcess {
    return spawn(IP, ['netns', 'exec', this.namespace, program, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  }

  /** Gives its device an address without asking anybody. */
  configure(address: string, gateway?: string): void {
    ip('-n', this.namespace, 'addr', 'replace', address, 'dev', this.device);
    if (gateway !== undefined) ip('-n', this.namespace, 'route', 'replace', 'default', 'via', gateway);
  }
}

export class TestNetwork {
  readonly #names: string[] = [];
  readonly #prefix: string;
  readonly #router: string;
  #switches = 0;

  /** Makes the router's namespace; this process moves into it. `tag` keeps networks of one process apart. */
  constructor(tag = '') {
    this.#prefix = `svt${process.pid}${tag}`;
    this.#router = this.#namespace('r');
    enter(this.#router);
  }

  get router(): Machine {
    return new Machine(this.#router, 'lo', '');
  }

  #namespace(suffix: string): string {
    const name = `${this.#prefix}${suffix}`;
    ip('netns', 'add', name);
    this.#names.push(name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
    return name;
  }

  /** A switch with the router's `device` on it, which has `addresses`. */
  addSwitch(device: string, addresses: readonly string[]): string {
    const name = this.#namespace(`s${this.#switches}`);
    this.#switches += 1;
    ip('-n', name, 'link', 'add', 'br0', 'type', 'bridge');
    ip('-n', name, 'link', 'set', 'br0', 'up');
    ip(
      '-n',
      name,
      'link',
      'add',
      `p-${device}`,
      'type',
      'veth',
      'peer',
      'name',
      device,
      'netns',
      this.#router,
    );
    ip('-n', name, 'link', 'set', `p-${device}`, 'master', 'br0', 'up');
    ip('-n', this.#router, 'link', 'set', device, 'up');
    for (const address of addresses) ip('-n', this.#router, 'addr', 'add', address, 'dev', device);
    return name;
  }

  /** A machine on a switch. */
  addMachine(network: string, name: string, mac: string): Machine {
    const namespace = this.#namespace(name);
    ip('-n', network, 'link', 'add', `p-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    ip('-n', network, 'link', 'set', `p-${name}`, 'master', 'br0', 'up');
    ip('-n', namespace, 'link', 'set', 'eth0', 'address', mac, 'up');
    return new Machine(namespace, 'eth0', mac);
  }

  /** Removes every namespace; what runs in them must have ended. */
  remove(): void {
    for (const name of this.#names.splice(0)) {
      try {
        ip('netns', 'delete', name);
      } catch {
        // One that cannot be removed must not keep the others.
      }
    }
  }
}
