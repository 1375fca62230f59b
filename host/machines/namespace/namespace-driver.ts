/** Machines as network namespaces: routers whose daemon runs in one, and guests that are one. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine, MachineStatus, SegmentPort } from 'documents';
import { links, namespaces, openRouteSocket } from 'node-netlink';
import type { BundleStore } from '../../bundles/bundle-store.ts';
import type { Program } from '../../bundles/own-bundle.ts';
import { machineNamespace, namespaceEtc } from '../../names.ts';
import type { MachineDriver, MachineListener, PortPlace, ProcessorUse } from '../machine.ts';
import type { RunOnceBounds } from '../run-once.ts';
import { Guest } from './guest.ts';
import { ProbeMachine } from './probe.ts';
import { endNamelessOf, endNamespaceOf, endProcessesIn, isNameless } from './processes.ts';
import { processorUseOf } from './processor-use.ts';
import { RouterDaemon } from './router-daemon.ts';
import type { RouterProgram } from './router-process.ts';
import { type MadeRecord, readMade, readRuns, writeMade } from './router-record.ts';

export interface NamespaceDriverOptions {
  readonly prefix: string;
  /** STATE/host/machines */
  readonly machinesDirectory: string;
  /** STATE/host/routers */
  readonly routersDirectory: string;
  readonly router: RouterProgram;
  /** The router program this host came with. */
  readonly own: Program;
  readonly bundles: BundleStore;
  /** What a router machine made now is made from. */
  readonly image: () => string;
  readonly listener: MachineListener & {
    /** A router's daemon was started, or found running; it listens soon. */
    readonly routerStarted: (id: string) => void;
    /** A router's daemon ended unasked; it is about to be started again. */
    readonly routerEnded: (id: string) => void;
  };
}

/** ms that programs of a machine that is switched off get to end by themselves. */
const GRACE = 500;

interface RouterMachine {
  readonly kind: 'router';
  readonly process: RouterDaemon;
  /** What it was made from; null when an agent made it that did not say. */
  readonly made: MadeRecord | null;
  failure: string | null;
}

type Running =
  | RouterMachine
  | { readonly kind: 'guest'; readonly guest: Guest }
  | { readonly kind: 'probe'; readonly probe: ProbeMachine };

const pidsOf = (running: Running): readonly number[] => {
  if (running.kind === 'probe') return [];
  return (running.kind === 'guest' ? running.guest.pids : [running.process.pid]).filter(
    (pid) => pid !== null,
  );
};

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
    // Somebody put another namespace in the place of the one it runs in.
    const replaced = there && running !== undefined && pidsOf(running).some((pid) => isNameless(pid, netns));
    if (there && !replaced && running !== undefined) {
      if (running.kind === 'router') running.process.want(machine.bundle ?? null);
      return { netns };
    }
    mkdirSync(this.#directory(machine), { recursive: true, mode: 0o700 });
    const etc = join(namespaceEtc, netns);
    if (!there || replaced) {
      // Somebody may have taken the name away under a machine that ran. Its processes keep the nameless namespace and its
      // ports alive: with them it goes, and the fabric learns that the ports are gone.
      this.#endNameless(machine.id);
      if (running !== undefined) this.#release(machine.id);
      mkdirSync(etc, { recursive: true });
      // Made before anything runs in it: `ip netns exec` lays over /etc only what it finds.
      writeFileSync(join(etc, 'resolv.conf'), '');
      writeFileSync(join(etc, 'hostname'), `${machine.hostname}\n`);
      if (there) {
        using route = openRouteSocket({ netns });
        route.send(links.set({ name: 'lo', up: true }));
      } else namespaces.create(netns, { loopbackUp: true });
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
    if (machine.kind === 'probe') {
      const probe = running?.kind === 'probe' ? running.probe : new ProbeMachine(this.#namespace(machine.id));
      this.#running.set(machine.id, { kind: 'probe', probe });
      probe.run(machine, ports);
      return;
    }
    if (running?.kind !== 'guest') {
      const place = { namespace: this.#namespace(machine.id), directory: this.#directory(machine) };
      running = { kind: 'guest', guest: new Guest(machine, place, this.#options.listener) };
      this.#running.set(machine.id, running);
    }
    running.guest.run(ports, this.#fresh.has(machine.id));
  };

  halt = async (id: string, why: 'stop' | 'remove'): Promise<void> => {
    const namespace = this.#namespace(id);
    const there = namespaces.exists(namespace);
    this.#endNameless(id);
    this.#release(id);
    if (!there) return;
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
    this.#prune();
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
    if (running.kind === 'probe') return running.probe.status(machine);
    const { process: daemon, made } = running;
    const { note, ...runs } = daemon.status;
    const about = {
      ...runs,
      ...(made === null ? {} : { image: made.image }),
      ...(made === null || made.memory === null ? {} : { memory: made.memory }),
    };
    if (running.failure !== null) return { id, state: 'failed', message: running.failure, ...about };
    if (daemon.pid === null && !daemon.exchanges)
      return { id, state: 'starting', message: note ?? 'Its daemon is being started', ...about };
    return { id, state: 'running', message: note ?? 'Its daemon runs', ...about };
  };
  restart = (id: string): boolean => {
    const running = this.#running.get(id);
    if (running?.kind !== 'router') return false;
    running.process.restart();
    return true;
  };
  runOnce = (id: string, args: readonly string[], bounds: RunOnceBounds): Promise<Buffer> | undefined => {
    const running = this.#running.get(id);
    return running?.kind === 'router' ? running.process.runOnce(args, bounds) : undefined;
  };
  processorUse = (id: string): ProcessorUse | null => {
    const running = this.#running.get(id);
    const pid = running?.kind === 'router' ? running.process.pid : null;
    return pid === null ? null : processorUseOf(pid);
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

  /** Ends what runs of a machine outside of the namespace that has its name now. */
  #endNameless(id: string): void {
    const { machinesDirectory, routersDirectory } = this.#options;
    const namespace = this.#namespace(id);
    const running = this.#running.get(id);
    for (const pid of running === undefined ? [] : pidsOf(running)) endNamespaceOf(pid, namespace);
    for (const directory of [routersDirectory, machinesDirectory])
      endNamelessOf(join(directory, id), namespace);
  }

  #release(id: string): void {
    const running = this.#running.get(id);
    if (running?.kind === 'guest') running.guest.release();
    else if (running?.kind === 'router') running.process.release();
    this.#running.delete(id);
  }

  #startRouter(machine: Machine): void {
    const { id } = machine;
    const { listener, router, own, bundles, image } = this.#options;
    const directory = this.#directory(machine);
    const fresh = this.#fresh.has(id);
    let made = fresh ? null : readMade(directory);
    if (made === null && fresh) {
      made = { image: image(), memory: machine.memory ?? null };
      try {
        writeMade(directory, made);
      } catch {
        // A full disk: the machine is what it is, only a later agent does not know.
      }
    }
    const process = new RouterDaemon({
      place: { id, namespace: this.#namespace(id), directory, memory: made?.memory ?? null },
      program: router,
      own,
      bundles,
      listener: {
        started: () => {
          entry.failure = null;
          listener.routerStarted(id);
          listener.changed(id);
        },
        ended: (pid, delay) => {
          listener.routerEnded(id);
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
        changed: () => listener.changed(id),
        exchanged: (from, to, refused) => {
          const names = `the bundle ${to.version} (${to.checksum.slice(0, 12)})`;
          const before = `${from.version} (${from.checksum.slice(0, 12)})`;
          listener.report(
            refused === null
              ? {
                  type: 'host.router-patched',
                  level: 'info',
                  subject: id,
                  message: `${id} runs ${names} in place of ${before}`,
                }
              : {
                  type: 'host.bundle-refused',
                  level: 'warning',
                  subject: id,
                  message: `${id} goes on with ${before}: ${names} was not taken: ${refused}`,
                },
          );
          listener.changed(id);
          this.#prune();
        },
      },
    });
    const entry: RouterMachine = { kind: 'router', process, made, failure: null };
    this.#running.set(id, entry);
    process.start({ fresh, wanted: machine.bundle ?? null });
  }

  /** Removes bundles that no router of this host runs, is to run, or may go back to. */
  #prune(): void {
    const { routersDirectory, bundles, own } = this.#options;
    const keep = new Set([own.checksum]);
    for (const id of folders(routersDirectory)) {
      const record = readRuns(join(routersDirectory, id));
      for (const program of [record?.made, record?.running, record?.trying])
        if (program !== null && program !== undefined) keep.add(program.checksum);
    }
    for (const running of this.#running.values())
      if (running.kind === 'router' && running.process.wanted !== null) keep.add(running.process.wanted);
    bundles.prune(keep);
  }
}
