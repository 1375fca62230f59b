/** A link as the kernel reports it. */
import { decodeBridge, decodeBridgePort, type BridgePort, type BridgeState } from './bridge-attributes.ts';
import type { ReceivedMessage } from './request.ts';
import { AF_BRIDGE, ipText, macText } from './wire/address-bytes.ts';
import { Attributes } from './wire/attributes.ts';
import {
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_NOARP,
  IFF_PROMISC,
  IFF_RUNNING,
  IFF_UP,
  IFLA,
  IFLA_INFO,
  IFLA_VLAN,
  IFLA_VXLAN,
  RTM_DELLINK,
  RTM_NEWLINK,
} from './wire/link-constants.ts';

export type { BridgePort, BridgePortState, BridgeState } from './bridge-attributes.ts';

/** RFC 2863 state. */
export type OperState =
  | 'unknown'
  | 'not-present'
  | 'down'
  | 'lower-layer-down'
  | 'testing'
  | 'dormant'
  | 'up';

const operStates: readonly OperState[] = [
  'unknown',
  'not-present',
  'down',
  'lower-layer-down',
  'testing',
  'dormant',
  'up',
];

export interface VxlanState {
  readonly id: number;
  readonly local: string | null;
  readonly remote: string | null;
  readonly port: number;
  readonly learning: boolean;
  /** Index of the underlying device, or null. */
  readonly dev: number | null;
}

export interface VlanState {
  readonly id: number;
  readonly protocol: '802.1Q' | '802.1ad';
}

/** Counters since the link was made. */
export interface LinkStatistics {
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxErrors: number;
  readonly txErrors: number;
  readonly rxDropped: number;
  readonly txDropped: number;
}

/** A link. Indices are of the namespace it was read in. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** `veth`, `bridge`, ...; null for devices without a kind, such as the loopback. */
  readonly kind: string | null;
  readonly mac: string | null;
  readonly mtu: number;
  /** Administratively up. */
  readonly up: boolean;
  readonly running: boolean;
  readonly carrier: boolean;
  readonly operState: OperState;
  readonly loopback: boolean;
  readonly arp: boolean;
  readonly promiscuous: boolean;
  readonly alias: string | null;
  /** Index of the bridge (or other master) it belongs to, or null. */
  readonly master: number | null;
  /** Index of the veth peer or of the device beneath, or null. */
  readonly parent: number | null;
  /** Set when `parent` lives in another namespace: the kernel's id of that namespace. */
  readonly parentNamespace: number | null;
  readonly group: number;
  readonly txQueueLength: number;
  /** `IFF_*` as the kernel gave them. */
  readonly flags: number;
  readonly bridge?: BridgeState;
  readonly bridgePort?: BridgePort;
  readonly vxlan?: VxlanState;
  readonly vlan?: VlanState;
  readonly statistics?: LinkStatistics;
}

const decodeStatistics = (bytes: Buffer): LinkStatistics => {
  const counter = (i: number): number => Number(bytes.readBigUInt64LE(i * 8));
  return {
    rxPackets: counter(0),
    txPackets: counter(1),
    rxBytes: counter(2),
    txBytes: counter(3),
    rxErrors: counter(4),
    txErrors: counter(5),
    rxDropped: counter(6),
    txDropped: counter(7),
  };
};

const decodeVxlan = (data: Attributes): VxlanState => ({
  id: data.u32(IFLA_VXLAN.ID) ?? 0,
  local: ipText(data.bytes(IFLA_VXLAN.LOCAL) ?? data.bytes(IFLA_VXLAN.LOCAL6)) ?? null,
  remote: ipText(data.bytes(IFLA_VXLAN.GROUP) ?? data.bytes(IFLA_VXLAN.GROUP6)) ?? null,
  port: data.u16BE(IFLA_VXLAN.PORT) ?? 0,
  learning: data.boolean(IFLA_VXLAN.LEARNING) ?? false,
  dev: data.u32(IFLA_VXLAN.LINK) ?? null,
});

const decodeKind = (kind: string | null, data: Attributes | undefined): Partial<Link> => {
  if (data === undefined) return {};
  switch (kind) {
    case 'bridge':
      return { bridge: decodeBridge(data) };
    case 'vxlan':
      return { vxlan: decodeVxlan(data) };
    case 'vlan':
      return {
        vlan: {
          id: data.u16(IFLA_VLAN.ID) ?? 0,
          protocol: data.u16BE(IFLA_VLAN.PROTOCOL) === 0x88a8 ? '802.1ad' : '802.1Q',
        },
      };
    default:
      return {};
  }
};

/** Settings of a port come in two places: with the link itself, and in notifications of the bridge. */
const bridgePortOf = (
  family: number,
  all: Attributes,
  info: Attributes | undefined,
): BridgePort | undefined => {
  if (family === AF_BRIDGE) {
    const protocolInfo = all.nested(IFLA.PROTINFO);
    return protocolInfo === undefined ? undefined : decodeBridgePort(protocolInfo);
  }
  if (info?.string(IFLA_INFO.SLAVE_KIND) !== 'bridge') return undefined;
  const data = info.nested(IFLA_INFO.SLAVE_DATA);
  return data === undefined ? undefined : decodeBridgePort(data);
};

/** Reads `RTM_NEWLINK` and `RTM_DELLINK`; undefined for anything else. */
export const decodeLink = (message: ReceivedMessage): Link | undefined => {
  if (message.type !== RTM_NEWLINK && message.type !== RTM_DELLINK) return undefined;
  const { buffer, start } = message;
  const family = buffer.readUInt8(start);
  const flags = buffer.readUInt32LE(start + 8);
  const all = new Attributes(buffer, start + 16, message.end);
  const info = all.nested(IFLA.LINKINFO);
  const kind = info?.string(IFLA_INFO.KIND) ?? null;
  const statistics = all.bytes(IFLA.STATS64);
  const bridgePort = bridgePortOf(family, all, info);
  return {
    index: buffer.readInt32LE(start + 4),
    name: all.string(IFLA.IFNAME) ?? '',
    kind,
    mac: macText(all.bytes(IFLA.ADDRESS)),
    mtu: all.u32(IFLA.MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_RUNNING) !== 0,
    carrier: all.boolean(IFLA.CARRIER) ?? (flags & IFF_LOWER_UP) !== 0,
    operState: operStates[all.u8(IFLA.OPERSTATE) ?? 0] ?? 'unknown',
    loopback: (flags & IFF_LOOPBACK) !== 0,
    arp: (flags & IFF_NOARP) === 0,
    promiscuous: (flags & IFF_PROMISC) !== 0,
    alias: all.string(IFLA.IFALIAS) ?? null,
    master: all.u32(IFLA.MASTER) ?? null,
    parent: all.u32(IFLA.LINK) ?? null,
    parentNamespace: all.i32(IFLA.LINK_NETNSID) ?? null,
    group: all.u32(IFLA.GROUP) ?? 0,
    txQueueLength: all.u32(IFLA.TXQLEN) ?? 0,
    flags,
    ...decodeKind(kind, info?.nested(IFLA_INFO.DATA)),
    ...(bridgePort === undefined ? {} : { bridgePort }),
    ...(statistics === undefined || statistics.length < 64
      ? {}
      : { statistics: decodeStatistics(statistics) }),
  };
};
