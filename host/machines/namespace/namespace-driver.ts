/** Machines as network namespaces: routers whose daemon runs in one, and guests that are one. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine, MachineStatus, SegmentPort } from 'documents';
import { namespaces } from 'node-netlink';
import { machineNamespace, namespaceEtc } from '../../names.ts';
import type { MachineDriver, MachineListener, PortPlace } from '../machine.ts';
import { Guest } from './guest.ts';
import { endNamespaceOf, endProcessesIn } from './processes.ts';
import { routerProcess, type RouterProgram } from './router-process.ts';
import type { SupervisedProcess } from './supervised-process.ts';

export interface NamespaceDriverOptions {
  readonly prefix: string;
  /** STATE/host/machines */
  readonly machinesDirectory: string;
  /** STATE/host/routers */
  readonly routersDirectory: string;
  readonly router: RouterProgram;
  readonly listener: MachineListener & {
    /** A router's daemon was started, or found running; it listens soon. */
    readonly routerStarted: (id: string) => void;
  };
}

/** ms that programs of a machine that is switched off get to end by themselves. */
const GRACE = 500;

interface RouterMachine {
  readonly kind: 'router';
  readonly process: SupervisedProcess;
  failure: string | null;
}

type Running = RouterMachine | { readonly kind: 'guest'; readonly guest: Guest };

const pidsOf = (running: Running): readonly number[] =>
  (running.kind === 'guest' ? running.guest.pids : [running.process.pid]).filter((pid) => pid !== null);

const folders = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

export class NamespaceDriver implements MachineDriver {
  readonly name = 'namespace';
  readonly #options: NamespaceDriverOptions;
  readonly #running = new Map<string, Running>();
  /** Machines whose namespace was made by this process: nothing of a predecessor's runs in them. */
  readonly #fresh = new Set<string>();

  constructor(options: NamespaceDriverOptions) {
    this.#options = options;
  }
  list = async (): Promise<readonly string[]> => {
    const { machinesDirectory, routersDirectory } = this.#options;
    // A folder is made before anything else of a machine and goes last.
    return [...new Set([...folders(machinesDirectory), ...folders(routersDirectory)])].toSorted();
  };
  prepare = async (machine: Machine): Promise<PortPlace> => {
    const netns = this.#namespace(machine.id);
    const there = namespaces.exists(netns);
    const running = this.#running.get(machine.id);
    if (there && running !== undefined) return { netns };
    mkdirSync(this.#directory(machine), { recursive: true, mode: 0o700 });
    const etc = join(namespaceEtc, netns);
    if (!there) {
      if (running !== undefined) {
        // Somebody took the name away under a machine that ran. Its processes keep the nameless namespace and its
        // ports alive: with them it goes, and the fabric learns that the ports are gone.
        for (const pid of pidsOf(running)) endNamespaceOf(pid);
        this.#release(machine.id);
      }
      mkdirSync(etc, { recursive: true });
      // Made before anything runs in it: `ip netns exec` lays over /etc only what it finds.
      writeFileSync(join(etc, 'resolv.conf'), '');
      writeFileSync(join(etc, 'hostname'), `${machine.hostname}\n`);
      namespaces.create(netns, { loopbackUp: true });
      this.#fresh.add(machine.id);
    }
    if (machine.kind === 'router') this.#startRouter(machine);
    return { netns };
  };
  place = (id: string): PortPlace | null => {
    const netns = this.#namespace(id);
    return namespaces.exists(netns) ? { netns } : null;
  };
  run = async (machine: Machine, ports: readonly SegmentPort[]): Promise<void> => {
    if (machine.kind === 'router') return;
    let running = this.#running.get(machine.id);
    if (running?.kind !== 'guest') {
      const place = { namespace: this.#namespace(machine.id), directory: this.#directory(machine) };
      running = { kind: 'guest', guest: new Guest(machine, place, this.#options.listener) };
      this.#running.set(machine.id, running);
    }
    running.guest.run(ports, this.#fresh.has(machine.id));
  };

  halt = async (id: string, why: 'stop' | 'remove'): Promise<void> => {
    this.#release(id);
    const namespace = this.#namespace(id);
    if (!namespaces.exists(namespace)) return;
    const remaining = await endProcessesIn(namespace, why === 'stop' ? GRACE : 0);
    if (remaining.length > 0) throw new Error(`Processes ${remaining.join(', ')} of ${id} do not end`);
  };
  clear = async (id: string, trace: 'keep' | 'remove'): Promise<void> => {
    const { machinesDirectory, routersDirectory } = this.#options;
    const namespace = this.#namespace(id);
    if (namespaces.exists(namespace)) namespaces.remove(namespace);
    this.#fresh.delete(id);
    rmSync(join(namespaceEtc, namespace), { recursive: true, force: true });
    if (trace === 'keep') return;
    rmSync(join(routersDirectory, id), { recursive: true, force: true });
    rmSync(join(machinesDirectory, id), { recursive: true, force: true });
  };

  status = (machine: Machine): MachineStatus => {
    const { id } = machine;
    const running = this.#running.get(id);
    if (machine.state === 'stopped') {
      const message = running === undefined ? 'Is switched off' : 'Is being switched off';
      return { id, state: running === undefined ? 'stopped' : 'running', message };
    }
    if (running === undefined) return { id, state: 'starting', message: 'Is being made' };
    if (running.kind === 'guest') return running.guest.status();
    if (running.failure !== null) return { id, state: 'failed', message: running.failure };
    if (running.process.pid === null)
      return { id, state: 'starting', message: 'Its daemon is being started' };
    return { id, state: 'running', message: 'Its daemon runs' };
  };
  close = async (): Promise<void> => {
    for (const id of Array.from(this.#running.keys())) this.#release(id);
  };

  #namespace(id: string): string {
    return machineNamespace(this.#options.prefix, id);
  }

  #directory(machine: Machine): string {
    const { machinesDirectory, routersDirectory } = this.#options;
    return join(machine.kind === 'router' ? routersDirectory : machinesDirectory, machine.id);
  }

  #release(id: string): void {
    const running = this.#running.get(id);
    if (running?.kind === 'guest') running.guest.release();
    else running?.process.release();
    this.#running.delete(id);
  }

  #startRouter(machine: Machine): void {
    const { id } = machine;
    const { listener, router } = this.#options;
    const process = routerProcess(id, this.#namespace(id), this.#directory(machine), router, {
      started: () => {
        entry.failure = null;
        listener.routerStarted(id);
        listener.changed(id);
      },
      ended: (pid, delay) => {
        listener.report({
          type: 'host.router-restarted',
          level: 'warning',
          subject: id,
          message: `The daemon of ${id} (process ${pid}) ended and is started again${delay === 0 ? '' : ` in ${delay} ms`}`,
        });
        listener.changed(id);
      },
      failed: (message) => {
        entry.failure = message;
        listener.changed(id);
      },
    });
    const entry: RouterMachine = { kind: 'router', process, failure: null };
    this.#running.set(id, entry);
    process.start({ fresh: this.#fresh.has(id) });
  }
}
