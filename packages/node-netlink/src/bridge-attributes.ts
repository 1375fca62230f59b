/** Settings of a bridge and of its ports: linux/if_link.h `IFLA_BR_*`, `IFLA_BRPORT_*`. */
import { IFLA_BR, IFLA_BRPORT } from './wire/link-constants.ts';
import type { Attributes } from './wire/attributes.ts';
import type { MessageWriter } from './wire/message-writer.ts';

/** Settings of a bridge. */
export interface BridgeOptions {
  readonly vlanFiltering?: boolean | undefined;
  /** PVID of new ports; 0 for none. */
  readonly vlanDefaultPvid?: number | undefined;
  /** Seconds a learnt entry lives without traffic; kept to 1/100 s. */
  readonly ageingTime?: number | undefined;
  readonly multicastSnooping?: boolean | undefined;
  readonly multicastQuerier?: boolean | undefined;
  readonly stp?: boolean | undefined;
  /** Seconds, kept to 1/100 s. */
  readonly forwardDelay?: number | undefined;
  readonly priority?: number | undefined;
  /** Bits of 01:80:c2:00:00:0x groups that are forwarded. */
  readonly groupForwardMask?: number | undefined;
  readonly callIptables?: boolean | undefined;
  readonly callIp6tables?: boolean | undefined;
  readonly callArptables?: boolean | undefined;
}

/** Settings of a port of a bridge; see bridge(8), `bridge link set`. */
export interface BridgePortOptions {
  readonly learning?: boolean | undefined;
  /** Unknown unicast goes out of this port. */
  readonly flood?: boolean | undefined;
  readonly bcastFlood?: boolean | undefined;
  readonly mcastFlood?: boolean | undefined;
  /** Isolated ports cannot reach each other. */
  readonly isolated?: boolean | undefined;
  readonly hairpin?: boolean | undefined;
  readonly neighSuppress?: boolean | undefined;
  /** BPDU guard: a BPDU received disables the port. */
  readonly guard?: boolean | undefined;
  readonly rootBlock?: boolean | undefined;
  readonly fastLeave?: boolean | undefined;
  readonly proxyArp?: boolean | undefined;
  readonly mcastToUnicast?: boolean | undefined;
  readonly vlanTunnel?: boolean | undefined;
  /** Only MACs with an FDB entry on this port may send. */
  readonly locked?: boolean | undefined;
  readonly cost?: number | undefined;
  readonly priority?: number | undefined;
  readonly state?: 'disabled' | 'listening' | 'learning' | 'forwarding' | 'blocking' | undefined;
}

const portStates = ['disabled', 'listening', 'learning', 'forwarding', 'blocking'] as const;

const bridgeFlags = [
  ['vlanFiltering', IFLA_BR.VLAN_FILTERING],
  ['multicastSnooping', IFLA_BR.MCAST_SNOOPING],
  ['multicastQuerier', IFLA_BR.MCAST_QUERIER],
  ['callIptables', IFLA_BR.NF_CALL_IPTABLES],
  ['callIp6tables', IFLA_BR.NF_CALL_IP6TABLES],
  ['callArptables', IFLA_BR.NF_CALL_ARPTABLES],
] as const;

const portFlags = [
  ['guard', IFLA_BRPORT.GUARD],
  ['hairpin', IFLA_BRPORT.MODE],
  ['fastLeave', IFLA_BRPORT.FAST_LEAVE],
  ['rootBlock', IFLA_BRPORT.PROTECT],
  ['flood', IFLA_BRPORT.UNICAST_FLOOD],
  ['mcastFlood', IFLA_BRPORT.MCAST_FLOOD],
  ['bcastFlood', IFLA_BRPORT.BCAST_FLOOD],
  ['mcastToUnicast', IFLA_BRPORT.MCAST_TO_UCAST],
  ['learning', IFLA_BRPORT.LEARNING],
  ['proxyArp', IFLA_BRPORT.PROXYARP],
  ['neighSuppress', IFLA_BRPORT.NEIGH_SUPPRESS],
  ['vlanTunnel', IFLA_BRPORT.VLAN_TUNNEL],
  ['isolated', IFLA_BRPORT.ISOLATED],
  ['locked', IFLA_BRPORT.LOCKED],
] as const;

/** Seconds as the kernel's clock_t, 1/100 s on every architecture Linux exposes to user space. */
const clock = (seconds: number): number => Math.round(seconds * 100);

export const bridgeAttributes = (writer: MessageWriter, bridge: BridgeOptions): void => {
  if (bridge.forwardDelay !== undefined)
    writer.attributeU32(IFLA_BR.FORWARD_DELAY, clock(bridge.forwardDelay));
  if (bridge.ageingTime !== undefined) writer.attributeU32(IFLA_BR.AGEING_TIME, clock(bridge.ageingTime));
  if (bridge.stp !== undefined) writer.attributeU32(IFLA_BR.STP_STATE, Number(bridge.stp));
  if (bridge.priority !== undefined) writer.attributeU16(IFLA_BR.PRIORITY, bridge.priority);
  if (bridge.vlanDefaultPvid !== undefined)
    writer.attributeU16(IFLA_BR.VLAN_DEFAULT_PVID, bridge.vlanDefaultPvid);
  if (bridge.groupForwardMask !== undefined)
    writer.attributeU16(IFLA_BR.GROUP_FWD_MASK, bridge.groupForwardMask);
  for (const [name, type] of bridgeFlags) {
    const value = bridge[name];
    if (value !== undefined) writer.attributeU8(type, value);
  }
};

export const bridgePortAttributes = (writer: MessageWriter, port: BridgePortOptions): void => {
  for (const [name, type] of portFlags) {
    const value = port[name];
    if (value !== undefined) writer.attributeU8(type, value);
  }
  if (port.cost !== undefined) writer.attributeU32(IFLA_BRPORT.COST, port.cost);
  if (port.priority !== undefined) writer.attributeU16(IFLA_BRPORT.PRIORITY, port.priority);
  if (port.state !== undefined) writer.attributeU8(IFLA_BRPORT.STATE, portStates.indexOf(port.state));
};

/** A port of a bridge as the kernel reports it. */
export type BridgePortState = NonNullable<BridgePortOptions['state']>;

export interface BridgePort {
  readonly learning: boolean;
  readonly flood: boolean;
  readonly bcastFlood: boolean;
  readonly mcastFlood: boolean;
  readonly isolated: boolean;
  readonly hairpin: boolean;
  readonly neighSuppress: boolean;
  readonly guard: boolean;
  readonly rootBlock: boolean;
  readonly fastLeave: boolean;
  readonly proxyArp: boolean;
  readonly mcastToUnicast: boolean;
  readonly vlanTunnel: boolean;
  readonly locked: boolean;
  readonly cost: number;
  readonly priority: number;
  readonly state: BridgePortState;
}

/** A bridge as the kernel reports it. Times in seconds. */
export interface BridgeState {
  readonly vlanFiltering: boolean;
  readonly vlanDefaultPvid: number;
  readonly ageingTime: number;
  readonly multicastSnooping: boolean;
  readonly multicastQuerier: boolean;
  readonly stp: boolean;
  readonly forwardDelay: number;
  readonly priority: number;
  readonly groupForwardMask: number;
  readonly callIptables: boolean;
  readonly callIp6tables: boolean;
  readonly callArptables: boolean;
}

export const decodeBridgePort = (attributes: Attributes): BridgePort => {
  const flag = (type: number): boolean => attributes.boolean(type) ?? false;
  return {
    learning: flag(IFLA_BRPORT.LEARNING),
    flood: flag(IFLA_BRPORT.UNICAST_FLOOD),
    bcastFlood: flag(IFLA_BRPORT.BCAST_FLOOD),
    mcastFlood: flag(IFLA_BRPORT.MCAST_FLOOD),
    isolated: flag(IFLA_BRPORT.ISOLATED),
    hairpin: flag(IFLA_BRPORT.MODE),
    neighSuppress: flag(IFLA_BRPORT.NEIGH_SUPPRESS),
    guard: flag(IFLA_BRPORT.GUARD),
    rootBlock: flag(IFLA_BRPORT.PROTECT),
    fastLeave: flag(IFLA_BRPORT.FAST_LEAVE),
    proxyArp: flag(IFLA_BRPORT.PROXYARP),
    mcastToUnicast: flag(IFLA_BRPORT.MCAST_TO_UCAST),
    vlanTunnel: flag(IFLA_BRPORT.VLAN_TUNNEL),
    locked: flag(IFLA_BRPORT.LOCKED),
    cost: attributes.u32(IFLA_BRPORT.COST) ?? 0,
    priority: attributes.u16(IFLA_BRPORT.PRIORITY) ?? 0,
    state: portStates[attributes.u8(IFLA_BRPORT.STATE) ?? 0] ?? 'disabled',
  };
};

export const decodeBridge = (attributes: Attributes): BridgeState => {
  const flag = (type: number): boolean => attributes.boolean(type) ?? false;
  return {
    vlanFiltering: flag(IFLA_BR.VLAN_FILTERING),
    vlanDefaultPvid: attributes.u16(IFLA_BR.VLAN_DEFAULT_PVID) ?? 0,
    ageingTime: (attributes.u32(IFLA_BR.AGEING_TIME) ?? 0) / 100,
    multicastSnooping: flag(IFLA_BR.MCAST_SNOOPING),
    multicastQuerier: flag(IFLA_BR.MCAST_QUERIER),
    stp: (attributes.u32(IFLA_BR.STP_STATE) ?? 0) !== 0,
    forwardDelay: (attributes.u32(IFLA_BR.FORWARD_DELAY) ?? 0) / 100,
    priority: attributes.u16(IFLA_BR.PRIORITY) ?? 0,
    groupForwardMask: attributes.u16(IFLA_BR.GROUP_FWD_MASK) ?? 0,
    callIptables: flag(IFLA_BR.NF_CALL_IPTABLES),
    callIp6tables: flag(IFLA_BR.NF_CALL_IP6TABLES),
    callArptables: flag(IFLA_BR.NF_CALL_ARPTABLES),
  };
};
