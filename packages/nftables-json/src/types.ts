/**
 * The libnftables JSON schema (`libnftables-json(5)`) as readonly TypeScript types: what `nft -j list ruleset` prints in
 * nftables 1.0.6, and what {@link renderText} writes as text. Field names and string values are the wire's own.
 */

/** Address family of a table. */
export type Family = 'ip' | 'ip6' | 'inet' | 'arp' | 'bridge' | 'netdev';

/** Types of set keys and map values this package knows how to write. */
export type DataType =
  | 'ipv4_addr'
  | 'ipv6_addr'
  | 'ether_addr'
  | 'ether_type'
  | 'inet_proto'
  | 'inet_service'
  | 'mark'
  | 'ifname'
  | 'iface_index'
  | 'ct_state'
  | 'ct_status'
  | 'ct_dir'
  | 'nf_proto'
  | 'pkt_type'
  | 'icmp_type'
  | 'icmp_code'
  | 'icmpv6_type'
  | 'icmpv6_code';

/** One type, or the columns of a concatenation. */
export type KeyType = DataType | readonly DataType[];

/** Type of a map's values; `counter` makes an object map that names stateful counters. */
export type MapType = KeyType | 'verdict' | 'counter';

/** Ends or redirects the evaluation of a packet. */
export type Verdict =
  | { readonly accept: null }
  | { readonly drop: null }
  | { readonly continue: null }
  | { readonly return: null }
  | { readonly jump: { readonly target: string } }
  | { readonly goto: { readonly target: string } };

/** A field of a packet header, or raw bits of it. */
export type Payload =
  | { readonly protocol: string; readonly field: string }
  | { readonly base: 'll' | 'nh' | 'th'; readonly offset: number; readonly len: number };

/** What `fib` looks up, from which parts of the packet. */
export type Fib = {
  readonly result: 'type' | 'oif' | 'oifname';
  readonly flags: readonly ('saddr' | 'daddr' | 'mark' | 'iif' | 'oif')[];
};

/** Connection tracking: `key` may be `state`, `mark`, `ip daddr` ..., `dir` the direction it is asked of. */
export type Ct = { readonly key: string; readonly dir?: 'original' | 'reply' };

/** Value expression. A string is a symbol, an address, an interface name or (with `@`) the name of a set. */
export type Expression =
  | string
  | number
  | boolean
  | readonly Expression[]
  | Verdict
  | { readonly concat: readonly Expression[] }
  | { readonly set: readonly SetItem[] }
  | { readonly map: { readonly key: Expression; readonly data: Expression } }
  | { readonly prefix: { readonly addr: string | number; readonly len: number } }
  | { readonly range: readonly [Expression, Expression] }
  | { readonly payload: Payload }
  | { readonly meta: { readonly key: string } }
  | { readonly ct: Ct }
  | { readonly fib: Fib }
  | { readonly exthdr: { readonly name: string; readonly field?: string } }
  | { readonly 'tcp option': { readonly name: string; readonly field?: string } }
  | { readonly rt: { readonly key: string; readonly family?: 'ip' | 'ip6' } }
  | { readonly socket: { readonly key: string } }
  | {
      readonly jhash: {
        readonly mod: number;
        readonly expr: Expression;
        readonly seed?: number;
        readonly offset?: number;
      };
    }
  | { readonly numgen: { readonly mode: 'inc' | 'random'; readonly mod: number; readonly offset?: number } }
  | { readonly '&': readonly Expression[] }
  | { readonly '|': readonly Expression[] }
  | { readonly '^': readonly Expression[] }
  | { readonly '<<': readonly Expression[] }
  | { readonly '>>': readonly Expression[] };

/** Packets and bytes a counter has seen. */
export type CounterValue = { readonly packets: number; readonly bytes: number };

/** A set element that carries more than its value. Times in seconds. */
export type ElementBody = {
  readonly val: Expression;
  readonly timeout?: number;
  readonly expires?: number;
  readonly comment?: string;
  readonly counter?: CounterValue | null;
};

/** The key of an element. */
export type ElementKey = Expression | { readonly elem: ElementBody };

/** An element of a set (its key) or of a map (key and value). */
export type SetItem = ElementKey | readonly [key: ElementKey, value: Expression];

/** Relation of a match. `in` is what nft prints for an implicit comparison with flags (`ct state new`). */
export type MatchOperator = '==' | '!=' | '<' | '>' | '<=' | '>=' | 'in';

/** Flags of source and destination translation. */
export type NatFlag = 'random' | 'fully-random' | 'persistent' | 'netmap';

/** Where a translation leads. */
export type Nat = {
  readonly family?: 'ip' | 'ip6';
  readonly addr?: Expression;
  readonly port?: Expression;
  readonly flags?: NatFlag | readonly NatFlag[];
  readonly type_flags?: 'prefix' | 'interval' | 'concat' | readonly ('prefix' | 'interval' | 'concat')[];
};

/** Port range and flags of masquerade and redirect. */
export type PortNat = { readonly port?: Expression; readonly flags?: NatFlag | readonly NatFlag[] };

/** Rate limit. `burst` 0 or absent means the kernel's default. */
export type Limit = {
  readonly rate: number;
  readonly rate_unit?: 'packets' | 'bytes' | 'kbytes' | 'mbytes';
  readonly per: 'second' | 'minute' | 'hour' | 'day' | 'week';
  readonly burst?: number;
  readonly burst_unit?: 'bytes' | 'kbytes' | 'mbytes';
  readonly inv?: boolean;
};

/** Flags of a log statement. */
export type LogFlag = 'all' | 'tcp sequence' | 'tcp options' | 'ip options' | 'skuid' | 'ether';

/** What a log statement writes, and where. */
export type Log = {
  readonly prefix?: string;
  readonly level?: 'emerg' | 'alert' | 'crit' | 'err' | 'warn' | 'notice' | 'info' | 'debug' | 'audit';
  readonly flags?: LogFlag | readonly LogFlag[];
  readonly group?: number;
  readonly snaplen?: number;
  readonly 'queue-threshold'?: number;
};

/** How a packet is refused. */
export type Reject =
  | { readonly type: 'tcp reset' }
  | { readonly type?: 'icmp' | 'icmpv6' | 'icmpx'; readonly expr?: string };

/** Adds, updates or deletes an element from the packet path. */
export type SetStatement = {
  readonly op: 'add' | 'update' | 'delete';
  readonly elem: ElementKey;
  readonly set: string;
  readonly stmt?: readonly Statement[];
};

/** The same for a map. */
export type MapStatement = {
  readonly op: 'add' | 'update' | 'delete';
  readonly elem: ElementKey;
  readonly data: Expression;
  readonly map: string;
};

/** One step of a rule. */
export type Statement =
  | Verdict
  | { readonly match: { readonly op: MatchOperator; readonly left: Expression; readonly right: Expression } }
  | { readonly vmap: { readonly key: Expression; readonly data: Expression } }
  | { readonly mangle: { readonly key: Expression; readonly value: Expression } }
  | { readonly counter: CounterValue | string | null }
  | { readonly limit: Limit }
  | {
      readonly quota: {
        readonly val: number;
        readonly val_unit: string;
        readonly inv?: boolean;
        readonly used?: number;
        readonly used_unit?: string;
      };
    }
  | { readonly log: Log | null }
  | { readonly reject: Reject | null }
  | { readonly dnat: Nat }
  | { readonly snat: Nat }
  | { readonly masquerade: PortNat | null }
  | { readonly redirect: PortNat | null }
  | { readonly tproxy: { readonly family?: 'ip' | 'ip6'; readonly addr?: string; readonly port?: number } }
  | { readonly dup: { readonly addr: Expression; readonly dev?: Expression } }
  | { readonly fwd: { readonly dev: Expression; readonly family?: 'ip' | 'ip6'; readonly addr?: Expression } }
  | { readonly notrack: null }
  | { readonly set: SetStatement }
  | { readonly map: MapStatement }
  | { readonly 'ct count': { readonly val: number; readonly inv?: boolean } };

/** A table: the name space of everything else. Comments are not in nft 1.0.6's JSON listing. */
export type Table = {
  readonly family: Family;
  readonly name: string;
  readonly comment?: string;
  readonly handle?: number;
};

/** Kind of a base chain. */
export type ChainType = 'filter' | 'nat' | 'route';

/** Where a base chain hooks in. */
export type Hook = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress' | 'egress';

/** A chain: regular, or base when it has `type`, `hook` and `prio`. `dev` and `comment` are not in 1.0.6's JSON listing. */
export type Chain = {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly type?: ChainType;
  readonly hook?: Hook;
  readonly prio?: number;
  readonly policy?: 'accept' | 'drop';
  readonly dev?: string | readonly string[];
  readonly comment?: string;
  readonly handle?: number;
};

/** A rule. `handle` and `index` say where; both cost a fetch of every rule of the namespace and are best avoided. */
export type Rule = {
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
  readonly expr: readonly Statement[];
  readonly comment?: string;
  readonly handle?: number;
  readonly index?: number;
};

/** Flags of a set. `dynamic` is not in 1.0.6's JSON listing. */
export type SetFlag = 'constant' | 'interval' | 'timeout' | 'dynamic';

/** A named set. Times in seconds. `stmt` are the statements each element carries (`counter`). */
export type NftSet = {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly type: KeyType;
  readonly flags?: readonly SetFlag[];
  readonly timeout?: number;
  readonly 'gc-interval'?: number;
  readonly size?: number;
  readonly policy?: 'performance' | 'memory';
  readonly 'auto-merge'?: boolean;
  readonly comment?: string;
  readonly stmt?: readonly Statement[];
  readonly elem?: readonly SetItem[];
  readonly handle?: number;
};

/** A named map, or a verdict map. */
export type NftMap = NftSet & { readonly map: MapType };

/** Elements of a set or a map. */
export type Element = {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly elem: readonly SetItem[];
};

/** A named counter. */
export type Counter = {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly packets?: number;
  readonly bytes?: number;
  readonly comment?: string;
  readonly handle?: number;
};

/** One object of a ruleset, under the key that names its kind. */
export type NftObject =
  | { readonly table: Table }
  | { readonly chain: Chain }
  | { readonly rule: Rule }
  | { readonly set: NftSet }
  | { readonly map: NftMap }
  | { readonly element: Element }
  | { readonly counter: Counter };

/** Names an object without describing it. */
export type Reference = {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly handle?: number;
};

/** What `delete` takes: names suffice, rules go by handle. */
export type Deletable =
  | { readonly table: { readonly family: Family; readonly name: string } }
  | { readonly chain: Reference }
  | { readonly set: Reference }
  | { readonly map: Reference }
  | { readonly counter: Reference }
  | { readonly element: Element }
  | {
      readonly rule: {
        readonly family: Family;
        readonly table: string;
        readonly chain: string;
        readonly handle: number;
      };
    };

/** What `flush` empties: all rules of a table or chain, all elements of a set or map, or everything. */
export type Flushable =
  | { readonly table: { readonly family: Family; readonly name: string } }
  | { readonly chain: Reference }
  | { readonly set: Reference }
  | { readonly map: Reference }
  | { readonly ruleset: null };

/**
 * One command of a transaction. `add` is content with an object that exists, `create` is not; `insert` puts a rule first.
 * `destroy` is missing because 1.0.6 does not know it: `add` before `delete` has the same effect. `comment` is a line for
 * people and has no effect.
 */
export type Command =
  | { readonly add: NftObject }
  | { readonly create: NftObject }
  | { readonly insert: { readonly rule: Rule } }
  | { readonly replace: { readonly rule: Rule } }
  | { readonly delete: Deletable }
  | { readonly flush: Flushable }
  | { readonly comment: string };
