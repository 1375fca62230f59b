/** Neighbours (ARP and ND entries): ip-neighbour(8), linux/neighbour.h. */
import type { DumpRequest, EncodeContext, NetlinkRequest, ReceivedMessage } from './request.ts';
import {
  AF_BRIDGE,
  type AddressFamily,
  familyName,
  familyNumber,
  familyOf,
  ipBytes,
  ipText,
  macBytes,
  macText,
} from './wire/address-bytes.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, type WriteMode, writeFlags } from './wire/flags.ts';
import { MessageWriter } from './wire/message-writer.ts';
import { NDA, NTF, NUD, RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH } from './wire/neighbour-constants.ts';

export type NeighbourState =
  | 'none'
  | 'incomplete'
  | 'reachable'
  | 'stale'
  | 'delay'
  | 'probe'
  | 'failed'
  | 'noarp'
  | 'permanent';

const stateNumbers: Readonly<Record<NeighbourState, number>> = {
  none: 0,
  incomplete: NUD.INCOMPLETE,
  reachable: NUD.REACHABLE,
  stale: NUD.STALE,
  delay: NUD.DELAY,
  probe: NUD.PROBE,
  failed: NUD.FAILED,
  noarp: NUD.NOARP,
  permanent: NUD.PERMANENT,
};

/** What `neighbours.add` and `neighbours.replace` take. */
export interface NeighbourOptions {
  readonly dev: string | number;
  readonly address: string;
  /** Not needed for proxy entries. */
  readonly mac?: string | undefined;
  /** `permanent` when absent. */
  readonly state?: 'reachable' | 'permanent' | 'stale' | 'noarp' | undefined;
  /** Answers ARP or ND for the address instead of naming its MAC. */
  readonly proxy?: boolean | undefined;
  readonly router?: boolean | undefined;
}

export interface NeighbourRemoval {
  readonly dev: string | number;
  readonly address: string;
  readonly proxy?: boolean | undefined;
}

export interface NeighbourFilter {
  readonly dev?: string | number | undefined;
  readonly family?: AddressFamily | undefined;
}

/** A neighbour as the kernel reports it. */
export interface Neighbour {
  readonly family: AddressFamily;
  readonly link: number;
  readonly address: string;
  readonly mac: string | null;
  readonly state: NeighbourState;
  readonly proxy: boolean;
  readonly router: boolean;
}

const index = (context: EncodeContext, dev: string | number): number =>
  typeof dev === 'number' ? dev : context.linkIndex(dev);

const neighbourMessage = (
  context: EncodeContext,
  type: number,
  flags: number,
  options: NeighbourOptions,
  state: number,
): Buffer => {
  const bytes = ipBytes(options.address);
  const writer = new MessageWriter(type, flags)
    .u8(familyOf(bytes))
    .u8(0)
    .u16(0)
    .u32(index(context, options.dev))
    .u16(state)
    .u8((options.proxy === true ? NTF.PROXY : 0) | (options.router === true ? NTF.ROUTER : 0))
    .u8(0)
    .attribute(NDA.DST, bytes);
  if (options.mac !== undefined) writer.attribute(NDA.LLADDR, macBytes(options.mac));
  return writer.finish();
};

const write = (mode: WriteMode, options: NeighbourOptions): NetlinkRequest => ({
  operation: { name: 'neighbour-write', mode, options },
  description: `${mode} neighbour ${options.address} on ${options.dev}`,
  touches: [],
  steps: [
    (context) =>
      neighbourMessage(
        context,
        RTM_NEWNEIGH,
        writeFlags(mode),
        options,
        stateNumbers[options.state ?? 'permanent'],
      ),
  ],
});

/** Reads `RTM_NEWNEIGH` and `RTM_DELNEIGH` of IP families. */
export const decodeNeighbour = (message: ReceivedMessage): Neighbour | undefined => {
  if (message.type !== RTM_NEWNEIGH && message.type !== RTM_DELNEIGH) return undefined;
  const { buffer, start } = message;
  const family = buffer.readUInt8(start);
  if (family === AF_BRIDGE) return undefined;
  const all = new Attributes(buffer, start + 12, message.end);
  const address = ipText(all.bytes(NDA.DST));
  if (address === undefined) return undefined;
  const state = buffer.readUInt16LE(start + 8);
  const flags = buffer.readUInt8(start + 10);
  const names = Object.keys(stateNumbers) as NeighbourState[];
  return {
    family: familyName(family),
    link: buffer.readInt32LE(start + 4),
    address,
    mac: macText(all.bytes(NDA.LLADDR)),
    state: names.find((name) => stateNumbers[name] === state) ?? 'none',
    proxy: (flags & NTF.PROXY) !== 0,
    router: (flags & NTF.ROUTER) !== 0,
  };
};

/** Requests on neighbours. */
export const neighbours = {
  /** `netlink-exists` when the link knows the address. */
  add: (options: NeighbourOptions): NetlinkRequest => write('add', options),

  /** Adds it or overwrites what is known. */
  replace: (options: NeighbourOptions): NetlinkRequest => write('replace', options),

  /** `netlink-not-found` when the link does not know the address. */
  remove: (options: NeighbourRemoval): NetlinkRequest => ({
    operation: { name: 'neighbour-remove', options },
    description: `remove neighbour ${options.address} from ${options.dev}`,
    touches: [],
    steps: [(context) => neighbourMessage(context, RTM_DELNEIGH, NLM_F_REQUEST | NLM_F_ACK, options, 0)],
  }),

  dump: (filter: NeighbourFilter = {}): DumpRequest<Neighbour> => ({
    operation: { name: 'neighbour-dump', options: filter },
    description: 'list neighbours',
    encode: (context) => {
      const writer = new MessageWriter(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP)
        .u8(filter.family === undefined ? 0 : familyNumber(filter.family))
        .bytes(Buffer.alloc(11));
      if (filter.dev !== undefined) writer.attributeU32(NDA.IFINDEX, index(context, filter.dev));
      return writer.finish();
    },
    decode: decodeNeighbour,
  }),
};
