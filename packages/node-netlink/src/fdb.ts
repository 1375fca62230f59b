/** Forwarding entries of bridges and VXLAN devices: bridge(8), `fdb`. */
import type { DumpRequest, EncodeContext, NetlinkRequest, ReceivedMessage } from './request.ts';
import { AF_BRIDGE, ipBytes, ipText, macBytes, macText } from './wire/address-bytes.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, type WriteMode, writeFlags } from './wire/flags.ts';
import { MessageWriter } from './wire/message-writer.ts';
import { NDA, NTF, NUD, RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH } from './wire/neighbour-constants.ts';

/** `permanent` (local): frames go to the host itself. `static`: placed by hand, never aged. `dynamic`: aged. */
export type FdbState = 'permanent' | 'static' | 'dynamic';

/** Which entry: `master` is the table of the bridge the device is a port of, `self` that of the device. */
export interface FdbRemoval {
  readonly dev: string | number;
  readonly mac: string;
  /** `master` when absent. */
  readonly table?: 'master' | 'self' | undefined;
  readonly vlan?: number | undefined;
  /** VXLAN: remote address. */
  readonly destination?: string | undefined;
}

/** What `fdb.add` and `fdb.replace` take. */
export interface FdbOptions extends FdbRemoval {
  /** `static` when absent. */
  readonly state?: FdbState | undefined;
  /** Not moved by learning: a `static` entry alone is. */
  readonly sticky?: boolean | undefined;
  /** VXLAN: UDP port of the remote, when another than the device's. */
  readonly port?: number | undefined;
  /** VXLAN: VNI of the remote, when another than the device's. */
  readonly vni?: number | undefined;
  readonly externallyLearned?: boolean | undefined;
}

export interface FdbFilter {
  /** Entries of this bridge. */
  readonly bridge?: string | number | undefined;
  /** Entries of this port or device. */
  readonly dev?: string | number | undefined;
}

/** A forwarding entry as the kernel reports it. */
export interface FdbEntry {
  readonly link: number;
  readonly mac: string;
  readonly table: 'master' | 'self';
  /** Index of the bridge for entries of its table. */
  readonly bridge: number | null;
  readonly state: FdbState;
  readonly sticky: boolean;
  readonly externallyLearned: boolean;
  readonly vlan: number | null;
  readonly destination: string | null;
  readonly port: number | null;
  readonly vni: number | null;
}

const states: Readonly<Record<FdbState, number>> = {
  permanent: NUD.NOARP | NUD.PERMANENT,
  static: NUD.NOARP | NUD.REACHABLE,
  dynamic: NUD.REACHABLE,
};

const index = (context: EncodeContext, dev: string | number): number =>
  typeof dev === 'number' ? dev : context.linkIndex(dev);

const fdbMessage = (
  context: EncodeContext,
  type: number,
  flags: number,
  entry: FdbOptions,
  state: number,
): Buffer => {
  const tableFlag = entry.table === 'self' ? NTF.SELF : NTF.MASTER;
  const writer = new MessageWriter(type, flags)
    .u8(AF_BRIDGE)
    .u8(0)
    .u16(0)
    .u32(index(context, entry.dev))
    .u16(state)
    .u8(
      tableFlag |
        (entry.sticky === true ? NTF.STICKY : 0) |
        (entry.externallyLearned === true ? NTF.EXT_LEARNED : 0),
    )
    .u8(0)
    .attribute(NDA.LLADDR, macBytes(entry.mac));
  if (entry.destination !== undefined) writer.attribute(NDA.DST, ipBytes(entry.destination));
  if (entry.vlan !== undefined) writer.attributeU16(NDA.VLAN, entry.vlan);
  if (entry.port !== undefined) writer.attributeU16BE(NDA.PORT, entry.port);
  if (entry.vni !== undefined) writer.attributeU32(NDA.VNI, entry.vni);
  return writer.finish();
};

const write = (mode: WriteMode, options: FdbOptions): NetlinkRequest => ({
  operation: { name: 'fdb-write', mode, options },
  description: `${mode} forwarding entry ${options.mac} on ${options.dev}`,
  touches: [],
  steps: [
    (context) =>
      fdbMessage(context, RTM_NEWNEIGH, writeFlags(mode), options, states[options.state ?? 'static']),
  ],
});

const stateName = (state: number): FdbState => {
  if ((state & NUD.PERMANENT) !== 0) return 'permanent';
  return (state & NUD.NOARP) !== 0 ? 'static' : 'dynamic';
};

/** Reads `RTM_NEWNEIGH` and `RTM_DELNEIGH` of the bridge family. */
export const decodeFdbEntry = (message: ReceivedMessage): FdbEntry | undefined => {
  if (message.type !== RTM_NEWNEIGH && message.type !== RTM_DELNEIGH) return undefined;
  const { buffer, start } = message;
  if (buffer.readUInt8(start) !== AF_BRIDGE) return undefined;
  const all = new Attributes(buffer, start + 12, message.end);
  const flags = buffer.readUInt8(start + 10);
  const bridge = all.u32(NDA.MASTER) ?? null;
  return {
    link: buffer.readInt32LE(start + 4),
    mac: macText(all.bytes(NDA.LLADDR)) ?? '',
    table: bridge !== null && (flags & NTF.SELF) === 0 ? 'master' : 'self',
    bridge,
    state: stateName(buffer.readUInt16LE(start + 8)),
    sticky: (flags & NTF.STICKY) !== 0,
    externallyLearned: (flags & NTF.EXT_LEARNED) !== 0,
    vlan: all.u16(NDA.VLAN) ?? null,
    destination: ipText(all.bytes(NDA.DST)) ?? null,
    port: all.u16BE(NDA.PORT) ?? null,
    vni: all.u32(NDA.VNI) ?? null,
  };
};

/** Requests on forwarding entries. */
export const fdb = {
  /** `netlink-exists` when the table has an entry for the MAC. */
  add: (options: FdbOptions): NetlinkRequest => write('add', options),

  /** Adds it or moves it here, also from another port of the bridge. */
  replace: (options: FdbOptions): NetlinkRequest => write('replace', options),

  /** `netlink-not-found` when there is no such entry on this port. */
  remove: (options: FdbRemoval): NetlinkRequest => ({
    operation: { name: 'fdb-remove', options },
    description: `remove forwarding entry ${options.mac} from ${options.dev}`,
    touches: [],
    steps: [
      // The kernel reads the state also here: it refuses to delete by an entry that has none.
      (context) => fdbMessage(context, RTM_DELNEIGH, NLM_F_REQUEST | NLM_F_ACK, options, states.permanent),
    ],
  }),

  dump: (filter: FdbFilter = {}): DumpRequest<FdbEntry> => ({
    operation: { name: 'fdb-dump', options: filter },
    description: 'list forwarding entries',
    encode: (context) => {
      const writer = new MessageWriter(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP)
        .u8(AF_BRIDGE)
        .u8(0)
        .u16(0)
        .u32(filter.dev === undefined ? 0 : index(context, filter.dev))
        .u32(0);
      if (filter.bridge !== undefined) writer.attributeU32(NDA.MASTER, index(context, filter.bridge));
      return writer.finish();
    },
    decode: decodeFdbEntry,
  }),
};
