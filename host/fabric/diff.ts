/** From what is in the fabric namespace and what the document wants to the steps between them. Pure. */
import type { HostDocument, Segment, SegmentPort } from 'documents';
import { deviceAlias, parseDeviceAlias } from '../names.ts';
import type { ObservedFabric, ObservedLink } from './observed.ts';

interface RemoveLinkStep {
  readonly type: 'remove-link';
  readonly name: string;
  readonly index: number;
  /** The machine a port ends in; null for anything else. */
  readonly machine: string | null;
}

export type RemoveLink = RemoveLinkStep & { readonly subject: string; readonly reason: string };

/** One step. `subject` is the id of the segment, port or entry it serves; `reason` says in words what was not as wanted. */
export type FabricAction = { readonly subject: string; readonly reason: string } & (
  | RemoveLinkStep
  | { readonly type: 'add-bridge'; readonly segment: Segment }
  | { readonly type: 'set-bridge'; readonly segment: Segment }
  | { readonly type: 'add-port'; readonly port: SegmentPort; readonly bridge: string }
  | {
      readonly type: 'set-port';
      readonly port: SegmentPort;
      readonly bridge: string;
      /** It begins to carry frames by this step: who gets broadcast is set with it. */
      readonly joins: boolean;
    }
  /** Broadcast and multicast begin or cease to reach the port. */
  | { readonly type: 'set-flooding'; readonly port: SegmentPort; readonly index: number }
  | {
      readonly type: 'set-fdb';
      readonly port: SegmentPort;
      readonly mac: string;
      /** Index of the port's device; null when it is only being made. */
      readonly index: number | null;
      /** The device of the same bridge that had the MAC; null when none had. */
      readonly from: string | null;
    }
  | { readonly type: 'remove-fdb'; readonly device: string; readonly mac: string }
);

/** A thing that cannot be had, and why. */
export interface FabricProblem {
  readonly subject: string;
  readonly message: string;
}

export interface FabricDiff {
  /** In the order they have to be done: what stands in the way, additions, changes. */
  readonly actions: readonly FabricAction[];
  /**
   * Who gets which frames, to be done as one batch after `actions`: entries, then who begins to get broadcast, then who
   * ceases to, then entries that nobody wants. A router is replaced by nothing else: frames for its MACs reach the old or
   * the new one, and broadcast for the length of the batch both, never none.
   */
  readonly placements: readonly FabricAction[];
  /** What has to go when everything wanted is there and nothing uses it any more. */
  readonly removals: readonly RemoveLink[];
  readonly problems: readonly FabricProblem[];
  /** Entries that cannot be placed now, whose MAC another port of the bridge has: that one keeps it until they can. */
  readonly unmoved: readonly FabricProblem[];
}

/** The part of a document that is the fabric's. */
export type WantedFabric = Pick<HostDocument, 'segments' | 'ports' | 'fdb'>;

/** Ports of machines that are switched off have nothing to end in: they and their forwarding entries are not wanted. */
export const wantedFabric = (document: Omit<HostDocument, 'schemaVersion'>): WantedFabric => {
  const running = new Set(
    document.machines.filter((machine) => machine.state === 'running').map((machine) => machine.id),
  );
  const ports = document.ports.filter((port) => running.has(port.machine));
  const plugged = new Set(ports.map((port) => port.id));
  return { segments: document.segments, ports, fdb: document.fdb.filter((entry) => plugged.has(entry.port)) };
};

/** What a port joins. It is part of the alias: a port whose other end has to change is made anew. */
export const portDetail = (port: SegmentPort): string => `${port.machine} ${port.machineDevice} ${port.mac}`;

export const segmentAlias = (segment: Segment): string => deviceAlias('segment', segment.id);
export const portAlias = (port: SegmentPort): string => deviceAlias('port', port.id, portDetail(port));

type Difference = readonly [differs: boolean, words: string];

const words = (differences: readonly Difference[]): string =>
  differences
    .filter(([differs]) => differs)
    .map(([, text]) => text)
    .join(', ');

const bridgeDifferences = (link: ObservedLink, segment: Segment): string =>
  words([
    [link.alias !== segmentAlias(segment), 'has no alias'],
    [link.mtu !== segment.mtu, `has MTU ${link.mtu}`],
    [!link.up, 'is down'],
    [link.bridge?.stp !== false, 'has STP on'],
    [link.bridge?.multicastSnooping !== false, 'has multicast snooping on'],
  ]);

const portDifferences = (link: ObservedLink, port: SegmentPort, bridge: ObservedLink | undefined): string =>
  words([
    [link.alias !== portAlias(port), 'has no alias'],
    [bridge === undefined || link.master !== bridge.index, 'is not in its bridge'],
    [link.mtu !== port.mtu, `has MTU ${link.mtu}`],
    [!link.up, 'is down'],
    [link.port?.learning !== false, 'learns'],
    [link.port?.flood !== false, 'floods unknown unicast'],
  ]);

const floodingDifferences = (link: ObservedLink, port: SegmentPort): string =>
  words([
    [link.port?.bcastFlood !== port.active, port.active ? 'gets no broadcast' : 'gets broadcast'],
    [link.port?.mcastFlood !== port.active, port.active ? 'gets no multicast' : 'gets multicast'],
  ]);

/** How a device of the wanted name stands: usable as it is, ours but to be made anew, or somebody else's. */
const standing = (link: ObservedLink, kind: string, alias: string): 'usable' | 'anew' | 'foreign' => {
  // A device without alias under the very name is one whose making was interrupted after the first message.
  if (link.alias === alias || link.alias === null)
    return link.kind === kind ? 'usable' : link.alias === null ? 'foreign' : 'anew';
  return parseDeviceAlias(link.alias) === null ? 'foreign' : 'anew';
};

const foreign = (subject: string, name: string): FabricProblem => ({
  subject,
  message: `There is a device ${name} in the fabric namespace that is not Selvage's; remove or rename it`,
});

interface Kept {
  /** Link by wanted name, for those that stay. */
  readonly links: Map<string, ObservedLink>;
  readonly first: RemoveLink[];
  readonly problems: FabricProblem[];
  readonly blocked: Set<string>;
}

/** Sorts the devices that have wanted names. */
const keep = (observed: ObservedFabric, wanted: WantedFabric): Kept => {
  const byName = new Map(observed.links.map((link) => [link.name, link]));
  const kept: Kept = { links: new Map(), first: [], problems: [], blocked: new Set() };
  const claim = (subject: string, device: string, kind: string, alias: string) => {
    const link = byName.get(device);
    if (link === undefined) return;
    const how = standing(link, kind, alias);
    if (how === 'usable') kept.links.set(device, link);
    else if (how === 'foreign') {
      kept.problems.push(foreign(subject, device));
      kept.blocked.add(device);
    } else {
      kept.first.push({
        type: 'remove-link',
        subject,
        name: device,
        index: link.index,
        machine: null,
        reason: `${device} joined something else (${link.alias})`,
      });
    }
  };
  for (const segment of wanted.segments) claim(segment.id, segment.device, 'bridge', segmentAlias(segment));
  for (const port of wanted.ports) claim(port.id, port.device, 'veth', portAlias(port));
  return kept;
};

/** Entries of the forwarding tables: placed before wrong ones are removed; a move within a bridge is one step. */
const fdbActions = (
  observed: ObservedFabric,
  wanted: WantedFabric,
  whole: WantedFabric,
  kept: Kept,
): {
  readonly sets: FabricAction[];
  readonly removals: FabricAction[];
  readonly unmoved: readonly FabricProblem[];
} => {
  const byIndex = new Map([...kept.links.values()].map((link) => [link.index, link]));
  const allByIndex = new Map(observed.links.map((link) => [link.index, link]));
  /** Who has a MAC, by index of the bridge and MAC; also ports that are about to go. */
  const holders = new Map<string, string>();
  const ports = new Map(wanted.ports.map((port) => [port.id, port]));
  const bridgeOf = new Map(wanted.segments.map((segment) => [segment.id, segment.device]));
  const stays = (port: SegmentPort): boolean => {
    const link = kept.links.get(port.device);
    const bridge = kept.links.get(bridgeOf.get(port.segment) ?? '');
    // A port that changes its bridge loses its entries.
    return link !== undefined && bridge !== undefined && link.master === bridge.index;
  };
  const unusable = (port: SegmentPort): boolean =>
    kept.blocked.has(port.device) || kept.blocked.has(bridgeOf.get(port.segment) ?? '');
  const present = new Map<
    string,
    { readonly mac: string; readonly link: ObservedLink; readonly right: boolean }
  >();
  for (const entry of observed.fdb) {
    const holder = allByIndex.get(entry.link);
    if (holder !== undefined && holder.kind !== 'bridge' && entry.state !== 'permanent')
      holders.set(`${holder.master} ${entry.mac}`, holder.name);
    const link = byIndex.get(entry.link);
    if (link === undefined || link.kind === 'bridge' || entry.state === 'permanent') continue;
    present.set(`${link.name} ${entry.mac}`, {
      mac: entry.mac,
      link,
      right: entry.state === 'static' && entry.sticky,
    });
  }
  const sets: FabricAction[] = [];
  // A MAC has one place in a bridge; of two entries that claim it, the later one holds.
  const placed = new Map<string, string>();
  for (const entry of wanted.fdb) {
    const port = ports.get(entry.port) as SegmentPort;
    placed.set(`${bridgeOf.get(port.segment)} ${entry.mac}`, entry.id);
  }
  for (const entry of wanted.fdb) {
    const port = ports.get(entry.port) as SegmentPort;
    if (unusable(port) || placed.get(`${bridgeOf.get(port.segment)} ${entry.mac}`) !== entry.id) continue;
    const found = stays(port) ? present.get(`${port.device} ${entry.mac}`) : undefined;
    if (found?.right === true) continue;
    const bridge = kept.links.get(bridgeOf.get(port.segment) ?? '');
    const holder = holders.get(`${bridge?.index} ${entry.mac}`) ?? null;
    sets.push({
      type: 'set-fdb',
      subject: entry.id,
      port,
      mac: entry.mac,
      index: kept.links.get(port.device)?.index ?? null,
      from: holder === port.device ? null : holder,
      reason: `${entry.mac} ${found === undefined ? 'was not placed' : 'was not fixed'} on ${port.device}`,
    });
  }
  const wholePorts = new Map(whole.ports.map((port) => [port.id, port]));
  const wholeBridges = new Map(whole.segments.map((segment) => [segment.id, segment.device]));
  const unmoved: FabricProblem[] = [];
  /** MACs that have a place as soon as its machine has: to take them from where they are leaves nobody to have them. */
  const claimed = new Set<string>();
  for (const entry of whole.fdb) {
    const port = wholePorts.get(entry.port);
    const bridge = wholeBridges.get(port?.segment ?? '');
    if (port === undefined || bridge === undefined || placed.has(`${bridge} ${entry.mac}`)) continue;
    claimed.add(`${bridge} ${entry.mac}`);
    const holder = holders.get(`${kept.links.get(bridge)?.index} ${entry.mac}`);
    if (holder === undefined || holder === port.device) continue;
    const message = `${entry.mac} stays with ${holder}: there is no place for ${port.device} yet`;
    unmoved.push({ subject: entry.id, message });
  }
  const portByDevice = new Map(wanted.ports.map((port) => [port.device, port]));
  const removals: FabricAction[] = [];
  for (const { mac, link } of present.values()) {
    const port = portByDevice.get(link.name);
    if (port === undefined || !stays(port)) continue;
    const key = `${bridgeOf.get(port.segment)} ${mac}`;
    if (placed.has(key) || claimed.has(key)) continue;
    removals.push({
      type: 'remove-fdb',
      subject: port.id,
      device: link.name,
      mac,
      reason: `${mac} was placed on ${link.name} by nobody we know`,
    });
  }
  return { sets, removals, unmoved };
};

/**
 * The steps from `observed` to `wanted`. Additions come before removals, but for devices that hold a wanted name and join
 * something else. Devices without our alias are never touched.
 *
 * @param whole - what is wanted of which `wanted` is the part that can be had now. Of the rest nothing is made, and nothing
 *   that is there is taken away.
 */
export const diffFabric = (
  observed: ObservedFabric,
  wanted: WantedFabric,
  whole: WantedFabric = wanted,
): FabricDiff => {
  const kept = keep(observed, wanted);
  const additions: FabricAction[] = [];
  const changes: FabricAction[] = [];
  const flooding: Extract<FabricAction, { readonly type: 'set-flooding' }>[] = [];
  const bridgeOf = new Map(wanted.segments.map((segment) => [segment.id, segment.device]));
  for (const segment of wanted.segments) {
    if (kept.blocked.has(segment.device)) continue;
    const link = kept.links.get(segment.device);
    if (link === undefined) {
      additions.push({
        type: 'add-bridge',
        subject: segment.id,
        segment,
        reason: `bridge ${segment.device} was missing`,
      });
      continue;
    }
    const differs = bridgeDifferences(link, segment);
    if (differs !== '')
      changes.push({
        type: 'set-bridge',
        subject: segment.id,
        segment,
        reason: `bridge ${segment.device} ${differs}`,
      });
  }
  for (const port of wanted.ports) {
    const bridge = bridgeOf.get(port.segment) as string;
    if (kept.blocked.has(port.device)) continue;
    if (kept.blocked.has(bridge)) {
      kept.problems.push({ subject: port.id, message: `Its bridge ${bridge} cannot be made` });
      continue;
    }
    const link = kept.links.get(port.device);
    if (link === undefined) {
      additions.push({
        type: 'add-port',
        subject: port.id,
        port,
        bridge,
        reason: `port ${port.device} was missing`,
      });
      continue;
    }
    const there = kept.links.get(bridge);
    const differs = portDifferences(link, port, there);
    const floods = floodingDifferences(link, port);
    // One that carries nothing yet gets all its settings before it does.
    const joins = !link.up || link.port === undefined || link.master !== there?.index;
    if (differs !== '')
      changes.push({
        type: 'set-port',
        subject: port.id,
        port,
        bridge,
        joins,
        reason: `port ${port.device} ${joins ? [differs, floods].filter(Boolean).join(', ') : differs}`,
      });
    if (floods !== '' && !joins)
      flooding.push({
        type: 'set-flooding',
        subject: port.id,
        port,
        index: link.index,
        reason: `port ${port.device} ${floods}`,
      });
  }
  const { sets, removals, unmoved } = fdbActions(observed, wanted, whole, kept);
  const later = new Map(whole.ports.map((port) => [port.device, portAlias(port)]));
  const goes = new Set(kept.first.map((action) => action.index));
  const stale = observed.links
    .filter((link) => !kept.links.has(link.name) && !goes.has(link.index))
    .flatMap((link): RemoveLink[] => {
      const alias = parseDeviceAlias(link.alias);
      if (alias === null || kept.blocked.has(link.name)) return [];
      if (link.alias !== null && later.get(link.name) === link.alias) return [];
      const reason = `${link.name} belongs to nothing wanted`;
      const machine = alias.kind === 'port' ? (alias.detail.split(' ')[0] ?? null) : null;
      return [
        { type: 'remove-link', subject: alias.id, name: link.name, index: link.index, machine, reason },
      ];
    })
    // Ports before the bridges they are in.
    .toSorted((a, b) => Number(isBridge(observed, a)) - Number(isBridge(observed, b)));
  return {
    actions: [...kept.first, ...additions, ...changes],
    // Make before break.
    placements: [
      ...sets,
      ...flooding.toSorted((a, b) => Number(b.port.active) - Number(a.port.active)),
      ...removals,
    ],
    removals: stale,
    problems: kept.problems,
    unmoved,
  };
};

const isBridge = (observed: ObservedFabric, action: RemoveLink): boolean =>
  observed.links.some((link) => link.index === action.index && link.kind === 'bridge');
