/** What a request is: plain data saying what is wanted, and how to put it into messages. Nothing is sent here. */
import type { Address, AddressFilter, AddressOptions, AddressRemoval } from './addresses.ts';
import type { FdbEntry, FdbFilter, FdbOptions, FdbRemoval } from './fdb.ts';
import type { Link } from './link-decode.ts';
import type { LinkChange, LinkFilter, LinkOptions, LinkSelector } from './link-options.ts';
import type { Neighbour, NeighbourFilter, NeighbourOptions, NeighbourRemoval } from './neighbours.ts';
import type { Qdisc, QdiscFilter, QdiscOptions, QdiscRemoval } from './qdiscs.ts';
import type { Route, RouteFilter, RouteOptions } from './routes.ts';
import type { Rule, RuleFilter, RuleOptions } from './rules.ts';
import type { WriteMode } from './wire/flags.ts';

/** What is asked for, as data: a fake reads this, the kernel gets the messages. */
export type Operation =
  | { readonly name: 'link-add'; readonly options: LinkOptions }
  | { readonly name: 'link-set'; readonly options: LinkChange }
  | { readonly name: 'link-remove'; readonly options: LinkSelector }
  | { readonly name: 'link-get'; readonly options: LinkSelector }
  | { readonly name: 'link-dump'; readonly options: LinkFilter }
  | { readonly name: 'address-write'; readonly mode: WriteMode; readonly options: AddressOptions }
  | { readonly name: 'address-remove'; readonly options: AddressRemoval }
  | { readonly name: 'address-dump'; readonly options: AddressFilter }
  | { readonly name: 'route-write'; readonly mode: WriteMode; readonly options: RouteOptions }
  | { readonly name: 'route-remove'; readonly options: RouteOptions }
  | { readonly name: 'route-dump'; readonly options: RouteFilter }
  | { readonly name: 'rule-add'; readonly options: RuleOptions }
  | { readonly name: 'rule-remove'; readonly options: RuleOptions }
  | { readonly name: 'rule-dump'; readonly options: RuleFilter }
  | { readonly name: 'neighbour-write'; readonly mode: WriteMode; readonly options: NeighbourOptions }
  | { readonly name: 'neighbour-remove'; readonly options: NeighbourRemoval }
  | { readonly name: 'neighbour-dump'; readonly options: NeighbourFilter }
  | { readonly name: 'fdb-write'; readonly mode: WriteMode; readonly options: FdbOptions }
  | { readonly name: 'fdb-remove'; readonly options: FdbRemoval }
  | { readonly name: 'fdb-dump'; readonly options: FdbFilter }
  | { readonly name: 'qdisc-write'; readonly mode: WriteMode; readonly options: QdiscOptions }
  | { readonly name: 'qdisc-remove'; readonly options: QdiscRemoval }
  | { readonly name: 'qdisc-dump'; readonly options: QdiscFilter };

/** What names stand for at the moment of sending. */
export interface EncodeContext {
  /** Index of the link of this name in the socket's namespace; throws `netlink-not-found`. */
  linkIndex(name: string): number;
  /** An open descriptor of a network namespace, kept until the messages were sent. */
  namespaceDescriptor(netns: string): number;
}

/** A tun or tap device: made through ioctl on /dev/net/tun, as rtnetlink cannot. */
export interface TunStep {
  /** Where, when not in the namespace of the socket. */
  readonly netns: string | undefined;
  readonly tun: {
    readonly name: string;
    readonly mode: 'tun' | 'tap';
    readonly multiQueue: boolean;
    readonly vnetHeader: boolean;
    readonly packetInformation: boolean;
    readonly owner: number | undefined;
    readonly group: number | undefined;
  };
}

/** A message builder, called when everything before it is known to the kernel if it asks for names. */
export type MessageStep = (context: EncodeContext) => Buffer;

/** A message for another namespace, sent after all others of a batch: for what the kernel does not take across. */
export interface ElsewhereStep {
  readonly elsewhere: string;
  readonly message: MessageStep;
}

export type Step = MessageStep | TunStep | ElsewhereStep;

/** A message from the kernel. `buffer` is valid only during the call. */
export interface ReceivedMessage {
  readonly type: number;
  readonly flags: number;
  readonly buffer: Buffer;
  /** Where the payload (after the header) starts and ends. */
  readonly start: number;
  readonly end: number;
}

/** One request. `T` is what the kernel answers with: nothing for changes. */
export interface NetlinkRequest<T = void> {
  readonly operation: Operation;
  /** What is asked for, in words: it opens the message of errors. */
  readonly description: string;
  /** Names of links whose existence or index this changes. */
  readonly touches: readonly string[];
  readonly steps: readonly Step[];
  /** Reads an answer; undefined for messages that are not the answer. */
  readonly decode?: ((message: ReceivedMessage) => T | undefined) | undefined;
}

/** A request for everything of a kind. */
export interface DumpRequest<T> {
  readonly operation: Operation;
  readonly description: string;
  readonly encode: MessageStep;
  readonly decode: (message: ReceivedMessage) => T | undefined;
  /** The refusal that only means that there is none. */
  readonly emptyOn?: string | undefined;
  /** Which of the answers are wanted, where the kernel does not select. */
  readonly select?: ((context: EncodeContext) => (value: T) => boolean) | undefined;
}

/** The types that dumps answer with. */
export type DumpedObject = Link | Address | Route | Rule | Neighbour | FdbEntry | Qdisc;
