/** Connection tracking entries to and from messages: linux/netfilter/nfnetlink_conntrack.h. */
import {
  type ConntrackCounters,
  type ConntrackEntry,
  type ConntrackFilter,
  type ConntrackTcp,
  type ConntrackTuple,
  invertTuple,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_SEEN_REPLY,
  type TcpState,
  translationOf,
} from './conntrack-entry.ts';
import type { ReceivedMessage } from './request.ts';
import { AF_INET, AF_INET6, familyOf, ipBytes, ipText } from './wire/address-bytes.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST } from './wire/flags.ts';
import { MessageWriter, NLA_F_NESTED } from './wire/message-writer.ts';

const SUBSYSTEM = 1 << 8;
export const CT_NEW = SUBSYSTEM | 0;
export const CT_GET = SUBSYSTEM | 1;
export const CT_DELETE = SUBSYSTEM | 2;
export const CT_GET_STATS = SUBSYSTEM | 5;

const CTA = {
  TUPLE_ORIG: 1,
  TUPLE_REPLY: 2,
  STATUS: 3,
  PROTOINFO: 4,
  HELP: 5,
  NAT_SRC: 6,
  TIMEOUT: 7,
  MARK: 8,
  COUNTERS_ORIG: 9,
  COUNTERS_REPLY: 10,
  ID: 12,
  NAT_DST: 13,
  ZONE: 18,
  MARK_MASK: 21,
  FILTER: 25,
} as const;

const TUPLE = { IP: 1, PROTO: 2 } as const;
const TUPLE_IP = { V4_SRC: 1, V4_DST: 2, V6_SRC: 3, V6_DST: 4 } as const;
const PROTO = {
  NUM: 1,
  SRC_PORT: 2,
  DST_PORT: 3,
  ICMP_ID: 4,
  ICMP_TYPE: 5,
  ICMP_CODE: 6,
  ICMPV6_ID: 7,
  ICMPV6_TYPE: 8,
  ICMPV6_CODE: 9,
} as const;
const NAT = { V4_MIN: 1, PROTO: 3, V6_MIN: 4 } as const;

const tcpStates: readonly TcpState[] = [
  'none',
  'syn-sent',
  'syn-recv',
  'established',
  'fin-wait',
  'close-wait',
  'last-ack',
  'time-wait',
  'close',
  'syn-sent2',
];

/** A writer with the header of this subsystem: family, version 0, resource id in network order. */
export const conntrackMessage = (type: number, flags: number, family: number): MessageWriter =>
  new MessageWriter(type, flags).u8(family).u8(0).u16(0);

const tupleAttributes = (writer: MessageWriter, type: number, tuple: ConntrackTuple): void => {
  const source = ipBytes(tuple.source);
  const destination = ipBytes(tuple.destination);
  const v4 = source.length === 4;
  writer.nest(type | NLA_F_NESTED, () => {
    writer.nest(TUPLE.IP | NLA_F_NESTED, () => {
      writer.attribute(v4 ? TUPLE_IP.V4_SRC : TUPLE_IP.V6_SRC, source);
      writer.attribute(v4 ? TUPLE_IP.V4_DST : TUPLE_IP.V6_DST, destination);
    });
    writer.nest(TUPLE.PROTO | NLA_F_NESTED, () => {
      writer.attributeU8(PROTO.NUM, tuple.protocol);
      if (tuple.sourcePort !== undefined) writer.attributeU16BE(PROTO.SRC_PORT, tuple.sourcePort);
      if (tuple.destinationPort !== undefined) writer.attributeU16BE(PROTO.DST_PORT, tuple.destinationPort);
      if (tuple.icmp !== undefined) {
        writer.attributeU8(v4 ? PROTO.ICMP_TYPE : PROTO.ICMPV6_TYPE, tuple.icmp.type);
        writer.attributeU8(v4 ? PROTO.ICMP_CODE : PROTO.ICMPV6_CODE, tuple.icmp.code);
        writer.attributeU16BE(v4 ? PROTO.ICMP_ID : PROTO.ICMPV6_ID, tuple.icmp.id);
      }
    });
  });
};

const natAttributes = (
  writer: MessageWriter,
  type: number,
  to: { address: string; port: number | null },
): void => {
  const bytes = ipBytes(to.address);
  const v4 = bytes.length === 4;
  writer.nest(type | NLA_F_NESTED, () => {
    writer.attribute(v4 ? NAT.V4_MIN : NAT.V6_MIN, bytes);
    if (to.port !== null) {
      const port = to.port;
      writer.nest(NAT.PROTO | NLA_F_NESTED, () => {
        writer.attributeU16BE(1, port);
        writer.attributeU16BE(2, port);
      });
    }
  });
};

const tcpAttributes = (writer: MessageWriter, tcp: ConntrackTcp): void => {
  writer.nest(CTA.PROTOINFO | NLA_F_NESTED, () => {
    writer.nest(1 | NLA_F_NESTED, () => {
      writer.attributeU8(1, tcpStates.indexOf(tcp.state));
      writer.attributeU8(2, tcp.windowScaleOriginal);
      writer.attributeU8(3, tcp.windowScaleReply);
      // Flags with the mask of those that count: all.
      writer.attribute(4, Buffer.from([tcp.flagsOriginal, 0xff]));
      writer.attribute(5, Buffer.from([tcp.flagsReply, 0xff]));
    });
  });
};

/**
 * An entry to be inserted. The kernel sets up translation only from an untranslated reply tuple and the addresses to
 * translate to: given the translated tuple it takes the entry, reports success and translates nothing.
 */
export const encodeInsert = (entry: ConntrackEntry): Buffer => {
  const family = familyOf(ipBytes(entry.original.source));
  const translation = translationOf(entry);
  const writer = conntrackMessage(CT_NEW, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, family);
  tupleAttributes(writer, CTA.TUPLE_ORIG, entry.original);
  tupleAttributes(writer, CTA.TUPLE_REPLY, invertTuple(entry.original));
  writer.attributeU32BE(CTA.STATUS, (entry.status & (IPS_SEEN_REPLY | IPS_ASSURED)) | IPS_CONFIRMED);
  if (translation.source !== null) natAttributes(writer, CTA.NAT_SRC, translation.source);
  if (translation.destination !== null) natAttributes(writer, CTA.NAT_DST, translation.destination);
  writer.attributeU32BE(CTA.TIMEOUT, entry.timeout);
  if (entry.mark !== 0) writer.attributeU32BE(CTA.MARK, entry.mark);
  if (entry.tcp !== undefined) tcpAttributes(writer, entry.tcp);
  if (entry.helper !== undefined) {
    const helper = entry.helper;
    writer.nest(CTA.HELP | NLA_F_NESTED, () => writer.attributeString(1, helper));
  }
  if (entry.zone !== 0) writer.attributeU16BE(CTA.ZONE, entry.zone);
  return writer.finish();
};

/** Status bits that a change may set; that the entry is confirmed has to be said again, and nothing else may differ. */
const CHANGEABLE = IPS_SEEN_REPLY | IPS_ASSURED;

/**
 * A change of an entry that is there: what is left of its time, its status, mark and TCP state. Its translation cannot be
 * changed, and the kernel refuses a message that speaks of it at all (`ctnetlink_change_conntrack`).
 */
export const encodeUpdate = (entry: ConntrackEntry): Buffer => {
  const writer = conntrackMessage(
    CT_NEW,
    NLM_F_REQUEST | NLM_F_ACK,
    familyOf(ipBytes(entry.original.source)),
  );
  tupleAttributes(writer, CTA.TUPLE_ORIG, entry.original);
  writer.attributeU32BE(CTA.STATUS, (entry.status & CHANGEABLE) | IPS_CONFIRMED);
  writer.attributeU32BE(CTA.TIMEOUT, entry.timeout);
  writer.attributeU32BE(CTA.MARK, entry.mark);
  if (entry.tcp !== undefined) tcpAttributes(writer, entry.tcp);
  if (entry.zone !== 0) writer.attributeU16BE(CTA.ZONE, entry.zone);
  return writer.finish();
};

/** The message that names one entry, to read or to delete it; the id, when known, spares a later entry of the same tuple. */
export const encodeByTuple = (
  type: number,
  entry: Pick<ConntrackEntry, 'original' | 'zone' | 'id'>,
): Buffer => {
  const family = familyOf(ipBytes(entry.original.source));
  const writer = conntrackMessage(type, NLM_F_REQUEST | NLM_F_ACK, family);
  tupleAttributes(writer, CTA.TUPLE_ORIG, entry.original);
  if (entry.id !== undefined && type === CT_DELETE) writer.attributeU32BE(CTA.ID, entry.id);
  if (entry.zone !== 0) writer.attributeU16BE(CTA.ZONE, entry.zone);
  return writer.finish();
};

/** `CTA_FILTER_F_*` of the kernel's nf_conntrack_netlink.c. */
const FILTER = { IP_SRC: 1, IP_DST: 2, PROTO_NUM: 8, PROTO_SRC_PORT: 16, PROTO_DST_PORT: 32 } as const;

interface TupleFilter {
  readonly source: string | undefined;
  readonly destination: string | undefined;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
}

/**
 * Writes the part of a tuple that is filtered by, and returns the flags that say which part that is. IPv6 addresses are
 * left to the reader: Linux (6.18 and before) compares them the wrong way round and answers with all others.
 */
const filterTuple = (
  writer: MessageWriter,
  type: number,
  filter: TupleFilter,
  protocol: number | undefined,
): number => {
  const source = filter.source?.includes(':') === true ? undefined : filter.source;
  const destination = filter.destination?.includes(':') === true ? undefined : filter.destination;
  const byPort =
    (protocol === 6 || protocol === 17) &&
    (filter.sourcePort !== undefined || filter.destinationPort !== undefined);
  if (source === undefined && destination === undefined && !byPort) return 0;
  let flags = 0;
  writer.nest(type | NLA_F_NESTED, () => {
    writer.nest(TUPLE.IP | NLA_F_NESTED, () => {
      if (source !== undefined) {
        writer.attribute(TUPLE_IP.V4_SRC, ipBytes(source));
        flags |= FILTER.IP_SRC;
      }
      if (destination !== undefined) {
        writer.attribute(TUPLE_IP.V4_DST, ipBytes(destination));
        flags |= FILTER.IP_DST;
      }
    });
    if (!byPort) return;
    writer.nest(TUPLE.PROTO | NLA_F_NESTED, () => {
      writer.attributeU8(PROTO.NUM, protocol);
      flags |= FILTER.PROTO_NUM;
      if (filter.sourcePort !== undefined) {
        writer.attributeU16BE(PROTO.SRC_PORT, filter.sourcePort);
        flags |= FILTER.PROTO_SRC_PORT;
      }
      if (filter.destinationPort !== undefined) {
        writer.attributeU16BE(PROTO.DST_PORT, filter.destinationPort);
        flags |= FILTER.PROTO_DST_PORT;
      }
    });
  });
  return flags;
};

const filterFamily = (filter: ConntrackFilter): number => {
  const address =
    filter.originalSource ?? filter.originalDestination ?? filter.replySource ?? filter.replyDestination;
  if (address !== undefined) return familyOf(ipBytes(address));
  if (filter.family === undefined) return 0;
  return filter.family === 'ipv4' ? AF_INET : AF_INET6;
};

/**
 * A dump that the kernel filters by addresses, ports and mark (Linux 5.8; older kernels answer with more). What it
 * answers is filtered again by the reader.
 */
export const encodeDump = (filter: ConntrackFilter): Buffer => {
  const writer = conntrackMessage(CT_GET, NLM_F_REQUEST | NLM_F_DUMP, filterFamily(filter));
  const original = filterTuple(
    writer,
    CTA.TUPLE_ORIG,
    {
      source: filter.originalSource,
      destination: filter.originalDestination,
      sourcePort: filter.originalSourcePort,
      destinationPort: filter.originalDestinationPort,
    },
    filter.protocol,
  );
  const reply = filterTuple(
    writer,
    CTA.TUPLE_REPLY,
    {
      source: filter.replySource,
      destination: filter.replyDestination,
      sourcePort: filter.replySourcePort,
      destinationPort: filter.replyDestinationPort,
    },
    filter.protocol,
  );
  if (original !== 0 || reply !== 0) {
    writer.nest(CTA.FILTER | NLA_F_NESTED, () => {
      writer.attributeU32(1, original);
      writer.attributeU32(2, reply);
    });
  }
  if (filter.mark !== undefined) {
    writer.attributeU32BE(CTA.MARK, filter.mark.value);
    writer.attributeU32BE(CTA.MARK_MASK, filter.mark.mask ?? 0xffffffff);
  }
  if (filter.zone !== undefined) writer.attributeU16BE(CTA.ZONE, filter.zone);
  return writer.finish();
};

const decodeTuple = (attributes: Attributes | undefined): ConntrackTuple | undefined => {
  const ip = attributes?.nested(TUPLE.IP);
  const protocol = attributes?.nested(TUPLE.PROTO);
  if (ip === undefined || protocol === undefined) return undefined;
  const source = ipText(ip.bytes(TUPLE_IP.V4_SRC) ?? ip.bytes(TUPLE_IP.V6_SRC));
  const destination = ipText(ip.bytes(TUPLE_IP.V4_DST) ?? ip.bytes(TUPLE_IP.V6_DST));
  if (source === undefined || destination === undefined) return undefined;
  const sourcePort = protocol.u16BE(PROTO.SRC_PORT);
  const destinationPort = protocol.u16BE(PROTO.DST_PORT);
  const icmpId = protocol.u16BE(PROTO.ICMP_ID) ?? protocol.u16BE(PROTO.ICMPV6_ID);
  return {
    source,
    destination,
    protocol: protocol.u8(PROTO.NUM) ?? 0,
    ...(sourcePort === undefined ? {} : { sourcePort }),
    ...(destinationPort === undefined ? {} : { destinationPort }),
    ...(icmpId === undefined
      ? {}
      : {
          icmp: {
            type: protocol.u8(PROTO.ICMP_TYPE) ?? protocol.u8(PROTO.ICMPV6_TYPE) ?? 0,
            code: protocol.u8(PROTO.ICMP_CODE) ?? protocol.u8(PROTO.ICMPV6_CODE) ?? 0,
            id: icmpId,
          },
        }),
  };
};

const decodeTcp = (tcp: Attributes): ConntrackTcp => ({
  state: tcpStates[tcp.u8(1) ?? 0] ?? 'none',
  windowScaleOriginal: tcp.u8(2) ?? 0,
  windowScaleReply: tcp.u8(3) ?? 0,
  flagsOriginal: tcp.bytes(4)?.[0] ?? 0,
  flagsReply: tcp.bytes(5)?.[0] ?? 0,
});

const decodeCounters = (counters: Attributes | undefined): ConntrackCounters => ({
  packets: counters?.u64BE(1) ?? 0n,
  bytes: counters?.u64BE(2) ?? 0n,
});

/** State of a TCP entry, undefined for others: read without the rest, which is most of the work. */
export const decodeTcpState = (message: ReceivedMessage): TcpState | undefined => {
  const all = new Attributes(message.buffer, message.start + 4, message.end);
  const state = all.nested(CTA.PROTOINFO)?.nested(1)?.u8(1);
  return state === undefined ? undefined : tcpStates[state];
};

/** Reads an entry from an answer or a notification; undefined for other messages. */
export const decodeConntrack = (message: ReceivedMessage): ConntrackEntry | undefined => {
  if (message.type !== CT_NEW && message.type !== CT_DELETE) return undefined;
  const all = new Attributes(message.buffer, message.start + 4, message.end);
  const original = decodeTuple(all.nested(CTA.TUPLE_ORIG));
  const reply = decodeTuple(all.nested(CTA.TUPLE_REPLY));
  if (original === undefined || reply === undefined) return undefined;
  const tcp = all.nested(CTA.PROTOINFO)?.nested(1);
  const helper = all.nested(CTA.HELP)?.string(1);
  const counted = all.nested(CTA.COUNTERS_ORIG);
  const id = all.u32BE(CTA.ID);
  return {
    original,
    reply,
    status: all.u32BE(CTA.STATUS) ?? 0,
    mark: all.u32BE(CTA.MARK) ?? 0,
    timeout: all.u32BE(CTA.TIMEOUT) ?? 0,
    zone: all.u16BE(CTA.ZONE) ?? 0,
    ...(tcp === undefined ? {} : { tcp: decodeTcp(tcp) }),
    ...(helper === undefined ? {} : { helper }),
    ...(counted === undefined
      ? {}
      : {
          counters: {
            original: decodeCounters(counted),
            reply: decodeCounters(all.nested(CTA.COUNTERS_REPLY)),
          },
        }),
    ...(id === undefined ? {} : { id }),
  };
};
