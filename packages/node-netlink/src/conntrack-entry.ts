/** Connection tracking entries as plain data, and what can be computed from them without the kernel. */

/** One direction of a connection. Ports for TCP, UDP and the like, an id for ICMP echo. */
export interface ConntrackTuple {
  readonly source: string;
  readonly destination: string;
  /** IP protocol number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6. */
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmp?: { readonly type: number; readonly code: number; readonly id: number };
}

export type TcpState =
  | 'none'
  | 'syn-sent'
  | 'syn-recv'
  | 'established'
  | 'fin-wait'
  | 'close-wait'
  | 'last-ack'
  | 'time-wait'
  | 'close'
  | 'syn-sent2';

/** The kernel's view of a TCP connection. */
export interface ConntrackTcp {
  readonly state: TcpState;
  readonly windowScaleOriginal: number;
  readonly windowScaleReply: number;
  /** `IP_CT_TCP_FLAG_*`; 0x08 is liberal: out-of-window packets pass. */
  readonly flagsOriginal: number;
  readonly flagsReply: number;
}

export interface ConntrackCounters {
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** A connection. The reply tuple is the one seen on the wire, after translation. */
export interface ConntrackEntry {
  readonly original: ConntrackTuple;
  readonly reply: ConntrackTuple;
  /** `IPS_*` of linux/netfilter/nf_conntrack_common.h. */
  readonly status: number;
  readonly mark: number;
  /** Seconds left. */
  readonly timeout: number;
  readonly zone: number;
  readonly tcp?: ConntrackTcp;
  /** Name of the connection tracking helper, such as `ftp`. */
  readonly helper?: string;
  /** Only while `net.netfilter.nf_conntrack_acct` is on. */
  readonly counters?: { readonly original: ConntrackCounters; readonly reply: ConntrackCounters };
  /** Given by the kernel to tell an entry from a later one of the same tuple. */
  readonly id?: number;
}

/** What names an entry; the id, when it is known, spares a later one of the same tuple. */
export type ConntrackName = Pick<ConntrackEntry, 'original' | 'zone' | 'id'>;

export const IPS_EXPECTED = 0x1;
export const IPS_SEEN_REPLY = 0x2;
export const IPS_ASSURED = 0x4;
export const IPS_CONFIRMED = 0x8;
export const IPS_SRC_NAT = 0x10;
export const IPS_DST_NAT = 0x20;

/** TCP flag of both directions: packets outside the window pass. */
export const TCP_LIBERAL = 0x08;

/** Where a connection is translated to. */
export interface ConntrackTranslation {
  /** What the source becomes, or null when it stays. */
  readonly source: { readonly address: string; readonly port: number | null } | null;
  /** What the destination becomes, or null when it stays. */
  readonly destination: { readonly address: string; readonly port: number | null } | null;
}

/** ICMP types that answer each other (nf_conntrack_proto_icmp.c and its IPv6 sister). */
const icmpAnswers: Readonly<Record<number, number>> = {
  8: 0,
  0: 8,
  13: 14,
  14: 13,
  15: 16,
  16: 15,
  17: 18,
  18: 17,
};
const icmp6Answers: Readonly<Record<number, number>> = { 128: 129, 129: 128, 139: 140, 140: 139 };

/** The tuple of answers if nothing were translated. */
export const invertTuple = (tuple: ConntrackTuple): ConntrackTuple => {
  const answers = tuple.protocol === 58 ? icmp6Answers : icmpAnswers;
  return {
    source: tuple.destination,
    destination: tuple.source,
    protocol: tuple.protocol,
    ...(tuple.destinationPort === undefined ? {} : { sourcePort: tuple.destinationPort }),
    ...(tuple.sourcePort === undefined ? {} : { destinationPort: tuple.sourcePort }),
    ...(tuple.icmp === undefined
      ? {}
      : { icmp: { ...tuple.icmp, type: answers[tuple.icmp.type] ?? tuple.icmp.type } }),
  };
};

/** What the kernel does to the packets of this connection, read from its two tuples. */
export const translationOf = (entry: Pick<ConntrackEntry, 'original' | 'reply'>): ConntrackTranslation => {
  const { original, reply } = entry;
  const icmpChanged = original.icmp?.id !== reply.icmp?.id;
  const sourceChanged =
    reply.destination !== original.source || reply.destinationPort !== original.sourcePort || icmpChanged;
  const destinationChanged =
    reply.source !== original.destination || reply.sourcePort !== original.destinationPort;
  return {
    source: sourceChanged
      ? { address: reply.destination, port: reply.destinationPort ?? reply.icmp?.id ?? null }
      : null,
    destination: destinationChanged ? { address: reply.source, port: reply.sourcePort ?? null } : null,
  };
};

/** Which entries are meant: every field given must fit. */
export interface ConntrackFilter {
  readonly family?: 'ipv4' | 'ipv6' | undefined;
  readonly protocol?: number | undefined;
  readonly originalSource?: string | undefined;
  readonly originalDestination?: string | undefined;
  /** With destination NAT this is the machine behind the translation. */
  readonly replySource?: string | undefined;
  /** With source NAT this is the translated address. */
  readonly replyDestination?: string | undefined;
  readonly originalSourcePort?: number | undefined;
  readonly originalDestinationPort?: number | undefined;
  readonly replySourcePort?: number | undefined;
  readonly replyDestinationPort?: number | undefined;
  readonly mark?: { readonly value: number; readonly mask?: number | undefined } | undefined;
  readonly zone?: number | undefined;
  /** Only entries whose source (`source`) or destination is translated, or that are not (`none`). */
  readonly translated?: 'source' | 'destination' | 'none' | undefined;
  /** Of TCP only entries in one of these states; the rest is looked at no further. Other protocols are not meant by this. */
  readonly tcpStates?: ReadonlySet<TcpState> | undefined;
}

/** Whether an entry is meant by a filter. */
export const matchesFilter = (entry: ConntrackEntry, filter: ConntrackFilter): boolean => {
  const { original, reply } = entry;
  const fits = (wanted: string | number | undefined, found: string | number | undefined): boolean =>
    wanted === undefined || wanted === found;
  if (!fits(filter.protocol, original.protocol)) return false;
  if (entry.tcp !== undefined && filter.tcpStates?.has(entry.tcp.state) === false) return false;
  if (
    !fits(filter.originalSource, original.source) ||
    !fits(filter.originalDestination, original.destination)
  ) {
    return false;
  }
  if (!fits(filter.replySource, reply.source) || !fits(filter.replyDestination, reply.destination))
    return false;
  if (!fits(filter.originalSourcePort, original.sourcePort)) return false;
  if (!fits(filter.originalDestinationPort, original.destinationPort)) return false;
  if (!fits(filter.replySourcePort, reply.sourcePort)) return false;
  if (!fits(filter.replyDestinationPort, reply.destinationPort)) return false;
  if (!fits(filter.zone, entry.zone)) return false;
  if (filter.family !== undefined && original.source.includes(':') !== (filter.family === 'ipv6'))
    return false;
  if (filter.mark !== undefined) {
    const mask = (filter.mark.mask ?? 0xffffffff) >>> 0;
    if ((entry.mark & mask) >>> 0 !== (filter.mark.value & mask) >>> 0) return false;
  }
  if (filter.translated === undefined) return true;
  const translation = translationOf(entry);
  if (filter.translated === 'source') return translation.source !== null;
  if (filter.translated === 'destination') return translation.destination !== null;
  return translation.source === null && translation.destination === null;
};

/** One text per tuple and zone; equal for equal tuples. */
export const tupleKey = (tuple: ConntrackTuple, zone = 0): string => {
  const tail =
    tuple.icmp === undefined
      ? `${tuple.sourcePort ?? ''}>${tuple.destinationPort ?? ''}`
      : `${tuple.icmp.type}.${tuple.icmp.code}.${tuple.icmp.id}`;
  return `${zone}|${tuple.protocol}|${tuple.source}>${tuple.destination}|${tail}`;
};
