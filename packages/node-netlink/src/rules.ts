/** Policy routing rules: ip-rule(8), linux/fib_rules.h. */
import type { DumpRequest, NetlinkRequest, ReceivedMessage } from './request.ts';
import {
  type AddressFamily,
  familyName,
  familyNumber,
  familyOf,
  ipText,
  type Prefix,
  prefixBytes,
} from './wire/address-bytes.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST } from './wire/flags.ts';
import { MessageWriter } from './wire/message-writer.ts';
import { protocolName, protocolNumber, type RouteProtocol } from './wire/route-names.ts';

export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
const RTM_GETRULE = 34;

const FRA = {
  DST: 1,
  SRC: 2,
  IIFNAME: 3,
  GOTO: 4,
  PRIORITY: 6,
  FWMARK: 10,
  SUPPRESS_PREFIXLEN: 14,
  TABLE: 15,
  FWMASK: 16,
  OIFNAME: 17,
  PROTOCOL: 21,
  IP_PROTO: 22,
  SPORT_RANGE: 23,
  DPORT_RANGE: 24,
} as const;
const FIB_RULE_INVERT = 2;

export type RuleAction = 'table' | 'goto' | 'nop' | 'blackhole' | 'unreachable' | 'prohibit';

const actions: readonly (RuleAction | undefined)[] = [
  undefined,
  'table',
  'goto',
  'nop',
  undefined,
  undefined,
  'blackhole',
  'unreachable',
  'prohibit',
];

/** What `rules.add` and `rules.remove` take. */
export interface RuleOptions {
  /** That of `from` or `to` when absent, else IPv4. */
  readonly family?: AddressFamily | undefined;
  /** Lower comes first; the kernel chooses when absent. */
  readonly priority?: number | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly inputDev?: string | undefined;
  readonly outputDev?: string | undefined;
  readonly mark?: number | undefined;
  readonly markMask?: number | undefined;
  readonly not?: boolean | undefined;
  readonly ipProtocol?: number | undefined;
  readonly sourcePorts?: readonly [first: number, last: number] | undefined;
  readonly destinationPorts?: readonly [first: number, last: number] | undefined;
  readonly action?: RuleAction | undefined;
  /** Table to look in; makes the action `table`. */
  readonly table?: number | undefined;
  /** Priority of the rule to go on with; for the action `goto`. */
  readonly goto?: number | undefined;
  /** Routes of this prefix length or shorter are passed over. */
  readonly suppressPrefixLength?: number | undefined;
  readonly protocol?: RouteProtocol | undefined;
}

export interface RuleFilter {
  readonly family?: AddressFamily | undefined;
}

/** A rule as the kernel reports it. */
export interface Rule {
  readonly family: AddressFamily;
  readonly priority: number;
  readonly from: string | null;
  readonly to: string | null;
  readonly inputDev: string | null;
  readonly outputDev: string | null;
  readonly mark: number | null;
  readonly markMask: number | null;
  readonly not: boolean;
  readonly ipProtocol: number | null;
  readonly sourcePorts: readonly [number, number] | null;
  readonly destinationPorts: readonly [number, number] | null;
  readonly action: RuleAction;
  readonly table: number | null;
  readonly goto: number | null;
  readonly suppressPrefixLength: number | null;
  readonly protocol: RouteProtocol;
}

const portRange = (range: readonly [number, number]): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(range[0], 0);
  bytes.writeUInt16LE(range[1], 2);
  return bytes;
};

const ruleMessage = (type: number, flags: number, options: RuleOptions): Buffer => {
  const from = options.from === undefined ? null : prefixBytes(options.from);
  const to = options.to === undefined ? null : prefixBytes(options.to);
  const known: Prefix | null = from ?? to;
  const family =
    options.family === undefined
      ? known === null
        ? 2
        : familyOf(known.bytes)
      : familyNumber(options.family);
  const table = options.table ?? 0;
  const removal = type === RTM_DELRULE;
  const action = options.action ?? (removal && options.table === undefined ? undefined : 'table');
  const writer = new MessageWriter(type, flags)
    .u8(family)
    .u8(to?.length ?? 0)
    .u8(from?.length ?? 0)
    .u8(0)
    .u8(table < 256 ? table : 0)
    .u8(0)
    .u8(0)
    .u8(action === undefined ? 0 : actions.indexOf(action))
    .u32(options.not === true ? FIB_RULE_INVERT : 0);
  if (from !== null) writer.attribute(FRA.SRC, from.bytes);
  if (to !== null) writer.attribute(FRA.DST, to.bytes);
  if (options.priority !== undefined) writer.attributeU32(FRA.PRIORITY, options.priority);
  if (options.mark !== undefined) writer.attributeU32(FRA.FWMARK, options.mark);
  if (options.markMask !== undefined) writer.attributeU32(FRA.FWMASK, options.markMask);
  if (options.inputDev !== undefined) writer.attributeString(FRA.IIFNAME, options.inputDev);
  if (options.outputDev !== undefined) writer.attributeString(FRA.OIFNAME, options.outputDev);
  if (table >= 256) writer.attributeU32(FRA.TABLE, table);
  if (options.goto !== undefined) writer.attributeU32(FRA.GOTO, options.goto);
  if (options.suppressPrefixLength !== undefined) {
    writer.attributeU32(FRA.SUPPRESS_PREFIXLEN, options.suppressPrefixLength);
  }
  if (options.ipProtocol !== undefined) writer.attributeU8(FRA.IP_PROTO, options.ipProtocol);
  if (options.sourcePorts !== undefined) writer.attribute(FRA.SPORT_RANGE, portRange(options.sourcePorts));
  if (options.destinationPorts !== undefined)
    writer.attribute(FRA.DPORT_RANGE, portRange(options.destinationPorts));
  if (options.protocol !== undefined) writer.attributeU8(FRA.PROTOCOL, protocolNumber(options.protocol));
  return writer.finish();
};

const describe = (verb: string, options: RuleOptions): string =>
  [
    `${verb} rule`,
    options.priority === undefined ? '' : ` ${options.priority}`,
    options.from === undefined ? '' : ` from ${options.from}`,
    options.to === undefined ? '' : ` to ${options.to}`,
    options.table === undefined ? '' : ` lookup ${options.table}`,
  ].join('');

const range = (bytes: Buffer | undefined): readonly [number, number] | null =>
  bytes === undefined || bytes.length < 4 ? null : [bytes.readUInt16LE(0), bytes.readUInt16LE(2)];

/** Reads `RTM_NEWRULE` and `RTM_DELRULE` of IPv4 and IPv6. */
export const decodeRule = (message: ReceivedMessage): Rule | undefined => {
  if (message.type !== RTM_NEWRULE && message.type !== RTM_DELRULE) return undefined;
  const { buffer, start } = message;
  const family = buffer.readUInt8(start);
  // The dump of all families also answers with the rules of multicast routing.
  if (family !== 2 && family !== 10) return undefined;
  const all = new Attributes(buffer, start + 12, message.end);
  const prefix = (type: number, length: number): string | null => {
    const address = ipText(all.bytes(type));
    return address === undefined ? null : `${address}/${length}`;
  };
  const action = actions[buffer.readUInt8(start + 7)] ?? 'nop';
  const suppress = all.u32(FRA.SUPPRESS_PREFIXLEN);
  const mark = all.u32(FRA.FWMARK);
  return {
    family: familyName(family),
    priority: all.u32(FRA.PRIORITY) ?? 0,
    from: prefix(FRA.SRC, buffer.readUInt8(start + 2)),
    to: prefix(FRA.DST, buffer.readUInt8(start + 1)),
    inputDev: all.string(FRA.IIFNAME) ?? null,
    outputDev: all.string(FRA.OIFNAME) ?? null,
    mark: mark ?? null,
    markMask: mark === undefined ? null : (all.u32(FRA.FWMASK) ?? null),
    not: (buffer.readUInt32LE(start + 8) & FIB_RULE_INVERT) !== 0,
    ipProtocol: all.u8(FRA.IP_PROTO) ?? null,
    sourcePorts: range(all.bytes(FRA.SPORT_RANGE)),
    destinationPorts: range(all.bytes(FRA.DPORT_RANGE)),
    action,
    table: action === 'table' ? (all.u32(FRA.TABLE) ?? buffer.readUInt8(start + 4)) : null,
    goto: all.u32(FRA.GOTO) ?? null,
    suppressPrefixLength: suppress === undefined || suppress === 0xffffffff ? null : suppress,
    protocol: protocolName(all.u8(FRA.PROTOCOL) ?? 0),
  };
};

/** Requests on rules. */
export const rules = {
  /** `netlink-exists` when the same rule is there. */
  add: (options: RuleOptions): NetlinkRequest => ({
    operation: { name: 'rule-add', options },
    description: describe('add', options),
    touches: [],
    steps: [() => ruleMessage(RTM_NEWRULE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, options)],
  }),

  /** Removes the first rule that fits what is given. `netlink-not-found` when none does. */
  remove: (options: RuleOptions): NetlinkRequest => ({
    operation: { name: 'rule-remove', options },
    description: describe('remove', options),
    touches: [],
    steps: [() => ruleMessage(RTM_DELRULE, NLM_F_REQUEST | NLM_F_ACK, options)],
  }),

  dump: (filter: RuleFilter = {}): DumpRequest<Rule> => ({
    operation: { name: 'rule-dump', options: filter },
    description: 'list rules',
    encode: () =>
      new MessageWriter(RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP)
        .u8(filter.family === undefined ? 0 : familyNumber(filter.family))
        .bytes(Buffer.alloc(11))
        .finish(),
    decode: decodeRule,
  }),
};
