/** Queueing disciplines: tc(8), linux/pkt_sched.h. */
import type { DumpRequest, EncodeContext, NetlinkRequest, ReceivedMessage } from './request.ts';
import { invalidRequest } from './netlink-error.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, type WriteMode, writeFlags } from './wire/flags.ts';
import { MessageWriter } from './wire/message-writer.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const TCA = { KIND: 1, OPTIONS: 2 } as const;
const TC_H_ROOT = 0xffffffff;
const TC_H_INGRESS = 0xfffffff1;

/** Token bucket: everything that leaves is held to a rate; tc-tbf(8). */
export interface TbfOptions {
  readonly kind: 'tbf';
  /** Bytes per second. */
  readonly rate: number;
  /** Bytes that may leave at once. */
  readonly burst: number;
  /** Bytes that may wait. */
  readonly limit: number;
}

/** Fair queueing with controlled delay; tc-fq_codel(8). Times in microseconds. */
export interface FqCodelOptions {
  readonly kind: 'fq_codel';
  readonly limit?: number | undefined;
  readonly flows?: number | undefined;
  readonly quantum?: number | undefined;
  readonly target?: number | undefined;
  readonly interval?: number | undefined;
  readonly ecn?: boolean | undefined;
}

/** Root of a hierarchy of classes; tc-htb(8). */
export interface HtbOptions {
  readonly kind: 'htb';
  /** Minor number of the class for unclassified traffic; 0 sends it unshaped. */
  readonly defaultClass?: number | undefined;
  readonly rateToQuantum?: number | undefined;
}

/** A discipline without settings of ours. */
export interface PlainQdiscOptions {
  readonly kind: 'clsact' | 'ingress' | 'pfifo_fast' | 'noqueue' | 'fq';
}

/** What `qdiscs.add` and `qdiscs.replace` take. */
export type QdiscOptions = (TbfOptions | FqCodelOptions | HtbOptions | PlainQdiscOptions) & {
  readonly dev: string | number;
  /** `root` when absent; `ingress` and `clsact` have a place of their own. */
  readonly parent?: number | 'root' | undefined;
  /** Major number in the upper 16 bits: `1:` is 0x10000. */
  readonly handle?: number | undefined;
};

export interface QdiscRemoval {
  readonly dev: string | number;
  readonly parent?: number | 'root' | 'ingress' | undefined;
  readonly handle?: number | undefined;
}

export interface QdiscFilter {
  readonly dev?: string | number | undefined;
}

/** A discipline as the kernel reports it; `options` are its settings as bytes in hex, comparable but not decoded. */
export interface Qdisc {
  readonly link: number;
  readonly kind: string;
  readonly handle: number;
  readonly parent: number | 'root' | 'ingress';
  readonly options: string;
  /** Set for `tbf`: bytes per second, bytes, bytes. */
  readonly tbf?: { readonly rate: number; readonly burst: number; readonly limit: number };
  /** Set for `htb`. */
  readonly htb?: { readonly defaultClass: number; readonly rateToQuantum: number };
}

const index = (context: EncodeContext, dev: string | number): number =>
  typeof dev === 'number' ? dev : context.linkIndex(dev);

/** Scheduler ticks are 64 ns (PSCHED_SHIFT 6). */
const TICK_NANOSECONDS = 64;

const tbfAttributes = (writer: MessageWriter, tbf: TbfOptions): void => {
  if (tbf.rate < 1 || tbf.burst < 1) throw invalidRequest('encode tbf', 'rate and burst must be positive');
  const ticks = Math.round((tbf.burst * 1e9) / tbf.rate / TICK_NANOSECONDS);
  const parameters = Buffer.alloc(36);
  // tc_ratespec: link layer Ethernet spares the kernel the rate table of old times.
  parameters.writeUInt8(1, 1);
  parameters.writeInt16LE(-1, 4);
  parameters.writeUInt32LE(Math.min(tbf.rate, 0xffffffff), 8);
  parameters.writeUInt32LE(tbf.limit, 24);
  parameters.writeUInt32LE(Math.min(ticks, 0xffffffff), 28);
  writer.attribute(1, parameters);
  if (tbf.rate > 0xffffffff) writer.attributeU64(4, BigInt(Math.round(tbf.rate)));
  writer.attributeU32(6, tbf.burst);
};

const fqCodelAttributes = (writer: MessageWriter, fq: FqCodelOptions): void => {
  if (fq.limit !== undefined) writer.attributeU32(2, fq.limit);
  if (fq.flows !== undefined) writer.attributeU32(5, fq.flows);
  if (fq.quantum !== undefined) writer.attributeU32(6, fq.quantum);
  if (fq.interval !== undefined) writer.attributeU32(3, fq.interval);
  if (fq.target !== undefined) writer.attributeU32(1, fq.target);
  if (fq.ecn !== undefined) writer.attributeU32(4, Number(fq.ecn));
};

const htbAttributes = (writer: MessageWriter, htb: HtbOptions): void => {
  const global = Buffer.alloc(20);
  global.writeUInt32LE(3, 0);
  global.writeUInt32LE(htb.rateToQuantum ?? 10, 4);
  global.writeUInt32LE(htb.defaultClass ?? 0, 8);
  writer.attribute(2, global);
};

const optionAttributes = (writer: MessageWriter, options: QdiscOptions): void => {
  switch (options.kind) {
    case 'tbf':
      writer.nest(TCA.OPTIONS, () => tbfAttributes(writer, options));
      break;
    case 'fq_codel':
      writer.nest(TCA.OPTIONS, () => fqCodelAttributes(writer, options));
      break;
    case 'htb':
      writer.nest(TCA.OPTIONS, () => htbAttributes(writer, options));
      break;
    default:
      break;
  }
};

const place = (options: { kind?: string; parent?: number | 'root' | 'ingress' | undefined }): number => {
  if (options.kind === 'ingress' || options.kind === 'clsact' || options.parent === 'ingress')
    return TC_H_INGRESS;
  return typeof options.parent === 'number' ? options.parent : TC_H_ROOT;
};

const write = (mode: WriteMode, options: QdiscOptions): NetlinkRequest => ({
  operation: { name: 'qdisc-write', mode, options },
  description: `${mode} qdisc ${options.kind} on ${options.dev}`,
  touches: [],
  steps: [
    (context) => {
      const handle =
        options.handle ?? (options.kind === 'ingress' || options.kind === 'clsact' ? 0xffff0000 : 0);
      const writer = new MessageWriter(RTM_NEWQDISC, writeFlags(mode))
        .u32(0)
        .u32(index(context, options.dev))
        .u32(handle)
        .u32(place(options))
        .u32(0)
        .attributeString(TCA.KIND, options.kind);
      optionAttributes(writer, options);
      return writer.finish();
    },
  ],
});

const decodeParent = (parent: number): Qdisc['parent'] => {
  if (parent === TC_H_ROOT) return 'root';
  return parent === TC_H_INGRESS ? 'ingress' : parent;
};

const decodeTbf = (options: Attributes): Partial<Qdisc> => {
  const parameters = options.bytes(1);
  if (parameters === undefined || parameters.length < 36) return {};
  const large = options.bytes(4);
  const rate = large === undefined ? parameters.readUInt32LE(8) : Number(large.readBigUInt64LE(0));
  const burst = Math.round((parameters.readUInt32LE(28) * TICK_NANOSECONDS * rate) / 1e9);
  return { tbf: { rate, burst, limit: parameters.readUInt32LE(24) } };
};

const decodeHtb = (options: Attributes): Partial<Qdisc> => {
  const global = options.bytes(2);
  if (global === undefined || global.length < 12) return {};
  return { htb: { rateToQuantum: global.readUInt32LE(4), defaultClass: global.readUInt32LE(8) } };
};

/** Reads `RTM_NEWQDISC` and `RTM_DELQDISC`. */
export const decodeQdisc = (message: ReceivedMessage): Qdisc | undefined => {
  if (message.type !== RTM_NEWQDISC && message.type !== RTM_DELQDISC) return undefined;
  const { buffer, start } = message;
  const all = new Attributes(buffer, start + 20, message.end);
  const kind = all.string(TCA.KIND) ?? '';
  const options = all.nested(TCA.OPTIONS);
  return {
    link: buffer.readInt32LE(start + 4),
    kind,
    handle: buffer.readUInt32LE(start + 8),
    parent: decodeParent(buffer.readUInt32LE(start + 12)),
    options: all.bytes(TCA.OPTIONS)?.toString('hex') ?? '',
    ...(options !== undefined && kind === 'tbf' ? decodeTbf(options) : {}),
    ...(options !== undefined && kind === 'htb' ? decodeHtb(options) : {}),
  };
};

/** Requests on queueing disciplines. */
export const qdiscs = {
  add: (options: QdiscOptions): NetlinkRequest => write('add', options),

  replace: (options: QdiscOptions): NetlinkRequest => write('replace', options),

  remove: (options: QdiscRemoval): NetlinkRequest => ({
    operation: { name: 'qdisc-remove', options },
    description: `remove qdisc from ${options.dev}`,
    touches: [],
    steps: [
      (context) =>
        new MessageWriter(RTM_DELQDISC, NLM_F_REQUEST | NLM_F_ACK)
          .u32(0)
          .u32(index(context, options.dev))
          .u32(options.handle ?? 0)
          .u32(place(options))
          .u32(0)
          .finish(),
    ],
  }),

  /** All disciplines, or those of one link. */
  dump: (filter: QdiscFilter = {}): DumpRequest<Qdisc> => ({
    operation: { name: 'qdisc-dump', options: filter },
    description: 'list qdiscs',
    encode: (context) =>
      new MessageWriter(RTM_GETQDISC, NLM_F_REQUEST | NLM_F_DUMP)
        .u32(0)
        .u32(filter.dev === undefined ? 0 : index(context, filter.dev))
        .u32(0)
        .u32(0)
        .u32(0)
        .finish(),
    decode: decodeQdisc,
    // The kernel answers with the disciplines of all links, whatever index it is given.
    ...(filter.dev === undefined
      ? {}
      : {
          select: (context) => {
            const wanted = index(context, filter.dev ?? 0);
            return (qdisc) => qdisc.link === wanted;
          },
        }),
  }),
};
