/** What takes a router off the net, and what puts its standby in its place once it is off. */
import { fdb, links, type Link, NetlinkError, type NetlinkRequest, type RouteSocket } from 'node-netlink';
import type { Candidate, OnDuty } from './on-duty.ts';

/** How often a fence is tried before it counts as refused. At once, as each try costs microseconds and frames are lost. */
export const FENCE_TRIES = 3;

/** The device as it is now; null when there is none. Throws NetlinkError. */
export const linkOf = (route: RouteSocket, name: string): Link | null => {
  try {
    return route.send(links.get({ name }));
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'netlink-not-found') return null;
    throw error;
  }
};

/**
 * The dead router's ports go down: from then on nothing of it is heard, and nothing reaches it, should it live after all.
 * Nothing for ports that are gone, or down already. Throws NetlinkError.
 */
export const fenceOf = (route: RouteSocket, { ports }: OnDuty): readonly NetlinkRequest[] =>
  ports.flatMap(({ port }) => {
    const link = linkOf(route, port.device);
    return link === null || !link.up ? [] : [links.set({ index: link.index, up: false })];
  });

/**
 * Takes the dead router's ports off the net. Returns why that cannot be done; empty when each of them is down or gone, and
 * only then may another have its MACs.
 */
export const fence = (route: RouteSocket, duty: OnDuty): readonly string[] => {
  let refused: readonly string[] = [];
  for (let turn = 0; turn < FENCE_TRIES; turn += 1) {
    try {
      const requests = fenceOf(route, duty);
      // ENODEV: it went between the look and the request.
      refused = (requests.length === 0 ? [] : route.batch(requests)).flatMap((error) =>
        error === null || error.errno === 'ENODEV' ? [] : [error.message],
      );
    } catch (error) {
      refused = [(error as Error).message];
    }
    if (refused.length === 0) break;
  }
  return refused;
};

/**
 * The dead router's MACs lead to the standby, which begins to get broadcast. null when it cannot take over: each of its
 * ports has to be there and have carrier, which it has once its router is configured. Throws NetlinkError.
 */
export const placementsOf = (
  route: RouteSocket,
  duty: OnDuty,
  candidate: Candidate,
): readonly NetlinkRequest[] | null => {
  const entries: NetlinkRequest[] = [];
  const flooding: NetlinkRequest[] = [];
  for (const [leg, { device }] of candidate.ports.entries()) {
    const link = linkOf(route, device);
    if (link === null || !link.up || !link.carrier) return null;
    for (const mac of duty.ports[leg]?.macs ?? [])
      entries.push(fdb.replace({ dev: link.index, mac, state: 'static', sticky: true }));
    flooding.push(links.set({ index: link.index, bridgePort: { bcastFlood: true, mcastFlood: true } }));
  }
  return [...entries, ...flooding];
};
