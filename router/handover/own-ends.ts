import {
  type ConntrackEntry,
  type ConntrackFilter,
  type ConntrackTuple,
  IPS_CONFIRMED,
  type TcpState,
} from 'node-netlink';

/** linux/in.h */
const TCP = 6;

/** Loopback, this network, multicast and the limited broadcast: never between two other machines. */
const NEVER_FORWARDED = /^(?:0\.|127\.|22[4-9]\.|23\d\.|255\.255\.255\.255$|::1$|::$|fe80:|ff)/;

/** Whether a connection ends in the router: it opened it, or answers it. `own` are the addresses of its legs. */
export const endsHere = (
  { original, reply }: Pick<ConntrackEntry, 'original' | 'reply'>,
  own: ReadonlySet<string>,
): boolean =>
  own.has(original.source) ||
  own.has(reply.source) ||
  NEVER_FORWARDED.test(original.source) ||
  NEVER_FORWARDED.test(reply.source);

/** TCP states in which both ends know of the connection and something may still be said. */
const OPEN: ReadonlySet<TcpState> = new Set(['established', 'fin-wait', 'close-wait'] as const);

/**
 * All entries but TCP connections that are half open or over. A busy router has tens of thousands in TIME_WAIT, for two
 * minutes each, and reading them is what takes long. None of them is anybody else's to know: a segment that comes late is
 * first offered to the router that has the entry, for as long as it is there, and when it has gone an acknowledgement of what
 * was acknowledged before finds nobody waiting. A new connection of the same ports is new to everybody.
 */
export const NOT_OVER: ConntrackFilter = { tcpStates: OPEN };

/** A TCP connection between its handshake and its end. */
export const isOpenTcp = ({ tcp }: Pick<ConntrackEntry, 'tcp'>): boolean =>
  tcp !== undefined && OPEN.has(tcp.state);

/** TCP states in which nobody waits for anything any more. */
const OVER: ReadonlySet<TcpState> = new Set(['last-ack', 'time-wait', 'close'] as const);

/** Whether a TCP connection has ended. */
export const isOverTcp = ({ tcp }: Pick<ConntrackEntry, 'tcp'>): boolean =>
  tcp !== undefined && OVER.has(tcp.state);

/** What has less to live, seconds, may be gone before anybody has looked whether it was carried over. */
const SHORT_LIFE = 3;

/**
 * Whether an entry is worth carrying to another router. Handshakes and connections that are ending stay where they are:
 * the older router sees them through, and a copy of a state that lasts for milliseconds is wrong when it arrives.
 */
export const isLasting = (entry: Pick<ConntrackEntry, 'original' | 'status' | 'timeout' | 'tcp'>): boolean =>
  (entry.status & IPS_CONFIRMED) !== 0 &&
  entry.timeout >= SHORT_LIFE &&
  (entry.original.protocol !== TCP || isOpenTcp(entry));

/** One tuple in words, as for people: `tcp 10.1.1.10:40000 > 192.0.2.1:80`. */
export const tupleText = ({
  protocol,
  source,
  destination,
  sourcePort,
  destinationPort,
}: ConntrackTuple): string =>
  sourcePort === undefined
    ? `${protocol} ${source} > ${destination}`
    : `${protocol} ${source}:${sourcePort} > ${destination}:${destinationPort}`;
