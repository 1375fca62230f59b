/** rtnetlink, conntrack and network namespaces of Linux, from Node.js without a compiler. */
export { addresses } from './addresses.ts';
export type { Address, AddressFilter, AddressOptions, AddressRemoval } from './addresses.ts';
export {
  invertTuple,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_DST_NAT,
  IPS_SEEN_REPLY,
  IPS_SRC_NAT,
  matchesFilter,
  TCP_LIBERAL,
  translationOf,
  tupleKey,
} from './conntrack-entry.ts';
export type {
  ConntrackCounters,
  ConntrackEntry,
  ConntrackFilter,
  ConntrackName,
  ConntrackTcp,
  ConntrackTranslation,
  ConntrackTuple,
  TcpState,
} from './conntrack-entry.ts';
export { openConntrackSocket } from './conntrack-socket.ts';
export type { ConntrackSocket, ConntrackSocketOptions } from './conntrack-socket.ts';
export { fdb } from './fdb.ts';
export type { FdbEntry, FdbFilter, FdbOptions, FdbRemoval, FdbState } from './fdb.ts';
export { links } from './links.ts';
export type {
  BridgeOptions,
  BridgePort,
  BridgePortOptions,
  BridgePortState,
  BridgeState,
} from './bridge-attributes.ts';
export type { Link, LinkStatistics, OperState, VlanState, VxlanState } from './link-decode.ts';
export type {
  BridgeLinkOptions,
  CommonLinkOptions,
  LinkChange,
  LinkFilter,
  LinkOptions,
  LinkSelector,
  NamespaceReference,
  PlainLinkOptions,
  TunLinkOptions,
  VethOptions,
  VlanLinkOptions,
  VxlanLinkOptions,
} from './link-options.ts';
export { monitor } from './monitor.ts';
export type { Change, Monitor, MonitorEvent, MonitorGroup, MonitorOptions } from './monitor.ts';
export { namespaces } from './namespaces.ts';
export type { NamespaceOptions } from './namespaces.ts';
export { neighbours } from './neighbours.ts';
export type {
  Neighbour,
  NeighbourFilter,
  NeighbourOptions,
  NeighbourRemoval,
  NeighbourState,
} from './neighbours.ts';
export { NetlinkError } from './netlink-error.ts';
export type { NetlinkErrorCode } from './netlink-error.ts';
export type { NftablesChange } from './nftables-change.ts';
export { openNftablesGeneration } from './nftables-generation.ts';
export type { NftablesGeneration } from './nftables-generation.ts';
export { qdiscs } from './qdiscs.ts';
export type { Qdisc, QdiscFilter, QdiscOptions, QdiscRemoval } from './qdiscs.ts';
export type { DumpRequest, NetlinkRequest, Operation } from './request.ts';
export { type PortOwner, retireSockets, type RetiredPorts } from './retire-sockets.ts';
export { openRouteSocket } from './route-socket.ts';
export type { RouteSocket, RouteSocketOptions } from './route-socket.ts';
export { routes } from './routes.ts';
export type { NextHop, Route, RouteFilter, RouteOptions, RouteProtocol, RouteType, Scope } from './routes.ts';
export { rules } from './rules.ts';
export type { Rule, RuleAction, RuleFilter, RuleOptions } from './rules.ts';
export { trimMemory } from './trim-memory.ts';
export { processStartTime, watchProcess } from './watch-process.ts';
export type { ProcessWatch } from './watch-process.ts';
export type { AddressFamily } from './wire/address-bytes.ts';
