/** Has standbys take over from routers that died: at once, by one netlink batch, and on record before that. */
import { join } from 'node:path';
import type { Failover as FailoverReport, HostDocument } from 'documents';
import type { MonitorEvent, NetlinkRequest, RouteSocket } from 'node-netlink';
import { type Death, Deaths, type Sign } from './deaths.ts';
import { readFailovers, writeFailovers } from './failover-file.ts';
import { type Candidate, dutyOf, type OnDuty, routersOnDuty } from './on-duty.ts';
import { fenceOf, linkOf, placementsOf } from './promotion.ts';
import { withFailovers } from './with-failovers.ts';

export interface FailoverOptions {
  readonly prefix: string;
  /** STATE/host */
  readonly directory: string;
  /** A socket in the fabric; null while there is none. */
  readonly route: () => RouteSocket | null;
  /** A standby serves; what it takes over from is still to be removed, and the segments are to be told. */
  readonly onPromoted: (failover: FailoverReport, by: Candidate, failures: readonly string[]) => void;
  /** Whether a standby knows all that its router knows. */
  readonly isSynced: (standby: string) => boolean;
  /** A router died and nobody can take over, or, then null, a port of one was changed: bring the host to its document at once. */
  readonly onLoss: (router: string | null, death: Death | null) => void;
}

/**
 * Promotions are synchronous, so none happens in the middle of a step of a pass; a pass asks for the document, by
 * {@link Failover.effective}, right where it places MACs.
 */
export class Failover {
  readonly #options: FailoverOptions;
  readonly #path: string;
  readonly #deaths: Deaths;
  #failovers: readonly FailoverReport[] = [];
  /** Last answer of `effective`, and what it was made of. */
  #applied: {
    readonly document: HostDocument;
    readonly failovers: readonly FailoverReport[];
    readonly effective: HostDocument;
  } | null = null;
  #document: HostDocument | null = null;

  constructor(options: FailoverOptions) {
    this.#options = options;
    this.#path = join(options.directory, 'failovers.json');
    this.#deaths = new Deaths({
      prefix: options.prefix,
      routersDirectory: join(options.directory, 'routers'),
      look: (device) => {
        const route = options.route();
        return route === null ? null : linkOf(route, device);
      },
      onDeath: (duty, death) => this.#died(duty, death),
      onDrift: () => options.onLoss(null, null),
    });
  }

  /**
   * Takes up where a predecessor was killed, before anything else is done to the host: promotions on record are done (again),
   * and routers that died meanwhile are replaced by their standbys. The fabric is open by then.
   */
  open(document: HostDocument | null): void {
    this.#failovers = readFailovers(this.#path);
    if (document === null) return;
    this.#document = document;
    for (const { failover, before } of withFailovers(document, this.#failovers).inForce) {
      const duty = dutyOf(before, failover.router, failover.promoted);
      const [candidate] = duty.candidates;
      const placements = candidate === undefined ? null : this.#placements(duty, candidate);
      // What the kernel refuses here is told by the pass that follows, which does it again.
      this.#batch(duty, placements ?? []);
    }
    this.#deaths.guard(routersOnDuty(this.effective(document)), { adopted: true });
    this.#deaths.examineAll(this.#found());
  }

  /** What is on record and still tells something. */
  get failovers(): readonly FailoverReport[] {
    return this.#document === null ? [] : this.#inForce(this.#document);
  }

  /** The document as it is to be applied now. */
  effective(document: HostDocument): HostDocument {
    if (this.#applied?.document !== document || this.#applied.failovers !== this.#failovers) {
      const { document: effective } = withFailovers(document, this.#failovers);
      this.#applied = { document, failovers: this.#failovers, effective };
    }
    return this.#applied.effective;
  }

  /** This document is about to be applied: who is watched from now on follows from it. */
  guard(document: HostDocument): void {
    this.#document = document;
    this.#deaths.guard(routersOnDuty(this.effective(document)), { adopted: false });
    this.#deaths.examineAll(null);
  }

  /** This document is on disk: failovers that it knows of are no more needed. */
  settle(document: HostDocument): void {
    const kept = this.#inForce(document);
    if (kept.length === this.#failovers.length) return;
    this.#failovers = kept;
    this.#write(kept);
  }

  /** Deaths that no event told yet, by the devices found in the fabric. */
  examine(found: readonly Sign[]): void {
    this.#deaths.examineAll(found);
  }

  fabricChanged(event: MonitorEvent): void {
    this.#deaths.fabricChanged(event);
  }

  namespaceChanged(name: string): void {
    this.#deaths.namespaceChanged(name);
  }

  daemonEnded(router: string): void {
    this.#deaths.daemonEnded(router);
  }

  close(): void {
    this.#deaths.close();
  }

  #found(): readonly Sign[] | null {
    const route = this.#options.route();
    if (route === null || this.#document === null) return null;
    try {
      return routersOnDuty(this.effective(this.#document)).flatMap(({ ports }) =>
        ports.flatMap(({ port }) => linkOf(route, port.device) ?? []),
      );
    } catch {
      // What cannot be asked tells nothing; the first pass looks again.
      return null;
    }
  }

  #inForce(document: HostDocument): readonly FailoverReport[] {
    return withFailovers(document, this.#failovers).inForce.map(({ failover }) => failover);
  }

  #died(duty: OnDuty, death: Death): void {
    const { router } = duty;
    const { reason, since } = death;
    const document = this.#document;
    const chosen = this.#choose(duty);
    if (chosen === null || document === null) {
      this.#options.onLoss(router, death);
      return;
    }
    const { candidate, placements } = chosen;
    const at = Math.round(performance.timeOrigin + since);
    const failover = { router, promoted: candidate.standby, at, reason, microseconds: 0 };
    // In the order in which they happened: one that took over may have died.
    const others = this.#inForce(document).filter((one) => one.router !== router);
    // First of all: an agent killed after the batch would otherwise bring the dead one back, with its MACs.
    const unwritten = this.#write([...others, failover]);
    const failures = [...unwritten, ...this.#batch(duty, placements), ...this.#lost(candidate)];
    const microseconds = Math.round((performance.now() - since) * 1000);
    const done = { ...failover, microseconds };
    this.#failovers = [...others, done];
    this.#write(this.#failovers);
    this.#deaths.guard(routersOnDuty(this.effective(document)), { adopted: false });
    this.#options.onPromoted(done, candidate, failures);
  }

  /** Who is in step with the dead router, rather than who is not, and what puts it in place; null when nobody can take over. */
  #choose(
    duty: OnDuty,
  ): { readonly candidate: Candidate; readonly placements: readonly NetlinkRequest[] } | null {
    const { isSynced } = this.#options;
    const inOrder = duty.candidates.toSorted(
      (a, b) => Number(isSynced(b.standby)) - Number(isSynced(a.standby)),
    );
    for (const candidate of inOrder) {
      const placements = this.#placements(duty, candidate);
      if (placements !== null) return { candidate, placements };
    }
    return null;
  }

  /** null when it cannot take over, or the kernel does not say whether it can. */
  #placements(duty: OnDuty, candidate: Candidate): readonly NetlinkRequest[] | null {
    const route = this.#options.route();
    try {
      return route === null ? null : placementsOf(route, duty, candidate);
    } catch {
      return null;
    }
  }

  /** What the one that took over has lost since it was chosen: it serves by then, and there may be nobody else. */
  #lost({ standby, ports }: Candidate): readonly string[] {
    const route = this.#options.route();
    if (route === null) return [];
    try {
      return ports
        .filter(({ device }) => linkOf(route, device)?.carrier !== true)
        .map(({ device }) => `the port ${device} of ${standby} lost its carrier meanwhile`);
    } catch (error) {
      return [(error as Error).message];
    }
  }

  /** A disk that takes nothing is no reason to leave a network without its router. */
  #write(failovers: readonly FailoverReport[]): readonly string[] {
    try {
      writeFailovers(this.#path, failovers);
      return [];
    } catch (error) {
      return [`The failover could not be put on record: ${(error as Error).message}`];
    }
  }

  /** Fence and placements in one batch; returns what the kernel refused. */
  #batch(duty: OnDuty, placements: readonly NetlinkRequest[]): readonly string[] {
    const route = this.#options.route();
    if (route === null) return [];
    try {
      return route
        .batch([...fenceOf(route, duty), ...placements])
        .flatMap((error) => (error === null || error.code === 'netlink-not-found' ? [] : [error.message]));
    } catch (error) {
      return [(error as Error).message];
    }
  }
}
