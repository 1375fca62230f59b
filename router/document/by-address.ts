import { differingPart } from '../ruleset/ledger.ts';

interface Addressed {
  readonly id: string;
  readonly publicAddress: string;
}

/**
 * The items of one collection by public address, to check a changed item against the rest without going through all of
 * them. It follows the collection it is asked about: from one to the next at the cost of what differs.
 */
export class ByAddress<Item extends Addressed> {
  #items: readonly Item[] = [];
  readonly #sets = new Map<string, Set<Item>>();

  /** The items of `items` that have the address, in no particular order. */
  at(items: readonly Item[], address: string): Iterable<Item> {
    this.follow(items);
    return this.#sets.get(address) ?? [];
  }

  /** Takes note of a collection that nothing is asked about: step by step costs less than many steps at once. */
  follow(items: readonly Item[]): void {
    const before = this.#items;
    if (before === items) return;
    const { start, oldEnd, nextEnd } = differingPart(before, items);
    let left = start;
    let right = start;
    // Both are in ascending order of id.
    while (left < oldEnd || right < nextEnd) {
      const gone = left < oldEnd ? before[left] : undefined;
      const come = right < nextEnd ? items[right] : undefined;
      if (gone === come) {
        left += 1;
        right += 1;
      } else if (gone !== undefined && (come === undefined || gone.id <= come.id)) {
        left += 1;
        this.#take(gone);
      } else if (come !== undefined) {
        right += 1;
        this.#put(come);
      }
    }
    this.#items = items;
  }

  #take(item: Item): void {
    const set = this.#sets.get(item.publicAddress);
    set?.delete(item);
    if (set?.size === 0) this.#sets.delete(item.publicAddress);
  }

  #put(item: Item): void {
    let set = this.#sets.get(item.publicAddress);
    if (set === undefined) this.#sets.set(item.publicAddress, (set = new Set()));
    set.add(item);
  }
}
