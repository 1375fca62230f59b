/** Brings one host to one document: places, fabric, machines, and what has to go. One pass; the agent decides when. */
import type { HostDocument, Machine, SegmentPort } from 'documents';
import { announceAddresses } from './fabric/announce.ts';
import type { MovedMacs } from './fabric/apply.ts';
import type { Fabric, FabricIntent, FabricOutcome } from './fabric/fabric.ts';
import { wantedLinks } from './links/diff.ts';
import type { LinksOutcome, MachineLinks } from './links/machine-links.ts';
import { diffMachines } from './machines/diff.ts';
import type { MachineDriver, PortPlace } from './machines/machine.ts';
import type { Routers } from './routers/routers.ts';
import type { Outcome } from './status.ts';

export interface ReconciliationParts {
  readonly fabric: Fabric;
  readonly links: MachineLinks;
  readonly driver: MachineDriver;
  readonly routers: Routers;
  /** Whether the machine is still to run: a boot that had to wait asks again. */
  readonly isWanted: (machine: string) => boolean;
  /** A machine that had to wait was run, or failed to. */
  readonly onBooted: () => void;
  /** A router is about to be made, perhaps anew: if it died, its standby takes over before that. */
  readonly examine: (router: string) => void;
  readonly isConnected: () => boolean;
  /** The addresses of a router that took over could not be announced; its MACs are where they belong all the same. */
  readonly onUnannounced: (machine: string, error: Error) => void;
}

/** What a pass did. */
export interface Reconciled {
  readonly fabric: Outcome;
  readonly security: Outcome;
  readonly machines: Outcome;
  /** What in the fabric was not as wanted, one sentence each. */
  readonly reasons: readonly string[];
  /** MACs that went from one port to another; null when none did. */
  readonly moved: MovedMacs | null;
  /** Whether ports, entries and links are where the document wants them, whatever became of machines. */
  readonly placed: boolean;
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

const partition = <Item>(
  items: readonly Item[],
  isFirst: (item: Item) => boolean,
): readonly [Item[], Item[]] => [items.filter(isFirst), items.filter((item) => !isFirst(item))];

export class Reconciliation {
  readonly #parts: ReconciliationParts;
  /** What each machine was last run with, as text: a machine is run again only when that changes. */
  readonly #ran = new Map<string, string>();

  constructor(parts: ReconciliationParts) {
    this.#parts = parts;
  }

  /** What is wanted may change under way, when a standby takes over. `thorough`: also what is normally told by events is looked at. Throws when the fabric cannot be had at all. */
  async apply(intent: FabricIntent, options: { readonly thorough: boolean }): Promise<Reconciled> {
    const { fabric, driver } = this.#parts;
    let document = intent.document();
    const attempts = new Attempts();
    const present = new Set(await driver.list());
    const { run, stop, remove } = diffMachines([...present], document.machines);
    const generations = this.#routerGenerations(run, present);
    const atFirst = document;
    const isNamed = (id: string) =>
      intent.document() === atFirst || intent.document().machines.some((machine) => machine.id === id);
    const places = await this.#prepare(run, isNamed, attempts);
    // From here on nobody asks those that go any more, nor brings them up to date.
    const gone = new Set(remove);
    for (const id of [...stop, ...remove]) this.#forget(id, gone.has(id));
    const linked = this.#link(document, present, places);
    const plugged = await fabric.plug(
      {
        ...intent,
        document: () => reachablePart(intent.document(), places),
        whole: () => intent.document(),
      },
      (port) => places.get(port.machine) as PortPlace,
      options,
    );
    document = intent.document();
    const reachable = reachablePart(document, places);
    if (plugged.moved !== null) this.#announce(plugged.moved, places);
    const portsOf = Map.groupBy(document.ports, (port) => port.machine);
    const routersOf = Map.groupBy(
      // A standby answers nobody.
      document.ports.filter((port) => port.role === 'router' && port.active),
      (port) => port.segment,
    );
    for (const machine of run) {
      if (!places.has(machine.id)) continue;
      const ports = portsOf.get(machine.id) ?? [];
      // Its document may name its links.
      if (machine.kind === 'router' && !linked.incomplete.has(machine.id))
        this.#parts.routers.plugged(machine.id);
      if (!this.#mustRun(machine, ports, plugged)) continue;
      if (machine.kind !== 'guest' || present.has(machine.id)) {
        await attempts.try(machine.id, () => driver.run(machine, ports));
      } else {
        const routers = ports.flatMap((port) => routersOf.get(port.segment) ?? []);
        void this.#boot(machine, ports, routers, generations);
      }
    }
    // What goes for good is cut off first, links before ports, and what ends in it then is seen by nobody: sockets that
    // die with a router reset no connection that another router of these MACs has meanwhile.
    const [first, later] = partition(plugged.removals, ({ machine }) => gone.has(machine ?? ''));
    const cut = await fabric.remove(first);
    await this.#halt(stop, remove, attempts);
    const unplugged = await fabric.unplug(reachable, later);
    for (const id of stop) await attempts.try(id, () => driver.clear(id, 'keep'));
    for (const id of remove) await attempts.try(id, () => driver.clear(id, 'remove'));
    const security = plugged.securityFailure ?? unplugged.securityFailure;
    return {
      fabric: { failures: [...linked.failures, ...plugged.failures, ...cut, ...unplugged.failures] },
      security: { failures: security === null ? [] : [{ subject: document.id, message: security }] },
      machines: { failures: attempts.failures },
      reasons: [...linked.reasons, ...plugged.reasons, ...unplugged.reasons],
      moved: plugged.moved,
      placed: plugged.placed && linked.failures.length === 0,
    };
  }

  #link(
    document: HostDocument,
    present: ReadonlySet<string>,
    places: ReadonlyMap<string, PortPlace>,
  ): LinksOutcome {
    const { links, driver } = this.#parts;
    const candidates = () => {
      const guests = new Set(
        document.machines.filter((machine) => machine.kind !== 'router').map((machine) => machine.id),
      );
      return [...present].filter((id) => !guests.has(id));
    };
    return links.apply(wantedLinks(document), candidates, (id) => places.get(id) ?? driver.place(id));
  }

  /** Routers whose MACs moved tell their segments, after everything of this moment. Nothing depends on it. */
  #announce(moved: MovedMacs, places: ReadonlyMap<string, PortPlace>): void {
    const own = moved.moves.filter(({ port, mac }) => port.role === 'router' && port.mac === mac);
    for (const { port } of own) {
      setImmediate(() => {
        const place = places.get(port.machine);
        if (place === undefined || !this.#parts.isWanted(port.machine)) return;
        try {
          announceAddresses(place.netns, port.machineDevice);
        } catch (error) {
          this.#parts.onUnannounced(port.machine, error as Error);
        }
      });
    }
  }

  #forget(id: string, forGood: boolean): void {
    this.#ran.delete(id);
    this.#parts.routers.forget(id, forGood);
  }

  async #prepare(
    run: readonly Machine[],
    isNamed: (machine: string) => boolean,
    attempts: Attempts,
  ): Promise<ReadonlyMap<string, PortPlace>> {
    const { driver, routers, examine } = this.#parts;
    const places = new Map<string, PortPlace>();
    for (const machine of run) {
      if (machine.kind === 'router') {
        examine(machine.id);
        // Another serves in its place; the next pass removes what is left of it.
        if (!isNamed(machine.id)) continue;
        routers.expect(machine.id);
      }
      await attempts.try(machine.id, async () => {
        places.set(machine.id, await driver.prepare(machine));
      });
    }
    return places;
  }

  async #halt(stop: readonly string[], remove: readonly string[], attempts: Attempts): Promise<void> {
    const { driver } = this.#parts;
    const forGood = new Set(remove);
    await Promise.all(
      [...stop, ...remove].map((id) => {
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
