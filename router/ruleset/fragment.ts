/** A set or map of the router's table. */
export interface SetDeclaration {
  readonly name: string;
  readonly kind: 'set' | 'map';
  /** nft types: `ipv4_addr . inet_proto`, and for maps `key : value`. */
  readonly type: string;
  /** Elements may be ranges: kept by the kernel as pipapo, slow to delete from when large. */
  readonly interval?: boolean;
  /** Every element counts the packets it matched. */
  readonly counter?: boolean;
}

/** A chain and its rules, written exactly as nft 1.0.6 lists them: that is how drift is seen. */
export interface Chain {
  readonly name: string;
  /** The first line of a base chain: type, hook, priority, policy. */
  readonly hook?: string;
  readonly rules: readonly string[];
}

/** First and last value of one dimension of a key, both included. */
export type Interval = readonly [first: number, last: number];

/** One interval for each dimension of an interval set that is a number. */
export type Box = readonly Interval[];

/** Takes what one item of the document puts into the table. */
export interface ElementSink {
  /** An element with a key of its own, in nft text; `value` for maps. */
  readonly element: (set: string, key: string, value?: string) => void;
  /**
   * A region of an interval set. Regions of a group may overlap: the kernel refuses overlapping elements, so they are
   * cut into disjoint ones, each counted for the item that comes first. `group` is the part of the key that is not a
   * number, and `write` makes the key of a region of it.
   */
  readonly region: (set: string, group: string, box: Box, write: (group: string, box: Box) => string) => void;
}

/** The elements that a list of items puts into the table. Items keep their identity while they stay the same. */
export interface Part<Item extends { readonly id: string } = { readonly id: string }> {
  /** Names the part across generations. */
  readonly name: string;
  /** In ascending order of id. */
  readonly items: readonly Item[];
  /** What `elementsOf` reads besides the item; another identity here makes every item count as changed. */
  readonly context: unknown;
  readonly elementsOf: (item: Item, sink: ElementSink) => void;
}

/** What a feature adds to the router's one table. */
export interface Fragment {
  readonly sets: readonly SetDeclaration[];
  readonly chains: readonly Chain[];
  readonly parts: readonly Part[];
}

/** A part as a fragment holds it: the type of its items is its own affair. */
export const part = <Item extends { readonly id: string }>(of: Part<Item>): Part => of as unknown as Part;
