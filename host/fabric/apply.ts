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

const portSettings = (port: SegmentPort) => ({
  learning: false,
  flood: false,
  bcastFlood: port.active,
  mcastFlood: port.active,
});

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
        links.set({ name: port.device, master: action.bridge, bridgePort: portSettings(port), up: true }),
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
          bridgePort: portSettings(port),
          up: true,
        }),
      ];
    }
    case 'set-fdb':
      return [fdb.replace({ dev: action.device, mac: action.mac, state: 'static', sticky: true })];
    case 'remove-fdb':
      return [fdb.remove({ dev: action.device, mac: action.mac })];
    case 'remove-link':
      return [links.remove({ index: action.index })];
  }
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
