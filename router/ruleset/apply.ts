import { NftablesError } from 'nftables-json';
import type { Applied } from '../feature.ts';
import type { System } from '../system.ts';
import { cutRevoked } from './connections.ts';
import { type ElementChanges, elementText, Ledger, type SetChange, type Stage } from './ledger.ts';
import { parseBlocks, visitElements } from './listing.ts';
import { type ChainChanges, chainChanges, changeText, type Ruleset, TABLE, wholeTable } from './render.ts';
import type { RulesetFeature } from './ruleset-feature.ts';

/** A transaction, and what it means in words. */
interface Transaction {
  readonly text: string;
  readonly changes: readonly string[];
  /** Whether it changes more than elements. */
  readonly structural: boolean;
}

const nothing: Transaction = { text: '', changes: [], structural: false };

/** How many elements a sentence names before it only counts. */
const NAMED_ELEMENTS = 5;

const isMissing = (error: unknown): boolean => error instanceof NftablesError && error.code === 'missing';

const named = (keys: readonly string[]): string =>
  keys.length <= NAMED_ELEMENTS
    ? keys.join(', ')
    : `${keys.slice(0, NAMED_ELEMENTS).join(', ')} and ${keys.length - NAMED_ELEMENTS} more`;

const inWords = (chains: ChainChanges, elements: ElementChanges): string[] => [
  ...chains.refill.map((name) => `nftables: wrote chain ${name}`),
  ...chains.remove.map((name) => `nftables: removed chain ${name}`),
  ...[...elements].flatMap(([set, { add, remove }]) => [
    ...(add.length === 0 ? [] : [`nftables: put into ${set}: ${named(add)}`]),
    ...(remove.length === 0 ? [] : [`nftables: took out of ${set}: ${named(remove)}`]),
  ]),
];

const isStructural = ({ refill, remove }: ChainChanges): boolean => refill.length + remove.length > 0;

const sameText = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  a === b || (a.size === b.size && [...a].every(([name, text]) => b.get(name) === text));

/** The router's table in the kernel, and what this process knows of it. */
export class RulesetState {
  readonly #features: readonly RulesetFeature[];
  #ledger = new Ledger();
  /** What is in the kernel by our knowledge; null when we do not know. */
  #current: Ruleset | null = null;
  /** Number of the kernel's ruleset after our last look or transaction. */
  #generation = -1;
  #staged: {
    readonly next: Ruleset;
    readonly stage: Stage;
    readonly transaction: Transaction;
    /** Number of the kernel's ruleset when it was compared, where it was. */
    readonly seen?: number;
  } | null = null;
  /** Blocks that this kernel's nft lists in other words than ours: our text to its. */
  readonly #dialect = new Map<string, string>();

  constructor(features: readonly RulesetFeature[]) {
    this.#features = features;
  }

  /** Wanted elements of a set, for attributing counters. */
  get ledger(): Ledger {
    return this.#ledger;
  }

  /** The transaction that leads from what the kernel has to `next`. */
  async plan(system: System, next: Ruleset): Promise<Transaction> {
    if (this.#staged?.next === next) return this.#staged.transaction;
    if (this.#current !== null && sameText(this.#current.sets, next.sets)) {
      const stage = this.#ledger.stage(next.parts, next.counting);
      const chains = chainChanges(this.#current.chains, next.chains);
      const text = changeText(next, chains, stage.changes);
      const transaction: Transaction = {
        text,
        changes: inWords(chains, stage.changes),
        structural: isStructural(chains),
      };
      this.#staged = { next, stage, transaction };
      return transaction;
    }
    // Of another shape, or not known: compared with the kernel as it is.
    const ledger = new Ledger();
    const stage = ledger.stage(next.parts);
    stage.commit();
    // Read before the listing: what is written since is noticed.
    const seen = await system.nftables.generation();
    const transaction = await this.#difference(system, next, ledger);
    this.#staged = {
      next,
      transaction,
      seen,
      stage: {
        changes: stage.changes,
        commit: () => {
          this.#ledger = ledger;
        },
      },
    };
    return transaction;
  }

  /** The text of {@link plan}; for what is in force already, what others have changed. Changes nothing. */
  async diff(system: System, next: Ruleset): Promise<string> {
    if (this.#current !== null && this.#current.document === next.document) {
      if ((await system.nftables.generation()) === this.#generation) return '';
      return (await this.#difference(system, next, this.#ledger)).text;
    }
    return (await this.plan(system, next)).text;
  }

  /** Brings the kernel to `next` in one transaction, then cuts what is revoked. */
  async apply(system: System, next: Ruleset): Promise<Applied> {
    const before = this.#current?.document ?? null;
    let changes: readonly string[];
    try {
      changes = await this.#transact(system, next);
    } catch (error) {
      if (!(error instanceof NftablesError) || error.code !== 'helper-exited') throw error;
      // Whether it took effect is not known: look, and do what is left.
      changes = await this.#transact(system, next);
    }
    const cut = cutRevoked(system, this.#features, before, next.document);
    return { changes: cut === 0 ? changes : [...changes, `cut ${cut} revoked connections`] };
  }

  async #transact(system: System, next: Ruleset): Promise<readonly string[]> {
    const { text, structural, changes } = await this.plan(system, next);
    const { stage, seen } = this.#staged ?? {};
    this.#staged = null;
    this.#current = null;
    if (text === '') stage?.commit();
    else {
      const applying = system.nftables.apply(text);
      // Booked while nftables works: should it refuse, everything is compared and booked anew.
      stage?.commit();
      await applying;
      const generation = await system.nftables.generation();
      // One step further is ours; more means that somebody else wrote in between: the next look compares everything.
      this.#generation = generation === (seen ?? this.#generation) + 1 ? generation : -1;
      if (structural && this.#generation !== -1) await this.#learn(system, next);
    }
    if (text === '' && seen !== undefined) this.#generation = seen;
    this.#current = next;
    return changes;
  }

  /** Looks whether the kernel still has what was applied, and puts it back. Cheap while nobody touched anything. */
  async heal(system: System, current: Ruleset): Promise<Applied> {
    const generation = await system.nftables.generation();
    if (generation === this.#generation && this.#current === current) return { changes: [] };
    const transaction = await this.#difference(system, current, this.#ledger);
    this.#staged = null;
    if (transaction.text !== '') await system.nftables.apply(transaction.text);
    // Read before the listing: what was written since is seen next time.
    this.#generation = transaction.text === '' ? generation : -1;
    this.#current = current;
    return { changes: transaction.changes };
  }

  /** What differs between the kernel and the wanted table. */
  async #difference(system: System, wanted: Ruleset, ledger: Ledger): Promise<Transaction> {
    let listed: string;
    try {
      listed = await system.nftables.listText(TABLE, { terse: true });
    } catch (error) {
      if (!isMissing(error)) throw error;
      return {
        text: wholeTable(wanted, everything(wanted, ledger), false),
        changes: ['nftables: wrote the table'],
        structural: true,
      };
    }
    const blocks = parseBlocks(listed);
    const sameShape =
      blocks.sets.size === wanted.sets.size &&
      [...wanted.sets].every(([name, text]) => this.#speaks(text, blocks.sets.get(name)));
    if (!sameShape) {
      return {
        text: wholeTable(wanted, everything(wanted, ledger), true),
        changes: ['nftables: wrote the table anew, its sets were not the wanted ones'],
        structural: true,
      };
    }
    const chains: ChainChanges = {
      refill: [...wanted.chains].flatMap(([name, text]) =>
        this.#speaks(text, blocks.chains.get(name)) ? [] : [name],
      ),
      remove: [...blocks.chains.keys()].filter((name) => !wanted.chains.has(name)),
    };
    const elements = await elementDifference(system, wanted, ledger);
    const text = changeText(wanted, chains, elements);
    return text === ''
      ? nothing
      : { text, changes: inWords(chains, elements), structural: isStructural(chains) };
  }

  #speaks(wanted: string, listed: string | undefined): boolean {
    return listed === wanted || (listed !== undefined && this.#dialect.get(wanted) === listed);
  }

  /**
   * Learns how this machine's nft words our blocks, straight after they were written: other versions list some rules in
   * another form. Without it they would look like drift for ever.
   */
  async #learn(system: System, written: Ruleset): Promise<void> {
    const listed = await system.nftables.listText(TABLE, { terse: true });
    const generation = await system.nftables.generation();
    // Somebody was quicker: what is listed may be theirs.
    if (generation !== this.#generation) return;
    const blocks = parseBlocks(listed);
    for (const [name, text] of written.sets) this.#note(text, blocks.sets.get(name));
    for (const [name, text] of written.chains) this.#note(text, blocks.chains.get(name));
  }

  #note(text: string, listed: string | undefined): void {
    if (listed !== undefined && listed !== text) this.#dialect.set(text, listed);
  }

  /** Names of the sets whose elements count. */
  countingSets(): readonly string[] {
    return [...(this.#current?.counting ?? [])];
  }

  /** Number of the kernel's ruleset after our last look or transaction; -1 when somebody else may have written since. */
  get generation(): number {
    return this.#generation;
  }
}

/** All wanted elements, as additions. */
const everything = (wanted: Ruleset, ledger: Ledger): ElementChanges => {
  const changes = new Map<string, SetChange>();
  for (const set of wanted.sets.keys()) {
    const add = Array.from(ledger.elements(set), ([key, { value }]) => elementText(key, value));
    if (add.length > 0) changes.set(set, { remove: [], add });
  }
  return changes;
};

const elementDifference = async (
  system: System,
  wanted: Ruleset,
  ledger: Ledger,
): Promise<ElementChanges> => {
  const changes = new Map<string, SetChange>();
  const right = new Map<string, Set<string>>();
  const change = (set: string): SetChange => {
    let found = changes.get(set);
    if (found === undefined) changes.set(set, (found = { remove: [], add: [] }));
    return found;
  };
  visitElements(await system.nftables.list(TABLE), (set, key, value) => {
    const entry = ledger.elements(set).get(key);
    if (entry === undefined || entry.value !== value) {
      change(set).remove.push(key);
      return;
    }
    let keys = right.get(set);
    if (keys === undefined) right.set(set, (keys = new Set()));
    keys.add(key);
  });
  for (const set of wanted.sets.keys()) {
    const keys = right.get(set);
    const elements = ledger.elements(set);
    if ((keys?.size ?? 0) === elements.size) continue;
    for (const [key, entry] of elements) {
      if (keys?.has(key) !== true) change(set).add.push(elementText(key, entry.value));
    }
  }
  return changes;
};
