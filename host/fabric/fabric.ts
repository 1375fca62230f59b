/** The fabric of one host: its namespace, bridges, ports, forwarding entries and port security, kept as the document wants them. */
import { statSync } from 'node:fs';
import type { HostDocument, SegmentPort } from 'documents';
import {
  monitor,
  type Monitor,
  type MonitorEvent,
  namespaces,
  openRouteSocket,
  type RouteSocket,
} from 'node-netlink';
import { type KernelNftables, openNftables } from 'nftables-json';
import type { PortPlace } from '../machines/machine.ts';
import { fabricNamespace, namespacePath } from '../names.ts';
import { applyFabric, applyPlacements, type FabricFailure, type MovedMacs, removeLinks } from './apply.ts';
import { audiblePlacements } from './audible-placements.ts';
import { diffFabric, type RemoveLink, type WantedFabric, wantedFabric } from './diff.ts';
import { observeFabric } from './observe.ts';
import type { ObservedFabric } from './observed.ts';
import { PortSecurity } from './security/apply.ts';
import { rememberingPortElements, securityElements, securityTable } from './security/render.ts';

export interface FabricOptions {
  readonly prefix: string;
  /** Something in the fabric changed, by us or by others: time to compare. */
  readonly onChange: () => void;
  /** The same before that, as it happened. */
  readonly onEvent?: (event: MonitorEvent) => void;
}

/** What is wanted, asked for when it is to be done: it may have changed while something was waited for. */
export interface FabricIntent {
  readonly document: () => HostDocument;
  /** The whole of it, where `document` is the part that can be had now. */
  readonly whole?: () => HostDocument;
  /** What was found is looked at before anything is done by it; true when `document` is another one since. */
  readonly examine?: (found: ObservedFabric) => boolean;
}

/** What one half of an apply did. */
export interface FabricOutcome {
  /** What was not as wanted, one sentence each; empty when all was right. */
  readonly reasons: readonly string[];
  readonly failures: readonly FabricFailure[];
  /** Whether all that carries the traffic of routers is where it belongs: see {@link hindersRouters}. */
  readonly placed: boolean;
  /** Why port security could not be applied; null when it is in force. */
  readonly securityFailure: string | null;
  /** Ids of ports that were made, whose machines have to take them up. */
  readonly newPorts: ReadonlySet<string>;
  /** MACs that went to another port, as those of a replaced router do; null when none did. */
  readonly moved: MovedMacs | null;
  /** Links that go when what uses them has ended. */
  readonly removals: readonly RemoveLink[];
}

/**
 * Tells failures that keep frames from the router they are meant for from those that concern a guest or probe, or a segment
 * without routers: a tenant can bring such a failure about, by a device in the way, say, and may not hold up what others do
 * on this host.
 */
const hindersRouters = ({ segments, ports, fdb }: WantedFabric): ((failure: FabricFailure) => boolean) => {
  const others = new Set(ports.filter(({ role }) => role !== 'router').map(({ id }) => id));
  const entries = fdb.filter(({ port }) => others.has(port)).map(({ id }) => id);
  const routed = new Set(ports.filter(({ role }) => role === 'router').map(({ segment }) => segment));
  const unrouted = segments.filter(({ id }) => !routed.has(id)).map(({ id }) => id);
  const excused = new Set([...others, ...entries, ...unrouted]);
  return ({ subject }) => !excused.has(subject);
};

interface Opened {
  /** Inode of the namespace: another one under the same name is another namespace. */
  readonly inode: number;
  readonly route: RouteSocket;
  readonly monitor: Monitor;
  readonly nftables: KernelNftables;
  readonly security: PortSecurity;
}

/** The host neither routes nor answers on the segments, and the frames are the bridge table's business alone. */
const settings = {
  'net.ipv4.ip_forward': 0,
  'net.ipv6.conf.all.disable_ipv6': 1,
  'net.ipv6.conf.default.disable_ipv6': 1,
};
const bridgeSettings = {
  'net.bridge.bridge-nf-call-iptables': 0,
  'net.bridge.bridge-nf-call-ip6tables': 0,
  'net.bridge.bridge-nf-call-arptables': 0,
};

/** Each call brings the kernel one half of the way; `plug` and `unplug` of one document belong together. */
export class Fabric {
  readonly #options: FabricOptions;
  readonly #namespace: string;
  readonly #elementsOf = rememberingPortElements();
  #opened: Opened | null = null;

  constructor(options: FabricOptions) {
    this.#options = options;
    this.#namespace = fabricNamespace(options.prefix);
  }

  /** Adds and changes what the document wants; returns what is left to be removed. Throws when the namespace cannot be had. */
  async plug(
    intent: FabricIntent,
    placeOf: (port: SegmentPort) => PortPlace,
    options: { readonly thorough: boolean },
  ): Promise<FabricOutcome> {
    const { route, security } = await this.#open();
    let wanted = wantedFabric(intent.document());
    const reasons: string[] = [];
    let securityFailure: string | null = null;
    try {
      if (options.thorough && (await security.touched())) security.forget();
      // Before a port comes up its rules are there.
      reasons.push(
        ...(await security.apply(securityElements(wanted.ports, this.#elementsOf), { removals: false })),
      );
    } catch (error) {
      securityFailure = (error as Error).message;
    }
    // From here to the placements nothing is waited for.
    let observed = observeFabric(route);
    if (intent.examine?.(observed) === true) observed = observeFabric(route);
    wanted = wantedFabric(intent.document());
    const whole = intent.whole === undefined ? wanted : wantedFabric(intent.whole());
    const diff = diffFabric(observed, wanted, whole);
    // Without its rules no guest gets a port; what runs goes on under the rules that are in force.
    const actions =
      securityFailure === null
        ? diff.actions
        : diff.actions.filter((action) => action.type !== 'add-port' || action.port.security === null);
    const failures = applyFabric(route, actions, placeOf);
    const had = new Set(wanted.ports.map(({ id }) => id));
    const missing = whole.ports
      .filter(({ id }) => !had.has(id))
      .map(({ id }) => ({ subject: id, message: 'Its machine has no place' }));
    const placed = applyPlacements(route, audiblePlacements(diff, whole.ports, [...failures, ...missing]));
    for (const { reason } of [...actions, ...diff.placements, ...diff.removals]) reasons.push(reason);
    const failed = [...diff.problems, ...failures, ...placed.failures, ...diff.unmoved];
    return {
      reasons,
      failures: failed,
      placed: !failed.some(hindersRouters(whole)),
      securityFailure,
      moved: placed.moved,
      newPorts: new Set(actions.flatMap((action) => (action.type === 'add-port' ? [action.port.id] : []))),
      removals: diff.removals,
    };
  }

  /** Removes some of what `plug` left over, before its machines are ended. */
  async remove(removals: readonly RemoveLink[]): Promise<readonly FabricFailure[]> {
    if (removals.length === 0) return [];
    const { route } = await this.#open();
    return removeLinks(route, removals);
  }

  /** Removes what `plug` left over and the rules of ports that are gone. */
  async unplug(
    document: HostDocument,
    removals: readonly RemoveLink[],
  ): Promise<Pick<FabricOutcome, 'reasons' | 'failures' | 'securityFailure'>> {
    const { route, security } = await this.#open();
    const failures = removeLinks(route, removals);
    try {
      const reasons = await security.apply(securityElements(wantedFabric(document).ports, this.#elementsOf), {
        removals: true,
      });
      return { reasons, failures, securityFailure: null };
    } catch (error) {
      return { reasons: [], failures, securityFailure: (error as Error).message };
    }
  }

  /** Takes up the namespace, made if it is missing. */
  async open(): Promise<void> {
    await this.#open();
  }

  /** For what has to happen now; null while the namespace is not taken up. */
  get route(): RouteSocket | null {
    return this.#opened?.route ?? null;
  }

  /** The namespace with what we hold in it, made if missing, entered anew when somebody replaced it. */
  async #open(): Promise<Opened> {
    const path = namespacePath(this.#namespace);
    if (!namespaces.exists(this.#namespace)) {
      await this.close();
      namespaces.create(this.#namespace, { loopbackUp: true });
    }
    const inode = statSync(path).ino;
    if (this.#opened?.inode === inode) return this.#opened;
    await this.close();
    namespaces.sysctl(this.#namespace, settings);
    try {
      namespaces.sysctl(this.#namespace, bridgeSettings);
    } catch {
      // A kernel without br_netfilter has no such settings, and needs none.
    }
    const nftables = openNftables({
      netns: path,
      onExit: () => {
        this.#opened?.security.forget();
        this.#options.onChange();
      },
    });
    const opened: Opened = {
      inode,
      route: openRouteSocket({ netns: this.#namespace }),
      nftables,
      security: new PortSecurity(nftables),
      monitor: monitor({ netns: this.#namespace, groups: ['link', 'neighbour', 'nftables'] }, (event) => {
        this.#options.onEvent?.(event);
        if (event.type === 'nftables') {
          const ours = event.change.pid === nftables.helperPid;
          if (ours || !event.change.tables.includes(`${securityTable.family} ${securityTable.table}`)) return;
          opened.security.forget();
        } else if (event.type === 'resync') opened.security.forget();
        this.#options.onChange();
      }),
    };
    this.#opened = opened;
    return opened;
  }

  /** Lets go of the namespace; bridges, ports and rules stay in force. */
  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = null;
    if (opened === null) return;
    opened.monitor.close();
    opened.route.close();
    await opened.security.close();
  }
}
