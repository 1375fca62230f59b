import { disjointBoxes, type OwnedBox } from './boxes.ts';
import type { Box, ElementSink, Part } from './fragment.ts';

/** One element as it is wanted. */
interface Entry {
  /** Value of a map element, `""` in sets. */
  value: string;
  /** Id of the item it is there for; the first where there are several. */
  owner: string;
  /** How many items want it; in a tally, how many come. */
  count: number;
  /** In a tally, how many go. */
  minus: number;
}

interface Group {
  readonly set: string;
  readonly name: string;
  readonly write: (group: string, box: Box) => string;
  readonly members: Map<string, Box[]>;
  elements: readonly { readonly key: string; readonly owner: string }[];
}

/** Elements of one set to take out and to put in. */
export interface SetChange {
  /** Keys. */
  readonly remove: string[];
  /** Elements in nft's text: the key, and for maps ` : value`. */
  readonly add: string[];
}

/** An element in nft's text. */
export const elementText = (key: string, value: string): string => (value === '' ? key : `${key} : ${value}`);

/** What a stage would do to the sets, by name of the set; only sets that change are in it. */
export type ElementChanges = ReadonlyMap<string, SetChange>;

interface GroupChange {
  readonly group: Group;
  readonly removed: Set<string>;
  readonly added: Map<string, Box[]>;
}

/** A step from the wanted elements to the next, not taken yet. */
export interface Stage {
  readonly changes: ElementChanges;
  /** Makes the step: call it once the kernel has taken the changes. */
  readonly commit: () => void;
}

const byOwner = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a < b ? -1 : a > b ? 1 : 0;

/**
 * The elements that are wanted in the table, and whose they are. A step to another document costs in proportion to the
 * items that changed: untouched items are recognised by their identity.
 */
export class Ledger {
  readonly #sets = new Map<string, Map<string, Entry>>();
  readonly #groups = new Map<string, Group>();
  #parts = new Map<string, Part>();

  /**
   * The step that leads to `parts`. An element of a set in `counting` that goes from one item to another is put in anew,
   * so that nobody is credited with what was counted for somebody else.
   */
  stage(parts: readonly Part[], counting: ReadonlySet<string> = new Set()): Stage {
    const tallies = new Map<string, Map<string, Entry>>();
    const groupChanges = new Map<string, GroupChange>();
    const count = (set: string, key: string, value: string, owner: string, direction: 1 | -1): void => {
      let tally = tallies.get(set);
      if (tally === undefined) tallies.set(set, (tally = new Map()));
      let line = tally.get(key);
      if (line === undefined) tally.set(key, (line = { value, owner, count: 0, minus: 0 }));
      if (direction === 1) {
        if (line.count === 0) {
          line.value = value;
          line.owner = owner;
        }
        line.count += 1;
      } else line.minus += 1;
    };
    const groupChange = (
      set: string,
      name: string,
      write: (group: string, box: Box) => string,
    ): GroupChange => {
      const id = `${set} ${name}`;
      let change = groupChanges.get(id);
      if (change === undefined) {
        const group = this.#groups.get(id) ?? { set, name, write, members: new Map(), elements: [] };
        groupChanges.set(id, (change = { group, removed: new Set(), added: new Map() }));
      }
      return change;
    };
    let owner = '';
    const taking: ElementSink = {
      element: (set, key, value = '') => count(set, key, value, owner, -1),
      region: (set, name, _box, write) => groupChange(set, name, write).removed.add(owner),
    };
    const putting: ElementSink = {
      element: (set, key, value = '') => count(set, key, value, owner, 1),
      region: (set, name, box, write) => {
        const { added } = groupChange(set, name, write);
        const boxes = added.get(owner);
        if (boxes === undefined) added.set(owner, [box]);
        else boxes.push(box);
      },
    };

    const nextParts = new Map(parts.map((next) => [next.name, next]));
    for (const [name, before] of this.#parts) {
      if (nextParts.has(name)) continue;
      for (const item of before.items) {
        owner = item.id;
        before.elementsOf(item, taking);
      }
    }
    for (const next of parts) {
      const before = this.#parts.get(next.name);
      walkChanges(before, next, (item, gone) => {
        owner = item.id;
        if (gone) before?.elementsOf(item, taking);
        else next.elementsOf(item, putting);
      });
    }

    const groups: {
      readonly group: Group;
      readonly change: GroupChange;
      readonly elements: Group['elements'];
    }[] = [];
    for (const change of groupChanges.values()) {
      const { group, removed, added } = change;
      const members = [...group.members].filter(([id]) => !removed.has(id));
      members.push(...added);
      const boxes: OwnedBox[] = members
        .sort(byOwner)
        .flatMap(([id, list]) => list.map((box) => ({ box, owner: id })));
      const elements = disjointBoxes(boxes).map((piece) => ({
        key: group.write(group.name, piece.box),
        owner: piece.owner,
      }));
      for (const element of group.elements) count(group.set, element.key, '', element.owner, -1);
      for (const element of elements) count(group.set, element.key, '', element.owner, 1);
      groups.push({ group, change, elements });
    }

    return {
      changes: this.#changes(tallies, counting),
      commit: () => {
        this.#parts = nextParts;
        for (const { group, change, elements } of groups) {
          for (const id of change.removed) group.members.delete(id);
          for (const [id, boxes] of change.added) group.members.set(id, boxes);
          group.elements = elements;
          const id = `${group.set} ${group.name}`;
          if (group.members.size === 0) this.#groups.delete(id);
          else this.#groups.set(id, group);
        }
        this.#book(tallies);
      },
    };
  }

  /** The wanted elements of a set: key to value and owner. */
  elements(set: string): ReadonlyMap<string, { readonly value: string; readonly owner: string }> {
    return this.#sets.get(set) ?? new Map();
  }

  /** How many elements are wanted in all sets together. */
  get size(): number {
    let size = 0;
    for (const set of this.#sets.values()) size += set.size;
    return size;
  }

  #changes(tallies: ReadonlyMap<string, Map<string, Entry>>, counting: ReadonlySet<string>): ElementChanges {
    const changes = new Map<string, SetChange>();
    for (const [set, tally] of tallies) {
      const present = this.#sets.get(set);
      const change: SetChange = { remove: [], add: [] };
      if (present === undefined) {
        for (const [key, { value, count }] of tally) if (count > 0) change.add.push(elementText(key, value));
        if (change.add.length > 0) changes.set(set, change);
        continue;
      }
      for (const [key, line] of tally) {
        const entry = present.get(key);
        const before = entry?.count ?? 0;
        const after = before - line.minus + line.count;
        const taken = before === line.minus && entry?.owner !== line.owner && counting.has(set);
        const differs = line.count > 0 && entry !== undefined && (entry.value !== line.value || taken);
        if (before > 0 && (after === 0 || differs)) change.remove.push(key);
        if (after > 0 && (before === 0 || differs)) change.add.push(elementText(key, line.value));
      }
      if (change.remove.length > 0 || change.add.length > 0) changes.set(set, change);
    }
    return changes;
  }

  #book(tallies: ReadonlyMap<string, Map<string, Entry>>): void {
    for (const [name, tally] of tallies) {
      const set = this.#sets.get(name);
      if (set === undefined) {
        // Nothing was there, so nothing goes: what comes is what there is.
        this.#sets.set(name, tally);
        continue;
      }
      for (const [key, line] of tally) {
        const entry = set.get(key);
        const after = (entry?.count ?? 0) - line.minus + line.count;
        if (after === 0) set.delete(key);
        else if (entry === undefined) set.set(key, line);
        else {
          entry.count = after;
          if (line.count > 0) {
            entry.value = line.value;
            entry.owner = line.owner;
          }
        }
      }
    }
  }
}

interface DifferingPart {
  readonly start: number;
  readonly oldEnd: number;
  readonly nextEnd: number;
}

/** By later and earlier list: found once for each step, asked for by everyone who has to do with it. Holds neither list. */
const differing = new WeakMap<readonly unknown[], WeakMap<readonly unknown[], DifferingPart>>();

/** The part that is left of two lists without what they have in common at the beginning and at the end. */
export const differingPart = (old: readonly unknown[], next: readonly unknown[]): DifferingPart => {
  let known = differing.get(next);
  if (known === undefined) differing.set(next, (known = new WeakMap()));
  const found = known.get(old);
  if (found !== undefined) return found;
  let start = 0;
  let oldEnd = old.length;
  let nextEnd = next.length;
  const shorter = Math.min(oldEnd, nextEnd);
  while (start < shorter && old[start] === next[start]) start += 1;
  while (oldEnd > start && nextEnd > start && old[oldEnd - 1] === next[nextEnd - 1]) {
    oldEnd -= 1;
    nextEnd -= 1;
  }
  const part = { start, oldEnd, nextEnd };
  known.set(old, part);
  return part;
};

/** Calls `visit` for every item that is only in one of the two, or differs. Both are in ascending order of id. */
const walkChanges = (
  before: Part | undefined,
  next: Part,
  visit: (item: { readonly id: string }, gone: boolean) => void,
): void => {
  const old = before?.items ?? [];
  const items = next.items;
  const same = before !== undefined && before.context === next.context;
  if (same && old === items) return;
  const { start, oldEnd, nextEnd } = same
    ? differingPart(old, items)
    : { start: 0, oldEnd: old.length, nextEnd: items.length };
  let left = start;
  let right = start;
  while (left < oldEnd || right < nextEnd) {
    const gone = left < oldEnd ? old[left] : undefined;
    const come = right < nextEnd ? items[right] : undefined;
    if (gone !== undefined && (come === undefined || gone.id <= come.id)) {
      left += 1;
      if (come?.id === gone.id) {
        right += 1;
        if (same && come === gone) continue;
        visit(gone, true);
        visit(come, false);
      } else visit(gone, true);
    } else if (come !== undefined) {
      right += 1;
      visit(come, false);
    }
  }
};
