/** Connections as a router has them, to be put in by hand. */
import type { ConntrackEntry, ConntrackTuple, TcpState } from 'node-netlink';

/** linux/in.h */
export const TCP = 6;
const CONFIRMED = 0x8 | 0x4 | 0x2;

/** Ends with their ports; of ICMP the type and the id. */
export const tuple = (
  protocol: number,
  from: readonly [string, number],
  to: readonly [string, number],
): ConntrackTuple =>
  protocol === 1
    ? { protocol, source: from[0], destination: to[0], icmp: { type: from[1], code: 0, id: to[1] } }
    : { protocol, source: from[0], sourcePort: from[1], destination: to[0], destinationPort: to[1] };

/** A connection that was answered. */
export const entry = (
  original: ConntrackTuple,
  reply: ConntrackTuple,
  state: TcpState = 'established',
): ConntrackEntry => ({
  original,
  reply,
  status: CONFIRMED,
  mark: 0,
  timeout: 600,
  zone: 0,
  ...(original.protocol === TCP
    ? { tcp: { state, windowScaleOriginal: 7, windowScaleReply: 7, flagsOriginal: 0xb, flagsReply: 0xb } }
    : {}),
});

/** A connection of a guest through source NAT. */
export const outward = (port: number, state?: TcpState, protocol = TCP): ConntrackEntry =>
  entry(
    tuple(protocol, ['10.1.1.20', port], ['192.0.2.1', 443]),
    tuple(protocol, ['192.0.2.1', 443], ['198.51.100.10', port]),
    state,
  );
