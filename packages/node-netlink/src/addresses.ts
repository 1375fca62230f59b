/** IP addresses of links: rtnetlink(7), `RTM_NEWADDR` and kin. */
import type { DumpRequest, EncodeContext, NetlinkRequest, ReceivedMessage } from './request.ts';
import {
  type AddressFamily,
  familyName,
  familyNumber,
  familyOf,
  ipBytes,
  ipText,
  prefixBytes,
} from './wire/address-bytes.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, type WriteMode, writeFlags } from './wire/flags.ts';
import { MessageWriter } from './wire/message-writer.ts';
import { type Scope, scopeName, scopeNumber } from './wire/route-names.ts';

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, BROADCAST: 4, CACHEINFO: 6, FLAGS: 8, RT_PRIORITY: 9 } as const;
const IFA_F_SECONDARY = 0x01;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;
const FOREVER = 0xffffffff;

/** What `addresses.add` and `addresses.replace` take. */
export interface AddressOptions {
  /** Link, by name or index. */
  readonly dev: string | number;
  /** `10.1.1.1/24` or `2001:db8::1/64`; without a length the address stands alone (/32, /128). */
  readonly address: string;
  /** Address of the other end of a point-to-point link. */
  readonly peer?: string | undefined;
  /** IPv4 broadcast address; none when absent. */
  readonly broadcast?: string | undefined;
  readonly label?: string | undefined;
  readonly scope?: Scope | undefined;
  /** IPv6: usable at once, without duplicate address detection. */
  readonly noDad?: boolean | undefined;
  /** The kernel adds no route to the prefix. */
  readonly noPrefixRoute?: boolean | undefined;
  /** Seconds; for ever when absent. */
  readonly validLifetime?: number | undefined;
  /** Seconds; for ever when absent, 0 makes it deprecated. */
  readonly preferredLifetime?: number | undefined;
  /** Metric of the route to the prefix. */
  readonly metric?: number | undefined;
}

/** What `addresses.remove` takes. */
export interface AddressRemoval {
  readonly dev: string | number;
  readonly address: string;
}

export interface AddressFilter {
  readonly dev?: string | number | undefined;
  readonly family?: AddressFamily | undefined;
}

/** An address as the kernel reports it. */
export interface Address {
  readonly family: AddressFamily;
  /** Index of its link. */
  readonly link: number;
  /** With prefix length: `10.1.1.1/24`. */
  readonly address: string;
  readonly peer: string | null;
  readonly broadcast: string | null;
  readonly label: string | null;
  readonly scope: Scope;
  readonly secondary: boolean;
  readonly tentative: boolean;
  readonly deprecated: boolean;
  readonly duplicate: boolean;
  readonly permanent: boolean;
  readonly noPrefixRoute: boolean;
  /** Seconds left; null for ever. */
  readonly validLifetime: number | null;
  readonly preferredLifetime: number | null;
}

const index = (context: EncodeContext, dev: string | number): number =>
  typeof dev === 'number' ? dev : context.linkIndex(dev);

const write = (mode: WriteMode, options: AddressOptions): NetlinkRequest => ({
  operation: { name: 'address-write', mode, options },
  description: `${mode} address ${options.address} on ${options.dev}`,
  touches: [],
  steps: [
    (context) => {
      const prefix = prefixBytes(options.address);
      const flags =
        (options.noDad === true ? IFA_F_NODAD : 0) |
        (options.noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0);
      const writer = new MessageWriter(RTM_NEWADDR, writeFlags(mode))
        .u8(familyOf(prefix.bytes))
        .u8(prefix.length)
        .u8(flags & 0xff)
        .u8(scopeNumber(options.scope ?? 'global'))
        .u32(index(context, options.dev));
      writer.attribute(IFA.LOCAL, prefix.bytes);
      writer.attribute(IFA.ADDRESS, options.peer === undefined ? prefix.bytes : ipBytes(options.peer));
      if (options.broadcast !== undefined) writer.attribute(IFA.BROADCAST, ipBytes(options.broadcast));
      if (options.label !== undefined) writer.attributeString(IFA.LABEL, options.label);
      if (flags > 0xff) writer.attributeU32(IFA.FLAGS, flags);
      if (options.metric !== undefined) writer.attributeU32(IFA.RT_PRIORITY, options.metric);
      if (options.validLifetime !== undefined || options.preferredLifetime !== undefined) {
        const cache = Buffer.alloc(16);
        cache.writeUInt32LE(options.preferredLifetime ?? options.validLifetime ?? FOREVER, 0);
        cache.writeUInt32LE(options.validLifetime ?? FOREVER, 4);
        writer.attribute(IFA.CACHEINFO, cache);
      }
      return writer.finish();
    },
  ],
});

/** Reads `RTM_NEWADDR` and `RTM_DELADDR`. */
export const decodeAddress = (message: ReceivedMessage): Address | undefined => {
  if (message.type !== RTM_NEWADDR && message.type !== RTM_DELADDR) return undefined;
  const { buffer, start } = message;
  const all = new Attributes(buffer, start + 8, message.end);
  const local = ipText(all.bytes(IFA.LOCAL));
  const address = ipText(all.bytes(IFA.ADDRESS));
  const flags = all.u32(IFA.FLAGS) ?? buffer.readUInt8(start + 2);
  const cache = all.bytes(IFA.CACHEINFO);
  const lifetime = (at: number): number | null => {
    const seconds = cache === undefined ? FOREVER : cache.readUInt32LE(at);
    return seconds === FOREVER ? null : seconds;
  };
  const own = local ?? address ?? '';
  return {
    family: familyName(buffer.readUInt8(start)),
    link: buffer.readUInt32LE(start + 4),
    address: `${own}/${buffer.readUInt8(start + 1)}`,
    peer: address === undefined || address === own ? null : address,
    broadcast: ipText(all.bytes(IFA.BROADCAST)) ?? null,
    label: all.string(IFA.LABEL) ?? null,
    scope: scopeName(buffer.readUInt8(start + 3)),
    secondary: (flags & IFA_F_SECONDARY) !== 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    deprecated: (flags & IFA_F_DEPRECATED) !== 0,
    duplicate: (flags & IFA_F_DADFAILED) !== 0,
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    noPrefixRoute: (flags & IFA_F_NOPREFIXROUTE) !== 0,
    validLifetime: lifetime(4),
    preferredLifetime: lifetime(0),
  };
};

/** Requests on addresses. */
export const addresses = {
  /** Gives a link an address. `netlink-exists` when it has it. */
  add: (options: AddressOptions): NetlinkRequest => write('add', options),

  /** The same, but an address that is there is brought up to date. */
  replace: (options: AddressOptions): NetlinkRequest => write('replace', options),

  /** `netlink-not-found` when the link has no such address. */
  remove: (options: AddressRemoval): NetlinkRequest => ({
    operation: { name: 'address-remove', options },
    description: `remove address ${options.address} from ${options.dev}`,
    touches: [],
    steps: [
      (context) => {
        const prefix = prefixBytes(options.address);
        return new MessageWriter(RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK)
          .u8(familyOf(prefix.bytes))
          .u8(prefix.length)
          .u8(0)
          .u8(0)
          .u32(index(context, options.dev))
          .attribute(IFA.LOCAL, prefix.bytes)
          .attribute(IFA.ADDRESS, prefix.bytes)
          .finish();
      },
    ],
  }),

  /** The addresses of the namespace or of one link. */
  dump: (filter: AddressFilter = {}): DumpRequest<Address> => ({
    operation: { name: 'address-dump', options: filter },
    description: 'list addresses',
    encode: (context) =>
      new MessageWriter(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP)
        .u8(filter.family === undefined ? 0 : familyNumber(filter.family))
        .u8(0)
        .u8(0)
        .u8(0)
        .u32(filter.dev === undefined ? 0 : index(context, filter.dev))
        .finish(),
    decode: decodeAddress,
  }),
};
