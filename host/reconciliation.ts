/** Brings one host to one document: places, fabric, machines, and what has to go. One pass; the agent decides when. */
import type { HostDocument, Machine, SegmentPort } from 'documents';
import type { Fabric, FabricOutcome } from './fabric/fabric.ts';
import { diffMachines } from './machines/diff.ts';
import type { MachineDriver, PortPlace } from './machines/machine.ts';
import type { Routers } from './routers/routers.ts';
import type { Outcome } from './status.ts';

export interface ReconciliationParts {
  readonly fabric: Fabric;
  readonly driver: MachineDriver;
  readonly routers: Routers;
  /** Whether the machine is still to run: a boot that had to wait asks again. */
  readonly isWanted: (machine: string) => boolean;
  /** A machine that had to wait was run, or failed to. */
  readonly onBooted: () => void;
  readonly isConnected: () => boolean;
}

/** What a pass did. */
export interface Reconciled {
  readonly fabric: Outcome;
  readonly security: Outcome;
  readonly machines: Outcome;
  /** What in the fabric was not as wanted, one sentence each. */
  readonly reasons: readonly string[];
}

/** A guest boots at the latest this long, ms, after its ports are there, whether its router answers or not. */
const ROUTER_PATIENCE = 5_000;

interface Failure {
  readonly subject: string;
  readonly message: string;
}

/** Failures of one pass, each by what it concerns; a step that fails stops nothing else. */
class Attempts {
  readonly failures: Failure[] = [];

  async try(subject: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.failures.push({ subject, message: (error as Error).message });
    }
  }
}

/** Ports of machines that are to run and have no place yet are left out, so that the rest does not wait for them. */
const reachablePart = (document: HostDocument, places: ReadonlyMap<string, PortPlace>): HostDocument => {
  const placeless = new Set(
    document.machines
      .filter((machine) => machine.state === 'running' && !places.has(machine.id))
      .map((machine) => machine.id),
  );
  if (placeless.size === 0) return document;
  const ports = document.ports.filter((port) => !placeless.has(port.machine));
  const kept = new Set(ports.map((port) => port.id));
  return { ...document, ports, fdb: document.fdb.filter((entry) => kept.has(entry.port)) };
};

export class Reconciliation {
  readonly #parts: ReconciliationParts;
  /** What each machine was last run with, as text: a machine is run again only when that changes. */
  readonly #ran = new Map<string, string>();

  constructor(parts: ReconciliationParts) {
    this.#parts = parts;
  }

  /** `thorough`: also what is normally told by events is looked at. Throws when the fabric cannot be had at all. */
  async apply(document: HostDocument, options: { readonly thorough: boolean }): Promise<Reconciled> {
    const { fabric, driver } = this.#parts;
    const attempts = new Attempts();
    const present = new Set(await driver.list());
    const { run, stop, remove } = diffMachines([...present], document.machines);
    const generations = this.#routerGenerations(run, present);
    const places = await this.#prepare(run, attempts);
    const reachable = reachablePart(document, places);
    const plugged = await fabric.plug(reachable, (port) => places.get(port.machine) as PortPlace, options);
    const portsOf = Map.groupBy(document.ports, (port) => port.machine);
    const routersOf = Map.groupBy(
      document.ports.filter((port) => port.role === 'router'),
      (port) => port.segment,
    );
    for (const machine of run) {
      if (!places.has(machine.id)) continue;
      const ports = portsOf.get(machine.id) ?? [];
      if (machine.kind === 'router') this.#parts.routers.plugged(machine.id);
      if (!this.#mustRun(machine, ports, plugged)) continue;
      if (machine.kind === 'router' || present.has(machine.id)) {
        await attempts.try(machine.id, () => driver.run(machine, ports));
      } else {
        const routers = ports.flatMap((port) => routersOf.get(port.segment) ?? []);
        void this.#boot(machine, ports, routers, generations);
      }
    }
    await this.#halt(stop, remove, attempts);
    const unplugged = await fabric.unplug(reachable, plugged.removals);
    for (const id of stop) await attempts.try(id, () => driver.clear(id, 'keep'));
    for (const id of remove) await attempts.try(id, () => driver.clear(id, 'remove'));
    const security = plugged.securityFailure ?? unplugged.securityFailure;
    return {
      fabric: { failures: [...plugged.failures, ...unplugged.failures] },
      security: { failures: security === null ? [] : [{ subject: document.id, message: security }] },
      machines: { failures: attempts.failures },
      reasons: [...plugged.reasons, ...unplugged.reasons],
    };
  }

  async #prepare(run: readonly Machine[], attempts: Attempts): Promise<ReadonlyMap<string, PortPlace>> {
    const { driver, routers } = this.#parts;
    const places = new Map<string, PortPlace>();
    for (const machine of run) {
      if (machine.kind === 'router') routers.expect(machine.id);
      await attempts.try(machine.id, async () => {
        places.set(machine.id, await driver.prepare(machine));
      });
    }
    return places;
  }

  async #halt(stop: readonly string[], remove: readonly string[], attempts: Attempts): Promise<void> {
    const { driver, routers } = this.#parts;
    const forGood = new Set(remove);
    await Promise.all(
      [...stop, ...remove].map((id) => {
        this.#ran.delete(id);
        routers.forget(id, forGood.has(id));
        return attempts.try(id, () => driver.halt(id, forGood.has(id) ? 'remove' : 'stop'));
      }),
    );
  }

  /** Whether a machine has to be run (again): it is new, it changed, it failed, or one of its ports was made anew. */
  #mustRun(machine: Machine, ports: readonly SegmentPort[], plugged: FabricOutcome): boolean {
    const text = JSON.stringify([machine, ports]);
    const same = this.#ran.get(machine.id) === text && this.#parts.driver.status(machine).state !== 'failed';
    this.#ran.set(machine.id, text);
    return !same || ports.some((port) => plugged.newPorts.has(port.id));
  }

  /**
   * Boots a new guest when the routers of its segments have in force what is newest now, its own lease among it: a DHCP
   * client that asks too early asks again a second later. Holds up nobody else.
   */
  async #boot(
    machine: Machine,
    ports: readonly SegmentPort[],
    routers: readonly SegmentPort[],
    generations: Promise<ReadonlyMap<string, number>>,
  ): Promise<void> {
    const newest = await generations;
    const ready = Promise.all(
      routers.map((port) => this.#parts.routers.applied(port.machine, newest.get(port.machine) ?? 1)),
    );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ROUTER_PATIENCE);
    });
    await Promise.race([ready, late]);
    clearTimeout(timer);
    if (!this.#parts.isWanted(machine.id)) return;
    try {
      await this.#parts.driver.run(machine, ports);
    } catch {
      // The next pass runs it again, and says why if it fails again.
      this.#ran.delete(machine.id);
    }
    this.#parts.onBooted();
  }

  /** Generations of the routers as they stand now, asked for once when guests are about to be made. */
  async #routerGenerations(
    run: readonly Machine[],
    present: ReadonlySet<string>,
  ): Promise<ReadonlyMap<string, number>> {
    const news = run.some((machine) => machine.kind === 'guest' && !present.has(machine.id));
    return news && this.#parts.isConnected() ? await this.#parts.routers.poll() : new Map();
  }
}
