/** Private wires between machines of this host: kept as the document wants them, in the machines' own namespaces. */
import { statSync } from 'node:fs';
import type { MachineLink } from 'documents';
import { monitor, type Monitor, openRouteSocket, type RouteSocket } from 'node-netlink';
import type { FabricFailure } from '../fabric/apply.ts';
import type { PortPlace } from '../machines/machine.ts';
import { namespacePath, parseDeviceAlias } from '../names.ts';
import { applyLinks, observeDevices } from './apply.ts';
import { diffLinks, type ObservedDevice } from './diff.ts';

export interface MachineLinksOptions {
  /** A link changed, by us or by others: time to compare. */
  readonly onChange: () => void;
}

export interface LinksOutcome {
  /** What was not as wanted, one sentence each. */
  readonly reasons: readonly string[];
  readonly failures: readonly FabricFailure[];
  /** Machines that lack a link they are to have. */
  readonly incomplete: ReadonlySet<string>;
}

interface Followed {
  /** Inode of the namespace: another one under the same name is another namespace. */
  readonly inode: number;
  readonly monitor: Monitor;
}

/**
 * Links exist only while routers are replaced, so only machines that have one are looked at and followed; a host without
 * replacements pays nothing. The first pass looks into every machine, for what a predecessor left.
 */
export class MachineLinks {
  readonly #options: MachineLinksOptions;
  /** Machines with links. A monitor keeps its namespace alive: it goes before the machine does. */
  readonly #followed = new Map<string, Followed>();
  #swept = false;

  constructor(options: MachineLinksOptions) {
    this.#options = options;
  }

  /**
   * Removes, makes and heals links. `wanted` are those whose machines are to run; `candidates` the machines that may hold
   * one of a predecessor; `placeOf` says where a machine is, null when it is nowhere.
   */
  apply(
    wanted: readonly MachineLink[],
    candidates: () => Iterable<string>,
    placeOf: (machine: string) => PortPlace | null,
  ): LinksOutcome {
    const ends = new Set(wanted.flatMap((link) => link.ends.map((end) => end.machine)));
    const machines = new Set([...ends, ...this.#followed.keys(), ...(this.#swept ? [] : candidates())]);
    if (machines.size === 0) {
      this.#swept = true;
      return { reasons: [], failures: [], incomplete: new Set() };
    }
    using sockets = new DisposableStack();
    const routes = new Map<string, { readonly route: RouteSocket; readonly netns: string }>();
    const observed = new Map<string, readonly ObservedDevice[]>();
    const failures: FabricFailure[] = [];
    for (const machine of machines) {
      const place = placeOf(machine);
      if (place === null) {
        this.#release(machine);
        continue;
      }
      try {
        if (ends.has(machine)) this.#follow(machine, place.netns);
        const route = sockets.use(openRouteSocket({ netns: place.netns }));
        routes.set(machine, { route, netns: place.netns });
        observed.set(machine, observeDevices(route));
      } catch (error) {
        failures.push({ subject: machine, message: (error as Error).message });
      }
    }
    const diff = diffLinks(observed, wanted);
    const placeIn = (machine: string) => {
      const place = routes.get(machine);
      if (place === undefined) throw new TypeError(`${machine} was not looked at`);
      return place;
    };
    failures.push(
      ...diff.problems,
      ...applyLinks(diff, {
        route: (machine) => placeIn(machine).route,
        netns: (machine) => placeIn(machine).netns,
      }),
    );
    // What could not be looked at or removed is looked for again.
    this.#swept = failures.length === 0;
    for (const machine of this.#followed.keys()) if (!ends.has(machine)) this.#release(machine);
    const failed = new Set(failures.map(({ subject }) => subject));
    const broken = wanted.filter((link) =>
      [link.id, ...link.ends.map((end) => end.machine)].some((subject) => failed.has(subject)),
    );
    return {
      reasons: [...diff.removals, ...diff.additions, ...diff.changes].map(({ reason }) => reason),
      failures,
      incomplete: new Set(broken.flatMap((link) => link.ends.map((end) => end.machine))),
    };
  }

  /** Lets go of everything; links stay. */
  close(): void {
    for (const machine of this.#followed.keys()) this.#release(machine);
  }

  #follow(machine: string, netns: string): void {
    const inode = statSync(namespacePath(netns)).ino;
    if (this.#followed.get(machine)?.inode === inode) return;
    this.#release(machine);
    const following = monitor({ netns, groups: ['link'] }, (event) => {
      const concerns =
        event.type === 'resync' ||
        (event.type === 'link' && parseDeviceAlias(event.link.alias)?.kind === 'link');
      if (concerns) this.#options.onChange();
    });
    this.#followed.set(machine, { inode, monitor: following });
  }

  #release(machine: string): void {
    this.#followed.get(machine)?.monitor.close();
    this.#followed.delete(machine);
  }
}
