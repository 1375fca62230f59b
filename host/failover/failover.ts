/** Has standbys take over from routers that died: at once, on record before that, and never before the dead one is off the net. */
import { join } from 'node:path';
import type { Failover as FailoverReport, HostDocument } from 'documents';
import type { MonitorEvent, NetlinkRequest, RouteSocket } from 'node-netlink';
import { type Death, Deaths, type Sign } from './deaths.ts';
import { readFailovers, writeFailovers } from './failover-file.ts';
import { type Candidate, dutyOf, type OnDuty, routersOnDuty } from './on-duty.ts';
import { fence, linkOf, placementsOf } from './promotion.ts';
import { isInForce, withFailovers, withoutRouter } from './with-failovers.ts';

export interface FailoverOptions {
  readonly prefix: string;
  /** STATE/host */
  readonly directory: string;
  /** A socket in the fabric; null while there is none. */
  readonly route: () => RouteSocket | null;
  /** A standby serves; what it takes over from is still to be removed, and the segments are to be told. */
  readonly onPromoted: (failover: FailoverReport, by: Candidate, failures: readonly string[]) => void;
  /** A router died and cannot be cut off. Told once; it is tried again when a port of it changes, and with every pass. */
  readonly onUnfenced: (unfenced: Unfenced) => void;
  /** Whether a standby knows all that its router knows. */
  readonly isSynced: (standby: string) => boolean;
  /** A router died and nobody can take over, or, then null, a port of one was changed: bring the host to its document at once. */
  readonly onLoss: (router: string | null, death: Death | null) => void;
}

/**
 * A router died and the kernel does not take its ports off the net: nobody takes over until they are down or gone. What is
 * left of it is removed by the passes meanwhile, which is a fence, too, only slower.
 */
export interface Unfenced {
  /** As it is on record, and as it will have been when it is done. */
  readonly failover: FailoverReport;
  /** What the kernel refused. */
  readonly message: string;
  /** Its ports in the fabric. */
  readonly devices: readonly string[];
}

/**
 * Promotions are synchronous, so none happens in the middle of a step of a pass; a pass asks for the document, by
 * {@link Failover.effective}, right where it places MACs.
 */
export class Failover {
  readonly #options: FailoverOptions;
  readonly #path: string;
  readonly #deaths: Deaths;
  /** Those that are done: the dead is off the net. */
  #failovers: readonly FailoverReport[] = [];
  #unfenced: readonly Unfenced[] = [];
  /** Last answer of `effective`, and what it was made of. */
  #applied: {
    readonly document: HostDocument;
    readonly failovers: readonly FailoverReport[];
    readonly unfenced: readonly Unfenced[];
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
    this.#redo(document);
    this.#deaths.guard(routersOnDuty(this.effective(document)), { adopted: true });
    this.#deaths.examineAll(this.#found());
  }

  /** What is done and still tells something. */
  get failovers(): readonly FailoverReport[] {
    return this.#document === null ? [] : this.#inForce(this.#document);
  }

  /** Routers that died and are not off the net yet. */
  get unfenced(): readonly Unfenced[] {
    return this.#unfenced;
  }

  /** The document as it is to be applied now. */
  effective(document: HostDocument): HostDocument {
    const [failovers, unfenced] = [this.#failovers, this.#unfenced];
    const applied = this.#applied;
    if (applied?.document === document && applied.failovers === failovers && applied.unfenced === unfenced)
      return applied.effective;
    const effective = this.#unfencedIn(document).reduce(
      (folded, { failover }) => withoutRouter(folded, failover.router),
      withFailovers(document, failovers).document,
    );
    this.#applied = { document, failovers, unfenced, effective };
    return effective;
  }

  /** This document is about to be applied: who is watched from now on follows from it. */
  guard(document: HostDocument): void {
    if (this.#document === null) this.#redo(document);
    this.#document = document;
    const unfenced = this.#unfencedIn(document);
    if (unfenced.length < this.#unfenced.length) this.#unfenced = unfenced;
    this.#retry();
    this.#deaths.guard(routersOnDuty(this.effective(document)), { adopted: false });
    this.#deaths.examineAll(null);
  }

  /** This document is on disk: failovers that it knows of are no more needed. */
  settle(document: HostDocument): void {
    const kept = this.#inForce(document);
    const unfenced = this.#unfencedIn(document);
    if (kept.length === this.#failovers.length && unfenced.length === this.#unfenced.length) return;
    this.#failovers = kept;
    this.#unfenced = unfenced;
    this.#write();
  }

  /** Deaths that no event told yet, by the devices found in the fabric. */
  examine(found: readonly Sign[]): void {
    this.#deaths.examineAll(found);
  }

  fabricChanged(event: MonitorEvent): void {
    this.#deaths.fabricChanged(event);
    if (event.type !== 'link' || (event.change === 'set' && event.link.up)) return;
    const { name } = event.link;
    if (this.#unfenced.some(({ devices }) => devices.includes(name))) this.#retry();
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

  /** Those of which the document still has the dead router serve, and the one that is to take over. */
  #unfencedIn(document: HostDocument): readonly Unfenced[] {
    if (this.#unfenced.length === 0) return this.#unfenced;
    const { document: folded } = withFailovers(document, this.#failovers);
    return this.#unfenced.filter(({ failover }) => isInForce(folded, failover));
  }

  /** What is on record is done, or done again, in the same order: the fence, and only then the placements. */
  #redo(document: HostDocument): void {
    this.#document = document;
    const done: FailoverReport[] = [];
    for (const failover of this.#failovers) {
      const { document: before } = withFailovers(document, done);
      // Who took over from one that cannot be cut off now has nothing that another could take over.
      if (!isInForce(before, failover)) continue;
      const duty = dutyOf(before, failover.router, failover.promoted);
      const refused = this.#fence(duty);
      if (refused.length > 0) {
        this.#setAside(duty, failover, refused);
        continue;
      }
      done.push(failover);
      const [candidate] = duty.candidates;
      // What the kernel refuses here is told by the pass that follows, which does it again.
      if (candidate !== undefined) this.#place(this.#placements(duty, candidate) ?? []);
    }
  }

  /** Those that could not be cut off: what was left of them may be gone by now. */
  #retry(): void {
    for (const { failover } of this.#unfenced) {
      const document = this.#document;
      if (document === null || this.#options.route() === null) return;
      const { document: folded } = withFailovers(document, this.#failovers);
      const duty = routersOnDuty(folded).find(({ router }) => router === failover.router);
      const { reason, at } = failover;
      if (duty === undefined) this.#forget(failover.router);
      else this.#died(duty, { reason, since: at - performance.timeOrigin, gone: true });
    }
  }

  #died(duty: OnDuty, death: Death): void {
    const { router } = duty;
    const { reason, since } = death;
    const document = this.#document;
    const chosen = this.#choose(duty);
    if (chosen === null || document === null) {
      this.#forget(router);
      this.#options.onLoss(router, death);
      return;
    }
    const { candidate, placements } = chosen;
    const at = Math.round(performance.timeOrigin + since);
    const failover = { router, promoted: candidate.standby, at, reason, microseconds: 0 };
    // In the order in which they happened: one that took over may have died.
    const others = this.#inForce(document).filter((one) => one.router !== router);
    // First of all: an agent killed after the placements would otherwise bring the dead one back, with its MACs.
    const unwritten = this.#write([...others, failover]);
    const refused = this.#fence(duty);
    if (refused.length > 0) {
      this.#failovers = others;
      this.#setAside(duty, failover, [...refused, ...unwritten]);
      this.#deaths.guard(routersOnDuty(this.effective(document)), { adopted: false });
      return;
    }
    const failures = [...unwritten, ...this.#place(placements), ...this.#lost(candidate)];
    const microseconds = Math.max(0, Math.round((performance.now() - since) * 1000));
    const done = { ...failover, microseconds };
    this.#failovers = [...others, done];
    this.#unfenced = this.#unfencedBut(router);
    this.#write();
    this.#deaths.guard(routersOnDuty(this.effective(document)), { adopted: false });
    this.#options.onPromoted(done, candidate, failures);
  }

  /** It stays on record, so that whoever comes after us tries again; until it is fenced it is not in force. */
  #setAside({ ports }: OnDuty, failover: FailoverReport, refused: readonly string[]): void {
    const { router } = failover;
    const others = this.#unfencedBut(router);
    const isNew = others.length === this.#unfenced.length;
    const devices = ports.map(({ port }) => port.device);
    const unfenced = { failover, message: refused.join('; '), devices };
    this.#failovers = this.#failovers.filter((one) => one.router !== router);
    this.#unfenced = [...others, unfenced];
    if (isNew) this.#options.onUnfenced(unfenced);
  }

  #unfencedBut(router: string): readonly Unfenced[] {
    return this.#unfenced.filter(({ failover }) => failover.router !== router);
  }

  /** Nobody can take over from it any more, or has to. */
  #forget(router: string): void {
    const others = this.#unfencedBut(router);
    if (others.length === this.#unfenced.length) return;
    this.#unfenced = others;
    this.#write();
  }

  /** Who is in step with the dead router, rather than who is not, and what puts it in place; null when nobody can take over. */
  #choose(
    duty: OnDuty,
  ): { readonly candidate: Candidate; readonly placements: readonly NetlinkRequest[] } | null {
    const { isSynced } = this.#options;
    // Who was in step when it died is told to follow nobody while it cannot be cut off.
    const chosen = this.#unfenced.find(({ failover }) => failover.router === duty.router)?.failover.promoted;
    const rank = ({ standby }: Candidate): number => (standby === chosen ? 2 : Number(isSynced(standby)));
    const inOrder = duty.candidates.toSorted((a, b) => rank(b) - rank(a));
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
  #write(failovers = this.#failovers): readonly string[] {
    const named = new Set(failovers.map(({ router }) => router));
    const unfenced = this.#unfenced
      .map(({ failover }) => failover)
      .filter(({ router }) => !named.has(router));
    try {
      writeFailovers(this.#path, [...failovers, ...unfenced]);
      return [];
    } catch (error) {
      return [`The failover could not be put on record: ${(error as Error).message}`];
    }
  }

  #fence(duty: OnDuty): readonly string[] {
    const route = this.#options.route();
    return route === null ? ['the fabric cannot be asked'] : fence(route, duty);
  }

  /** Returns what the kernel refused. */
  #place(placements: readonly NetlinkRequest[]): readonly string[] {
    const route = this.#options.route();
    if (route === null) return [];
    try {
      return route
        .batch(placements)
        .flatMap((error) => (error === null || error.code === 'netlink-not-found' ? [] : [error.message]));
    } catch (error) {
      return [(error as Error).message];
    }
  }
}
