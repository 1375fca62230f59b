/** The state behind the fake: tables with what is in them, changed by commands, with an undo for each change. */
import { elementText } from '../expression-text.ts';
import { keyOf } from '../render-text.ts';
import type {
  Chain,
  Command,
  Counter,
  Deletable,
  Element,
  Flushable,
  NftMap,
  NftObject,
  NftSet,
  Rule,
  SetItem,
  Table,
} from '../types.ts';

/** Why the kernel would refuse. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly errno: 'EEXIST' | 'ENOENT' | 'EBUSY' | 'EOPNOTSUPP';
  constructor(errno: Refusal['errno']) {
    super(
      {
        EEXIST: 'File exists',
        ENOENT: 'No such file or directory',
        EBUSY: 'Device or resource busy',
        EOPNOTSUPP: 'Operation not supported',
      }[errno],
    );
    this.errno = errno;
  }
}

type FakeChain = { chain: Chain; rules: readonly Rule[] };
type FakeSet = { readonly set: NftSet | NftMap; readonly map: boolean; readonly items: Map<string, SetItem> };
type FakeTable = {
  readonly table: Table;
  readonly chains: Map<string, FakeChain>;
  readonly sets: Map<string, FakeSet>;
  readonly counters: Map<string, Counter>;
};
type Undo = () => void;
type Place = { readonly family: string; readonly table: string; readonly name: string };

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function keyTextOf(item: SetItem): string {
  return elementText(keyOf(item));
}

/** Names of sets (`@x`) and chains that statements refer to, wherever they stand. */
function references(value: unknown, sets: Set<string>, chains: Set<string>): void {
  if (typeof value === 'string') {
    if (value.startsWith('@')) sets.add(value.slice(1));
  } else if (Array.isArray(value)) for (const each of value) references(each, sets, chains);
  else if (value !== null && typeof value === 'object') {
    for (const [key, each] of Object.entries(value)) {
      if (key === 'jump' || key === 'goto') chains.add((each as { readonly target: string }).target);
      else if (key !== 'comment' && key !== 'prefix') references(each, sets, chains);
    }
  }
}

/** Tables by family and name, with the kernel's rules about what may be added and deleted. */
export class FakeRuleset {
  readonly #tables = new Map<string, FakeTable>();
  #nextHandle = 1;

  /** Does the command, and remembers in `undo` how to take it back. Throws {@link Refusal}. */
  run(command: Command, undo: Undo[]): void {
    if ('comment' in command) return;
    if ('add' in command) this.#add(command.add, false, undo);
    else if ('create' in command) this.#add(command.create, true, undo);
    else if ('insert' in command) this.#rule(command.insert.rule, 'insert', undo);
    else if ('replace' in command) this.#rule(command.replace.rule, 'replace', undo);
    else if ('delete' in command) this.#delete(command.delete, undo);
    else this.#flush(command.flush, undo);
  }

  /** Everything, in the order in which nft lists. */
  objects(): {
    readonly object: NftObject;
    readonly place: { readonly family: string; readonly table: string };
  }[] {
    const result: ReturnType<FakeRuleset['objects']> = [];
    for (const { table, chains, sets, counters } of this.#tables.values()) {
      const place = { family: table.family, table: table.name };
      const push = (object: NftObject) => result.push({ object, place });
      push({ table });
      for (const counter of counters.values()) push({ counter });
      for (const { set, map, items } of sets.values()) {
        const whole = items.size === 0 ? set : { ...set, elem: [...items.values()] };
        push(map ? { map: whole as NftMap } : { set: whole });
      }
      for (const { chain } of chains.values()) push({ chain });
      for (const { rules } of chains.values()) for (const rule of rules) push({ rule });
    }
    return result;
  }

  #table(place: { readonly family: string; readonly table: string }): FakeTable {
    const table = this.#tables.get(`${place.family} ${place.table}`);
    if (table === undefined) throw new Refusal('ENOENT');
    return table;
  }

  #chain(place: { readonly family: string; readonly table: string }, name: string): FakeChain {
    const chain = this.#table(place).chains.get(name);
    if (chain === undefined) throw new Refusal('ENOENT');
    return chain;
  }

  #set(place: Place): FakeSet {
    const set = this.#table(place).sets.get(place.name);
    if (set === undefined) throw new Refusal('ENOENT');
    return set;
  }

  #put<T>(map: Map<string, T>, key: string, value: T, undo: Undo[]): void {
    const before = map.get(key);
    const had = map.has(key);
    map.set(key, value);
    undo.push(() => {
      if (had) map.set(key, before as T);
      else map.delete(key);
    });
  }

  // Undone deletions come back last: the order of maps says nothing, rules are lists.
  #remove<T>(map: Map<string, T>, key: string, undo: Undo[]): void {
    const before = map.get(key) as T;
    map.delete(key);
    undo.push(() => map.set(key, before));
  }

  #add(object: NftObject, create: boolean, undo: Undo[]): void {
    if ('rule' in object) return this.#rule(object.rule, 'add', undo);
    if ('element' in object) return this.#elements(object.element, create, undo);
    if ('table' in object) {
      const key = `${object.table.family} ${object.table.name}`;
      if (this.#tables.has(key)) {
        if (create) throw new Refusal('EEXIST');
        return;
      }
      const table = { ...object.table, handle: this.#nextHandle++ };
      return this.#put(
        this.#tables,
        key,
        { table, chains: new Map(), sets: new Map(), counters: new Map() },
        undo,
      );
    }
    if ('chain' in object) return this.#addChain(object.chain, create, undo);
    if ('counter' in object) {
      const { counters } = this.#table(object.counter);
      if (counters.has(object.counter.name)) {
        if (create) throw new Refusal('EEXIST');
        return;
      }
      const counter = { packets: 0, bytes: 0, ...object.counter, handle: this.#nextHandle++ };
      return this.#put(counters, counter.name, counter, undo);
    }
    const map = 'map' in object;
    const given = map ? object.map : object.set;
    const { sets } = this.#table(given);
    const { elem, ...set } = given;
    const before = sets.get(set.name);
    if (before !== undefined) {
      const kind = (each: NftSet | NftMap) => [
        each.type,
        'map' in each ? each.map : null,
        [...(each.flags ?? [])].sort(),
      ];
      if (create || before.map !== map || !same(kind(before.set), kind(set))) throw new Refusal('EEXIST');
    } else
      this.#put(sets, set.name, { set: { ...set, handle: this.#nextHandle++ }, map, items: new Map() }, undo);
    if (elem !== undefined)
      this.#elements({ family: set.family, table: set.table, name: set.name, elem }, create, undo);
  }

  #addChain(given: Chain, create: boolean, undo: Undo[]): void {
    const { chains } = this.#table(given);
    const before = chains.get(given.name);
    if (before === undefined) {
      const policy = given.hook === undefined ? {} : { policy: given.policy ?? ('accept' as const) };
      return this.#put(
        chains,
        given.name,
        { chain: { ...given, ...policy, handle: this.#nextHandle++ }, rules: [] },
        undo,
      );
    }
    if (create) throw new Refusal('EEXIST');
    if (given.hook === undefined) return;
    if (
      before.chain.hook !== given.hook ||
      before.chain.type !== given.type ||
      before.chain.prio !== given.prio
    )
      throw new Refusal('EOPNOTSUPP');
    if (given.policy === undefined || given.policy === before.chain.policy) return;
    this.#put(
      chains,
      given.name,
      { chain: { ...before.chain, policy: given.policy }, rules: before.rules },
      undo,
    );
  }

  #elements(element: Element, create: boolean, undo: Undo[]): void {
    const { set, map, items } = this.#set(element);
    const counts = set.stmt?.some((statement) => 'counter' in statement) === true;
    for (const item of element.elem) {
      if (Array.isArray(item) !== map) throw new Refusal('EOPNOTSUPP');
      this.#referred(element, Array.isArray(item) ? item[1] : undefined);
      const key = keyTextOf(item);
      const before = items.get(key);
      if (before === undefined) this.#put(items, key, counts ? counted(item) : item, undo);
      else if (create || (map && !same((before as readonly unknown[])[1], (item as readonly unknown[])[1])))
        throw new Refusal('EEXIST');
    }
  }

  /** Sets and chains a new rule or element refers to must be there. */
  #referred(place: { readonly family: string; readonly table: string }, value: unknown): void {
    const sets = new Set<string>();
    const chains = new Set<string>();
    references(value, sets, chains);
    const table = this.#table(place);
    for (const name of sets) if (!table.sets.has(name)) throw new Refusal('ENOENT');
    for (const name of chains) if (!table.chains.has(name)) throw new Refusal('ENOENT');
  }

  #rules(table: FakeTable, chain: string, rules: readonly Rule[], undo: Undo[]): void {
    const before = table.chains.get(chain) as FakeChain;
    this.#put(table.chains, chain, { chain: before.chain, rules }, undo);
  }

  #rule(given: Rule, verb: 'add' | 'insert' | 'replace', undo: Undo[]): void {
    const { rules } = this.#chain(given, given.chain);
    this.#referred(given, given.expr);
    const { index, handle, ...rest } = given;
    const rule = { ...rest, handle: verb === 'replace' ? (handle as number) : this.#nextHandle++ };
    const table = this.#table(given);
    if (verb === 'replace') {
      const at = rules.findIndex((each) => each.handle === handle);
      if (at < 0) throw new Refusal('ENOENT');
      return this.#rules(table, given.chain, rules.toSpliced(at, 1, rule), undo);
    }
    if (index !== undefined && index >= rules.length) throw new Refusal('ENOENT');
    const at = verb === 'add' ? (index === undefined ? rules.length : index + 1) : (index ?? 0);
    this.#rules(table, given.chain, rules.toSpliced(at, 0, rule), undo);
  }

  /** True when a rule or a verdict map of the table refers to the set or chain; `except` leaves out a chain's own rules. */
  #inUse(table: FakeTable, kind: 'set' | 'chain', name: string): boolean {
    const sets = new Set<string>();
    const chains = new Set<string>();
    for (const { rules } of table.chains.values())
      for (const rule of rules) references(rule.expr, sets, chains);
    if (kind === 'set') return sets.has(name);
    for (const { set, items } of table.sets.values()) {
      if ('map' in set && set.map === 'verdict')
        for (const item of items.values()) references((item as readonly unknown[])[1], sets, chains);
    }
    return chains.has(name);
  }

  #delete(object: Deletable, undo: Undo[]): void {
    if ('table' in object) {
      const key = `${object.table.family} ${object.table.name}`;
      if (!this.#tables.has(key)) throw new Refusal('ENOENT');
      return this.#remove(this.#tables, key, undo);
    }
    if ('rule' in object) {
      const { rules } = this.#chain(object.rule, object.rule.chain);
      const at = rules.findIndex((rule) => rule.handle === object.rule.handle);
      if (at < 0) throw new Refusal('ENOENT');
      return this.#rules(this.#table(object.rule), object.rule.chain, rules.toSpliced(at, 1), undo);
    }
    if ('element' in object) {
      const { items } = this.#set(object.element);
      for (const item of object.element.elem) {
        const key = keyTextOf(item);
        if (!items.has(key)) throw new Refusal('ENOENT');
        this.#remove(items, key, undo);
      }
      return;
    }
    if ('chain' in object) {
      const table = this.#table(object.chain);
      const { rules } = this.#chain(object.chain, object.chain.name);
      if (rules.length > 0 || this.#inUse(table, 'chain', object.chain.name)) throw new Refusal('EBUSY');
      return this.#remove(table.chains, object.chain.name, undo);
    }
    if ('counter' in object) {
      const table = this.#table(object.counter);
      if (!table.counters.has(object.counter.name)) throw new Refusal('ENOENT');
      const named = (rule: Rule) =>
        rule.expr.some((each) => 'counter' in each && each.counter === object.counter.name);
      if ([...table.chains.values()].some(({ rules }) => rules.some(named))) throw new Refusal('EBUSY');
      return this.#remove(table.counters, object.counter.name, undo);
    }
    const place = 'set' in object ? object.set : object.map;
    const table = this.#table(place);
    this.#set(place);
    if (this.#inUse(table, 'set', place.name)) throw new Refusal('EBUSY');
    this.#remove(table.sets, place.name, undo);
  }

  #flush(object: Flushable, undo: Undo[]): void {
    if ('ruleset' in object) {
      for (const key of this.#tables.keys()) this.#remove(this.#tables, key, undo);
      return;
    }
    if ('table' in object) {
      const table = this.#table({ family: object.table.family, table: object.table.name });
      for (const name of table.chains.keys()) this.#rules(table, name, [], undo);
      return;
    }
    if ('chain' in object) {
      this.#chain(object.chain, object.chain.name);
      return this.#rules(this.#table(object.chain), object.chain.name, [], undo);
    }
    const { items } = this.#set('set' in object ? object.set : object.map);
    for (const key of items.keys()) this.#remove(items, key, undo);
  }
}

/** The element as it is listed from a set whose elements count. */
function counted(item: SetItem): SetItem {
  if (Array.isArray(item)) return [counted(item[0]) as (typeof item)[0], item[1]];
  const body = typeof item === 'object' && 'elem' in item ? item.elem : { val: item as typeof item & string };
  return { elem: { ...body, counter: body.counter ?? { packets: 0, bytes: 0 } } };
}
