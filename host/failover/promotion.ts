/** What takes a router off the net and puts its standby in its place: the fence, then the placements, in one batch. */
import { fdb, links, type Link, NetlinkError, type NetlinkRequest, type RouteSocket } from 'node-netlink';
import type { Candidate, OnDuty } from './on-duty.ts';

/** The device as it is now; null when there is none. Throws NetlinkError. */
export const linkOf = (route: RouteSocket, name: string): Link | null => {
  try {
    return route.send(links.get({ name }));
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'netlink-not-found') return null;
    throw error;
  }
};

/** The dead router's ports go down: from then on nothing of it is heard, and nothing reaches it, should it live after all. */
export const fenceOf = (route: RouteSocket, { ports }: OnDuty): readonly NetlinkRequest[] =>
  ports.flatMap(({ port }) => {
    const link = linkOf(route, port.device);
    return link === null ? [] : [links.set({ index: link.index, up: false })];
  });

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
