/** Routes of both families: rtnetlink(7), `RTM_NEWROUTE` and kin. */
import type { DumpRequest, EncodeContext, NetlinkRequest, ReceivedMessage } from './request.ts';
import { invalidRequest } from './netlink-error.ts';
import {
  AF_INET6,
  type AddressFamily,
  familyName,
  familyNumber,
  familyOf,
  ipBytes,
  ipText,
  type Prefix,
  prefixBytes,
} from './wire/address-bytes.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, type WriteMode, writeFlags } from './wire/flags.ts';
import { MessageWriter } from './wire/message-writer.ts';
import {
  protocolName,
  protocolNumber,
  type RouteProtocol,
  type RouteType,
  routeTypeName,
  routeTypeNumber,
  type Scope,
  scopeName,
  scopeNumber,
  TABLE_MAIN,
} from './wire/route-names.ts';

export type { RouteProtocol, RouteType, Scope } from './wire/route-names.ts';

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA = {
  DST: 1,
  SRC: 2,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
} as const;
const RTAX_MTU = 2;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;

/** One of the ways of a route. */
export interface NextHop {
  readonly via?: string | undefined;
  readonly dev?: string | number | undefined;
  /** The gateway is reachable on `dev` although no route says so. */
  readonly onlink?: boolean | undefined;
  /** Share of the traffic, 1 to 256; 1 when absent. */
  readonly weight?: number | undefined;
}

/** What the requests on routes take. */
export interface RouteOptions {
  /** `10.0.0.0/8`, or `default` together with a family (that of `via` when absent, else IPv4). */
  readonly destination: string;
  readonly family?: AddressFamily | undefined;
  readonly via?: string | undefined;
  readonly dev?: string | number | undefined;
  readonly onlink?: boolean | undefined;
  readonly nextHops?: readonly NextHop[] | undefined;
  /** 254, the main table, when absent. */
  readonly table?: number | undefined;
  readonly metric?: number | undefined;
  readonly scope?: Scope | undefined;
  readonly type?: RouteType | undefined;
  /** Who made it: `boot` when absent, as with ip(8). */
  readonly protocol?: RouteProtocol | undefined;
  readonly preferredSource?: string | undefined;
  readonly mtu?: number | undefined;
}

export interface RouteFilter {
  readonly family?: AddressFamily | undefined;
  readonly table?: number | undefined;
  readonly dev?: string | number | undefined;
  readonly protocol?: RouteProtocol | undefined;
}

/** A route as the kernel reports it. */
export interface Route {
  readonly family: AddressFamily;
  /** Prefix, or `default`. */
  readonly destination: string;
  readonly via: string | null;
  /** Index of the outgoing link, or null (multipath, blackhole). */
  readonly link: number | null;
  readonly onlink: boolean;
  readonly table: number;
  readonly metric: number;
  readonly scope: Scope;
  readonly type: RouteType;
  readonly protocol: RouteProtocol;
  readonly preferredSource: string | null;
  readonly mtu: number | null;
  readonly nextHops: readonly { via: string | null; link: number; onlink: boolean; weight: number }[];
}

const index = (context: EncodeContext, dev: string | number): number =>
  typeof dev === 'number' ? dev : context.linkIndex(dev);

const target = (options: RouteOptions): { prefix: Prefix | null; family: number } => {
  if (options.destination !== 'default') {
    const prefix = prefixBytes(options.destination);
    return { prefix: prefix.length === 0 ? null : prefix, family: familyOf(prefix.bytes) };
  }
  if (options.family !== undefined) return { prefix: null, family: familyNumber(options.family) };
  const gateway = options.via ?? options.nextHops?.find((hop) => hop.via !== undefined)?.via;
  return { prefix: null, family: gateway === undefined ? 2 : familyOf(ipBytes(gateway)) };
};

/** An address of the route's own family is a gateway; one of the other family needs its family said. */
const gatewayAttribute = (writer: MessageWriter, family: number, via: string): void => {
  const bytes = ipBytes(via);
  if (familyOf(bytes) === family) {
    writer.attribute(RTA.GATEWAY, bytes);
    return;
  }
  writer.attribute(RTA.VIA, Buffer.concat([Buffer.from([familyOf(bytes), 0]), bytes]));
};

const nextHopBytes = (writer: MessageWriter, context: EncodeContext, family: number, hop: NextHop): void => {
  if (hop.dev === undefined && hop.via === undefined) {
    throw invalidRequest('encode route', 'a next hop needs a gateway or a device');
  }
  const inner = new MessageWriter(0, 0);
  if (hop.via !== undefined) gatewayAttribute(inner, family, hop.via);
  const attributes = inner.finish().subarray(16);
  writer
    .u16(8 + attributes.length)
    .u8(hop.onlink === true ? RTNH_F_ONLINK : 0)
    .u8((hop.weight ?? 1) - 1)
    .u32(hop.dev === undefined ? 0 : index(context, hop.dev))
    .bytes(attributes);
};

/** What ip(8) assumes: host for local routes, link without a gateway, global otherwise; IPv6 has no scopes. */
const defaultScope = (options: RouteOptions, family: number, removal: boolean): number => {
  if (removal) return 255;
  if (family === AF_INET6) return 0;
  switch (options.type ?? 'unicast') {
    case 'local':
      return 254;
    case 'broadcast':
    case 'multicast':
    case 'anycast':
      return 253;
    case 'unicast':
      return options.via === undefined && options.nextHops === undefined ? 253 : 0;
    default:
      return 0;
  }
};

const routeMessage = (context: EncodeContext, type: number, flags: number, options: RouteOptions): Buffer => {
  const { prefix, family } = target(options);
  const removal = type === RTM_DELROUTE;
  const table = options.table ?? TABLE_MAIN;
  const kind = options.type === undefined ? (removal ? 0 : 1) : routeTypeNumber(options.type);
  const protocol = options.protocol === undefined ? (removal ? 0 : 3) : protocolNumber(options.protocol);
  const scope =
    options.scope === undefined ? defaultScope(options, family, removal) : scopeNumber(options.scope);
  const writer = new MessageWriter(type, flags)
    .u8(family)
    .u8(prefix?.length ?? 0)
    .u8(0)
    .u8(0)
    .u8(table < 256 ? table : 0)
    .u8(protocol)
    .u8(scope)
    .u8(kind)
    .u32(options.onlink === true ? RTNH_F_ONLINK : 0);
  if (prefix !== null) writer.attribute(RTA.DST, prefix.bytes);
  if (options.via !== undefined) gatewayAttribute(writer, family, options.via);
  if (options.preferredSource !== undefined) writer.attribute(RTA.PREFSRC, ipBytes(options.preferredSource));
  if (options.metric !== undefined) writer.attributeU32(RTA.PRIORITY, options.metric);
  if (table >= 256) writer.attributeU32(RTA.TABLE, table);
  if (options.dev !== undefined) writer.attributeU32(RTA.OIF, index(context, options.dev));
  if (options.mtu !== undefined) {
    const mtu = options.mtu;
    writer.nest(RTA.METRICS, () => writer.attributeU32(RTAX_MTU, mtu));
  }
  if (options.nextHops !== undefined) {
    const hops = options.nextHops;
    writer.nest(RTA.MULTIPATH, () => {
      for (const hop of hops) nextHopBytes(writer, context, family, hop);
    });
  }
  return writer.finish();
};

const describe = (verb: string, options: RouteOptions): string =>
  `${verb} route ${options.destination}` +
  (options.via === undefined ? '' : ` via ${options.via}`) +
  (options.dev === undefined ? '' : ` dev ${options.dev}`) +
  (options.table === undefined ? '' : ` table ${options.table}`);

const write = (mode: WriteMode, options: RouteOptions): NetlinkRequest => ({
  operation: { name: 'route-write', mode, options },
  description: describe(mode, options),
  touches: [],
  steps: [(context) => routeMessage(context, RTM_NEWROUTE, writeFlags(mode), options)],
});

const gatewayOf = (attributes: Attributes): string | null => {
  const via = attributes.bytes(RTA.VIA);
  return ipText(attributes.bytes(RTA.GATEWAY) ?? (via === undefined ? undefined : via.subarray(2))) ?? null;
};

const decodeNextHops = (bytes: Buffer | undefined): Route['nextHops'] => {
  const hops: Route['nextHops'][number][] = [];
  let at = 0;
  while (bytes !== undefined && at + 8 <= bytes.length) {
    const length = bytes.readUInt16LE(at);
    if (length < 8 || at + length > bytes.length) break;
    hops.push({
      via: gatewayOf(new Attributes(bytes, at + 8, at + length)),
      link: bytes.readInt32LE(at + 4),
      onlink: (bytes.readUInt8(at + 2) & RTNH_F_ONLINK) !== 0,
      weight: bytes.readUInt8(at + 3) + 1,
    });
    at += (length + 3) & ~3;
  }
  return hops;
};

/** Reads `RTM_NEWROUTE` and `RTM_DELROUTE`; cached clones are not routes and are left out. */
export const decodeRoute = (message: ReceivedMessage): Route | undefined => {
  if (message.type !== RTM_NEWROUTE && message.type !== RTM_DELROUTE) return undefined;
  const { buffer, start } = message;
  const flags = buffer.readUInt32LE(start + 8);
  if ((flags & RTM_F_CLONED) !== 0) return undefined;
  const all = new Attributes(buffer, start + 12, message.end);
  const length = buffer.readUInt8(start + 1);
  const destination = ipText(all.bytes(RTA.DST));
  return {
    family: familyName(buffer.readUInt8(start)),
    destination: destination === undefined ? 'default' : `${destination}/${length}`,
    via: gatewayOf(all),
    link: all.u32(RTA.OIF) ?? null,
    onlink: (flags & RTNH_F_ONLINK) !== 0,
    table: all.u32(RTA.TABLE) ?? buffer.readUInt8(start + 4),
    metric: all.u32(RTA.PRIORITY) ?? 0,
    scope: scopeName(buffer.readUInt8(start + 6)),
    type: routeTypeName(buffer.readUInt8(start + 7)),
    protocol: protocolName(buffer.readUInt8(start + 5)),
    preferredSource: ipText(all.bytes(RTA.PREFSRC)) ?? null,
    mtu: all.nested(RTA.METRICS)?.u32(RTAX_MTU) ?? null,
    nextHops: decodeNextHops(all.bytes(RTA.MULTIPATH)),
  };
};

/** Requests on routes. */
export const routes = {
  /** `netlink-exists` when the table has the destination with this metric. */
  add: (options: RouteOptions): NetlinkRequest => write('add', options),

  /** Adds it, or puts it in the place of the route to the same destination with the same metric. */
  replace: (options: RouteOptions): NetlinkRequest => write('replace', options),

  /** Removes the first route that fits what is given. `netlink-not-found` when none does. */
  remove: (options: RouteOptions): NetlinkRequest => ({
    operation: { name: 'route-remove', options },
    description: describe('remove', options),
    touches: [],
    steps: [(context) => routeMessage(context, RTM_DELROUTE, NLM_F_REQUEST | NLM_F_ACK, options)],
  }),

  /** The routes of all tables, or of one. */
  dump: (filter: RouteFilter = {}): DumpRequest<Route> => ({
    operation: { name: 'route-dump', options: filter },
    description: 'list routes',
    encode: (context) => {
      const writer = new MessageWriter(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP)
        .u8(filter.family === undefined ? 0 : familyNumber(filter.family))
        .u8(0)
        .u8(0)
        .u8(0)
        .u8(0)
        .u8(filter.protocol === undefined ? 0 : protocolNumber(filter.protocol))
        .u8(0)
        .u8(0)
        .u32(0);
      if (filter.table !== undefined) writer.attributeU32(RTA.TABLE, filter.table);
      if (filter.dev !== undefined) writer.attributeU32(RTA.OIF, index(context, filter.dev));
      return writer.finish();
    },
    decode: decodeRoute,
    // A table exists only while it has routes.
    ...(filter.table === undefined ? {} : { emptyOn: 'ENOENT' }),
  }),
};
