/** Does the steps of a fabric diff over netlink, all in one batch. */
import { fdb, links, type NetlinkRequest, type RouteSocket } from 'node-netlink';
import type { SegmentPort } from 'documents';
import type { PortPlace } from '../machines/machine.ts';
import { type FabricAction, portAlias, type RemoveLink, segmentAlias } from './diff.ts';

/** A step that the kernel refused. */
export interface FabricFailure {
  readonly subject: string;
  readonly message: string;
}

/** Removing veths one by one costs a grace period each; a group goes in one. Any number but 0, the group of all links. */
const DOOMED_GROUP = 0x5e17;

const bridgeSettings = { stp: false, multicastSnooping: false, forwardDelay: 0 };

const quiet = { learning: false, flood: false };
const floodingOf = (port: SegmentPort) => ({ bcastFlood: port.active, mcastFlood: port.active });

const requestsOf = (action: FabricAction, placeOf: (port: SegmentPort) => PortPlace): NetlinkRequest[] => {
  switch (action.type) {
    case 'add-bridge': {
      const { segment } = action;
      return [
        links.add({
          kind: 'bridge',
          name: segment.device,
          alias: segmentAlias(segment),
          bridge: bridgeSettings,
        }),
        // A bridge follows the least MTU of its ports until its own is set, and setting it to what it happens to be
        // does not count (br_change_mtu): hence another value first.
        links.set({ name: segment.device, mtu: segment.mtu - 1 }),
        links.set({ name: segment.device, mtu: segment.mtu, up: true }),
      ];
    }
    case 'set-bridge': {
      const { segment } = action;
      return [
        links.set({
          name: segment.device,
          alias: segmentAlias(segment),
          mtu: segment.mtu,
          bridge: bridgeSettings,
          up: true,
        }),
      ];
    }
    case 'add-port': {
      const { port } = action;
      const place = placeOf(port);
      return [
        links.add({
          kind: 'veth',
          name: port.device,
          mtu: port.mtu,
          alias: portAlias(port),
          peer: { name: port.machineDevice, mac: port.mac, mtu: port.mtu, netns: place.netns },
        }),
        links.set({
          name: port.device,
          master: action.bridge,
          bridgePort: { ...quiet, ...floodingOf(port) },
          up: true,
        }),
      ];
    }
    case 'set-port': {
      const { port } = action;
      return [
        links.set({
          name: port.device,
          alias: portAlias(port),
          mtu: port.mtu,
          master: action.bridge,
          bridgePort: action.joins ? { ...quiet, ...floodingOf(port) } : quiet,
          up: true,
        }),
      ];
    }
    case 'set-flooding':
      // Nothing but this: a request of one message stays in the batch of its neighbours.
      return [links.set({ index: action.index, bridgePort: floodingOf(action.port) })];
    case 'set-fdb': {
      const { index, port, mac } = action;
      return [fdb.replace({ dev: index ?? port.device, mac, state: 'static', sticky: true })];
    }
    case 'remove-fdb':
      return [fdb.remove({ dev: action.device, mac: action.mac })];
    case 'remove-link':
      return [links.remove({ index: action.index })];
  }
};

/** Placements make no devices. */
const noPlace = (port: SegmentPort): PortPlace => {
  throw new TypeError(`${port.id} is not to be made here`);
};

/** Links that are gone already, and entries of such links, are what a removal wants. */
const isGone = (action: FabricAction, code: string): boolean =>
  code === 'netlink-not-found' && (action.type === 'remove-link' || action.type === 'remove-fdb');

const run = (
  route: RouteSocket,
  steps: readonly (readonly [action: FabricAction, requests: readonly NetlinkRequest[]])[],
): readonly FabricFailure[] => {
  const failures: FabricFailure[] = [];
  const failed = new Set<FabricAction>();
  const owners = steps.flatMap(([action, requests]) => requests.map(() => action));
  for (const [index, error] of route.batch(steps.flatMap(([, requests]) => requests)).entries()) {
    const action = owners[index] as FabricAction;
    if (error === null || isGone(action, error.code) || failed.has(action)) continue;
    failed.add(action);
    failures.push({ subject: action.subject, message: error.message });
  }
  return failures;
};

/** Does the steps in order; those that fail are returned and do not stop the others. */
export const applyFabric = (
  route: RouteSocket,
  actions: readonly FabricAction[],
  placeOf: (port: SegmentPort) => PortPlace,
): readonly FabricFailure[] =>
  run(
    route,
    actions.map((action) => [action, requestsOf(action, placeOf)]),
  );

/** MACs that went from one port of a bridge to another. */
export interface MovedMacs {
  readonly moves: readonly { readonly port: SegmentPort; readonly mac: string; readonly from: string }[];
  /** How long the batch took, microseconds. */
  readonly microseconds: number;
}

/** Does the placements of a diff as one batch; says which MACs moved, null when none did. */
export const applyPlacements = (
  route: RouteSocket,
  placements: readonly FabricAction[],
): { readonly failures: readonly FabricFailure[]; readonly moved: MovedMacs | null } => {
  if (placements.length === 0) return { failures: [], moved: null };
  const steps = placements.map((action) => [action, requestsOf(action, noPlace)] as const);
  const since = performance.now();
  const failures = run(route, steps);
  const microseconds = Math.round((performance.now() - since) * 1000);
  const failed = new Set(failures.map(({ subject }) => subject));
  const moves = placements.flatMap((action) =>
    action.type === 'set-fdb' && action.from !== null && !failed.has(action.subject)
      ? [{ port: action.port, mac: action.mac, from: action.from }]
      : [],
  );
  return { failures, moved: moves.length === 0 ? null : { moves, microseconds } };
};

/** Removes links; several go as a group, which for the kernel is one grace period (RCU) instead of one each. */
export const removeLinks = (
  route: RouteSocket,
  removals: readonly RemoveLink[],
): readonly FabricFailure[] => {
  const [first] = removals;
  if (first === undefined) return [];
  if (removals.length === 1) return run(route, [[first, [links.remove({ index: first.index })]]]);
  return run(route, [
    ...removals.map((action) => [action, [links.set({ index: action.index, group: DOOMED_GROUP })]] as const),
    [first, [links.remove({ group: DOOMED_GROUP })]],
  ]);
};
