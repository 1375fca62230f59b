/** Sees the death of a router machine, by what the kernel tells at the moment it happens. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Link,
  type MonitorEvent,
  namespaces,
  processStartTime,
  type ProcessWatch,
  watchProcess,
} from 'node-netlink';
import { argumentsOf, processesIn } from '../machines/namespace/processes.ts';
import { isDaemonOf } from '../machines/namespace/router-process.ts';
import { machineNamespace, namespacePath } from '../names.ts';
import type { OnDuty } from './on-duty.ts';

/** The end of a router's service. */
export interface Death {
  readonly reason: string;
  /** When it was first seen, by `performance.now()`. */
  readonly since: number;
  /** Its machine is no more: its namespace is gone, or another has its name. */
  readonly gone: boolean;
}

export interface DeathsOptions {
  readonly prefix: string;
  /** STATE/host/routers */
  readonly routersDirectory: string;
  /** A device of the fabric as it is now; null when there is none. What it throws is no sign of anything. */
  readonly look: (device: string) => Sign | null;
  /** A router that served does so no more. */
  readonly onDeath: (duty: OnDuty, death: Death) => void;
  /** A port of a router was changed by somebody, who may have meant well: time to compare. */
  readonly onDrift: () => void;
}

/** A device of the fabric, as far as it tells of life at its other end. */
export type Sign = Pick<Link, 'name' | 'up' | 'carrier'>;

/**
 * ms in which services have to end after their daemon for that to be the end of all: sooner than a daemon that is started
 * again could end one.
 */
const TOGETHER = 200;

/** The helper of the daemon's nftables library ends with it and says nothing. */
const isHelper = (pid: number): boolean =>
  argumentsOf(pid).some((argument) => /(?:^--nft-helper|\bhelper\.m?[jt]s)$/.test(argument));

const listed = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

/**
 * Which namespace has this name now: its device and inode; null when there is none. An inode is given to another only when
 * its namespace was freed, and its ports with it, which is seen by them.
 */
const identityOf = (namespace: string): string | null => {
  if (!namespaces.exists(namespace)) return null;
  const found = statSync(namespacePath(namespace), { throwIfNoEntry: false });
  return found === undefined ? null : `${found.dev}:${found.ino}`;
};

/**
 * Only what was seen alive can die: a router that is being made has no carrier yet. A dead daemon is no dead router, since
 * the kernel goes on forwarding; a daemon and all its services together are.
 */
export class Deaths {
  readonly #options: DeathsOptions;
  #onDuty = new Map<string, OnDuty>();
  #byDevice = new Map<string, OnDuty>();
  #byNamespace = new Map<string, OnDuty>();
  /** Devices that had carrier, and namespaces that were there. */
  #alive = new Set<string>();
  /** Which namespace it was that was there, by name: another one of that name is another machine. */
  #identities = new Map<string, string>();
  readonly #endings = new Map<string, { readonly close: () => void }>();

  constructor(options: DeathsOptions) {
    this.#options = options;
  }

  /**
   * Follows these routers from now on. `adopted`: what a router with a document on disk has lost since was lost while
   * nobody looked.
   */
  guard(duties: readonly OnDuty[], options: { readonly adopted: boolean }): void {
    const { prefix } = this.#options;
    const alive = new Set<string>();
    const identities = new Map<string, string>();
    this.#onDuty = new Map(duties.map((duty) => [duty.router, duty]));
    this.#byDevice = new Map();
    this.#byNamespace = new Map();
    for (const duty of duties) {
      const namespace = machineNamespace(prefix, duty.router);
      this.#byNamespace.set(namespace, duty);
      const served = options.adopted && existsSync(join(this.#directory(duty), 'document.json'));
      const identity = this.#identities.get(namespace) ?? identityOf(namespace);
      if (identity !== null) identities.set(namespace, identity);
      if (served || this.#alive.has(namespace) || identity !== null) alive.add(namespace);
      for (const { port } of duty.ports) {
        this.#byDevice.set(port.device, duty);
        const link = served || this.#alive.has(port.device) ? null : this.#look(port.device);
        if (link === null ? served || this.#alive.has(port.device) : link?.up === true && link.carrier)
          alive.add(port.device);
      }
    }
    this.#alive = alive;
    this.#identities = identities;
  }

  /** What the monitor of the fabric tells. */
  fabricChanged(event: MonitorEvent): void {
    if (event.type === 'resync') {
      for (const duty of this.#onDuty.values()) this.#examine(duty, performance.now());
      return;
    }
    if (event.type !== 'link') return;
    const duty = this.#byDevice.get(event.link.name);
    if (duty === undefined) return;
    if (event.change === 'set' && event.link.up && event.link.carrier) this.#alive.add(event.link.name);
    else if (this.#alive.has(event.link.name)) this.#examine(duty, performance.now());
  }

  /** A name appeared in or went from the directory of namespaces, or may have. */
  namespaceChanged(namespace: string): void {
    const duty = this.#byNamespace.get(namespace);
    if (duty === undefined) return;
    const since = performance.now();
    if (this.#isGone(namespace)) {
      this.#loseNamespace(duty, since);
      return;
    }
    const identity = identityOf(namespace);
    if (identity === null) return;
    this.#alive.add(namespace);
    this.#identities.set(namespace, identity);
  }

  /** Looks for what no event told: each name, and each port among the devices found in the fabric. */
  examineAll(found: readonly Sign[] | null): void {
    const since = performance.now();
    const byName = found === null ? null : new Map(found.map((link) => [link.name, link]));
    for (const duty of this.#onDuty.values()) {
      if (this.#isGone(machineNamespace(this.#options.prefix, duty.router))) this.#loseNamespace(duty, since);
      else if (byName !== null) this.#examine(duty, since, (device) => byName.get(device) ?? null);
    }
  }

  /** The daemon ended unasked. When everything else in the machine ends with it, that is its death. */
  daemonEnded(router: string): void {
    const since = performance.now();
    const duty = this.#onDuty.get(router);
    if (duty === undefined || duty.candidates.length === 0 || this.#endings.has(router)) return;
    const namespace = machineNamespace(this.#options.prefix, router);
    const reason = 'its programs ended, all of them';
    const remaining = new Map(
      processesIn(namespace)
        .filter((pid) => !isHelper(pid))
        .map((pid) => [pid, processStartTime(pid)] as const),
    );
    if (remaining.size === 0) {
      // One without services lost nothing that a new daemon would not bring back.
      if (this.#hadServices(duty)) this.#die(duty, reason, since);
      return;
    }
    const watches: ProcessWatch[] = [];
    const close = () => {
      clearTimeout(timer);
      for (const watch of watches) watch.close();
      this.#endings.delete(router);
    };
    const dies = () => {
      close();
      const current = this.#onDuty.get(router);
      if (current !== undefined) this.#die(current, reason, since);
    };
    const timer = setTimeout(() => {
      // A process that was held up gets its timers before what it waits for: all may have ended long ago.
      const ended = [...remaining].every(
        ([pid, startTime]) => startTime === null || processStartTime(pid) !== startTime,
      );
      if (ended && !this.#hasServices(duty)) dies();
      else close();
    }, TOGETHER);
    this.#endings.set(router, { close });
    try {
      for (const pid of remaining.keys()) {
        const watch = watchProcess(pid, () => {
          remaining.delete(pid);
          if (remaining.size === 0) dies();
        });
        watches.push(watch);
      }
    } catch {
      // No descriptor is left, say: the timer looks.
    }
  }

  close(): void {
    for (const ending of this.#endings.values()) ending.close();
    this.#onDuty.clear();
    this.#identities.clear();
    this.#byDevice.clear();
    this.#byNamespace.clear();
  }

  #directory(duty: OnDuty): string {
    return join(this.#options.routersDirectory, duty.router);
  }

  /** A service that runs leaves its process in a record, or in a pid file, in a folder of its own. */
  #hadServices(duty: OnDuty): boolean {
    const directory = this.#directory(duty);
    return listed(directory).some((folder) =>
      listed(join(directory, folder)).some((name) => name === 'process.json' || name === 'pid'),
    );
  }

  /** Whether something runs besides a daemon: a new one may have brought all back by now. */
  #hasServices(duty: OnDuty): boolean {
    const directory = this.#directory(duty);
    return processesIn(machineNamespace(this.#options.prefix, duty.router)).some(
      (pid) => !isHelper(pid) && !isDaemonOf(directory, argumentsOf(pid)),
    );
  }

  /** Whether the namespace that had this name has it no more. */
  #isGone(namespace: string): boolean {
    const known = this.#identities.get(namespace);
    const identity = identityOf(namespace);
    return identity === null || (known !== undefined && known !== identity);
  }

  /** undefined when it cannot be known: what cannot be asked has not died. */
  #look(device: string): Sign | null | undefined {
    try {
      return this.#options.look(device);
    } catch {
      return undefined;
    }
  }

  #loseNamespace(duty: OnDuty, since: number): void {
    if (this.#alive.has(machineNamespace(this.#options.prefix, duty.router)))
      this.#die(duty, 'its namespace is gone', since);
  }

  #examine(
    duty: OnDuty,
    since: number,
    look: (device: string) => Sign | null | undefined = (device) => this.#look(device),
  ): void {
    for (const { port } of duty.ports) {
      if (!this.#alive.has(port.device)) continue;
      // An event is of the past: what counts is how it is.
      const link = look(port.device);
      if (link === undefined) continue;
      if (link === null) return this.#die(duty, `its port ${port.device} is gone`, since);
      // Its own end was shut by somebody in the fabric: the router lives, and the port is put right.
      if (!link.up) this.#options.onDrift();
      else if (!link.carrier)
        return this.#die(duty, `the other end of its port ${port.device} is down`, since);
    }
  }

  #die(duty: OnDuty, reason: string, since: number): void {
    const namespace = machineNamespace(this.#options.prefix, duty.router);
    const gone = this.#isGone(namespace);
    // It dies once; made anew it is alive when it is seen to be.
    this.#alive.delete(namespace);
    this.#identities.delete(namespace);
    for (const { port } of duty.ports) this.#alive.delete(port.device);
    this.#options.onDeath(duty, { reason, since, gone });
  }
}
