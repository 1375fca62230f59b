/** Reads what is in the fabric namespace. */
import { fdb, links, type RouteSocket } from 'node-netlink';
import type { ObservedFabric, ObservedLink } from './observed.ts';

/** All links and forwarding entries, two dumps. Throws NetlinkError. */
export const observeFabric = (route: RouteSocket): ObservedFabric => ({
  links: route.dump(links.dump()).map((link): ObservedLink => {
    const { index, name, kind, alias, mtu, up, carrier, master } = link;
    return {
      index,
      name,
      kind,
      alias,
      mtu,
      up,
      carrier,
      master,
      ...(link.bridge === undefined
        ? {}
        : { bridge: { stp: link.bridge.stp, multicastSnooping: link.bridge.multicastSnooping } }),
      ...(link.bridgePort === undefined ? {} : { port: link.bridgePort }),
    };
  }),
  fdb: route
    .dump(fdb.dump())
    .filter((entry) => entry.table === 'master')
    .map(({ link, mac, state, sticky }) => ({ link, mac, state, sticky })),
});
