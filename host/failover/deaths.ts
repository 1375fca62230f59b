/** Sees the death of a router machine, by what the kernel tells at the moment it happens. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Link, type MonitorEvent, namespaces, type ProcessWatch, watchProcess } from 'node-netlink';
import { argumentsOf, processesIn } from '../machines/namespace/processes.ts';
import { machineNamespace } from '../names.ts';
import type { OnDuty } from './on-duty.ts';

export interface DeathsOptions {
  readonly prefix: string;
  /** STATE/host/routers */
  readonly routersDirectory: string;
  /** A device of the fabric as it is now; null when there is none. */
  readonly look: (device: string) => Sign | null;
  /** A router that served does so no more. `since`: when that was first seen, by `performance.now()`. */
  readonly onDeath: (duty: OnDuty, reason: string, since: number) => void;
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
  readonly #endings = new Map<string, { readonly close: () => void }>();

  constructor(options: DeathsOptions) {
    this.#options = options;
  }

  /**
   * Follows these routers from now on. `adopted`: what a router with a document on disk has lost since was lost while
   * nobody looked.
   */
  guard(duties: readonly OnDuty[], options: { readonly adopted: boolean }): void {
    const { prefix, look } = this.#options;
    const alive = new Set<string>();
    this.#onDuty = new Map(duties.map((duty) => [duty.router, duty]));
    this.#byDevice = new Map();
    this.#byNamespace = new Map();
    for (const duty of duties) {
      const namespace = machineNamespace(prefix, duty.router);
      this.#byNamespace.set(namespace, duty);
      const served = options.adopted && existsSync(join(this.#directory(duty), 'document.json'));
      if (served || this.#alive.has(namespace) || namespaces.exists(namespace)) alive.add(namespace);
      for (const { port } of duty.ports) {
        this.#byDevice.set(port.device, duty);
        const link = served || this.#alive.has(port.device) ? null : look(port.device);
        if (link === null ? served || this.#alive.has(port.device) : link.up && link.carrier)
          alive.add(port.device);
      }
    }
    this.#alive = alive;
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

  /** A name appeared in or went from the directory of namespaces. */
  namespaceChanged(namespace: string): void {
    const duty = this.#byNamespace.get(namespace);
    if (duty === undefined) return;
    const since = performance.now();
    if (namespaces.exists(namespace)) this.#alive.add(namespace);
    else this.#loseNamespace(duty, since);
  }

  /** Looks for what no event told: each name, and each port among the devices found in the fabric. */
  examineAll(found: readonly Sign[] | null): void {
    const since = performance.now();
    const byName = found === null ? null : new Map(found.map((link) => [link.name, link]));
    for (const duty of this.#onDuty.values()) {
      if (!namespaces.exists(machineNamespace(this.#options.prefix, duty.router)))
        this.#loseNamespace(duty, since);
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
    const remaining = new Set(processesIn(namespace).filter((pid) => !isHelper(pid)));
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
    const timer = setTimeout(close, TOGETHER);
    this.#endings.set(router, { close });
    for (const pid of remaining) {
      const watch = watchProcess(pid, () => {
        remaining.delete(pid);
        if (remaining.size > 0) return;
        close();
        const current = this.#onDuty.get(router);
        if (current !== undefined) this.#die(current, reason, since);
      });
      watches.push(watch);
    }
  }

  close(): void {
    for (const ending of this.#endings.values()) ending.close();
    this.#onDuty.clear();
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

  #loseNamespace(duty: OnDuty, since: number): void {
    if (this.#alive.has(machineNamespace(this.#options.prefix, duty.router)))
      this.#die(duty, 'its namespace is gone', since);
  }

  #examine(duty: OnDuty, since: number, look = this.#options.look): void {
    for (const { port } of duty.ports) {
      if (!this.#alive.has(port.device)) continue;
      // An event is of the past: what counts is how it is.
      const link = look(port.device);
      if (link === null) return this.#die(duty, `its port ${port.device} is gone`, since);
      // Its own end was shut by somebody in the fabric: the router lives, and the port is put right.
      if (!link.up) this.#options.onDrift();
      else if (!link.carrier)
        return this.#die(duty, `the other end of its port ${port.device} is down`, since);
    }
  }

  #die(duty: OnDuty, reason: string, since: number): void {
    // It dies once; made anew it is alive when it is seen to be.
    this.#alive.delete(machineNamespace(this.#options.prefix, duty.router));
    for (const { port } of duty.ports) this.#alive.delete(port.device);
    this.#options.onDeath(duty, reason, since);
  }
}
