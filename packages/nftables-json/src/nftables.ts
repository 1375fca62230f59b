/** The interface to one network namespace's ruleset: implemented on the kernel and by the fake. */
import type { Family, NftObject } from './types.ts';

/** What to list. Nothing: the whole ruleset. `set` and `map` list one set with its elements. */
export type ListScope = {
  readonly family?: Family;
  readonly table?: string;
  readonly chain?: string;
  readonly set?: string;
  readonly map?: string;
};

/** Options of a listing. */
export type ListOptions = {
  /** Leave out the elements of sets and maps. */
  readonly terse?: boolean;
  /** Keep handles. */
  readonly handles?: boolean;
  /**
   * Also what 1.0.6 leaves out of its JSON: comments of tables and chains, devices of chains, the set properties `dynamic` and
   * `auto-merge`. Costs a second listing, as text.
   */
  readonly complete?: boolean;
};

/** The ruleset of one network namespace. Every method rejects with NftablesError. */
export interface Nftables {
  /** Dry run: the text would be taken. Changes nothing. */
  check(text: string): Promise<void>;
  /** Applies the text as one transaction: all of it or, when it rejects, nothing. */
  apply(text: string): Promise<void>;
  /** Objects of the scope. A listing of much fetches much: keep it off hot paths. */
  list(scope?: ListScope, options?: ListOptions): Promise<NftObject[]>;
  /** The same as nft text, for people. */
  listText(scope?: ListScope, options?: ListOptions): Promise<string>;
  /**
   * The ruleset's generation id, which every transaction of anybody changes. Costs one small netlink request: equal ids mean
   * nobody touched anything.
   */
  generation(): Promise<number>;
  /** Ends it. Pending calls reject; later calls too. */
  close(): Promise<void>;
}
