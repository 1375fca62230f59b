import type { RouterDocumentChange } from './change.ts';
import { type CollectionName, collectionNames, type RouterDocument } from './document.ts';

interface Identified {
  readonly id: string;
}

/** Index of the first item whose id is not below `id`. */
const lowerBound = (items: readonly Identified[], id: string): number => {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((items[middle] as Identified).id < id) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** One item put in, replaced or taken out: one copy, of exactly the size it needs. */
const changeOne = <Item extends Identified>(
  items: readonly Item[],
  id: string,
  come: Item | undefined,
): readonly Item[] => {
  const index = lowerBound(items, id);
  const there = items[index]?.id === id ? 1 : 0;
  if (come === undefined) return there === 0 ? items : items.toSpliced(index, 1);
  return there === 1 ? items.with(index, come) : items.toSpliced(index, 0, come);
};

/**
 * `items` with `upsert` put in place and `remove` taken out. Untouched items keep their identity, so a diff can skip them.
 * At 30,000 items the copies are what makes the garbage collector stop everything now and then: one changed item costs one.
 */
export const changeCollection = <Item extends Identified>(
  items: readonly Item[],
  upsert: readonly Item[],
  remove: readonly string[],
): readonly Item[] => {
  if (upsert.length + remove.length === 1)
    return changeOne(items, upsert[0]?.id ?? remove[0] ?? '', upsert[0]);
  const next = items.slice();
  for (const id of remove) {
    const index = lowerBound(next, id);
    if (next[index]?.id === id) next.splice(index, 1);
  }
  for (const item of upsert) {
    const index = lowerBound(next, item.id);
    next.splice(index, next[index]?.id === item.id ? 1 : 0, item);
  }
  return next;
};

/**
 * The document that `change` leads to from `base`, sharing every item and collection it does not touch.
 * Returns null when the change starts from another generation or router: fetch the whole document then.
 */
export const applyRouterDocumentChange = (
  base: RouterDocument,
  change: RouterDocumentChange,
): RouterDocument | null => {
  if (base.id !== change.id || base.generation !== change.baseGeneration) return null;
  const changed: Partial<Record<CollectionName, readonly Identified[]>> = {};
  for (const name of collectionNames) {
    const part = change.collections[name];
    if (part === undefined) continue;
    changed[name] = changeCollection<Identified>(base[name], part.upsert, part.remove);
  }
  const { handover = base.handover } = change;
  const { handover: _before, ...rest } = base;
  return {
    ...rest,
    ...(handover === undefined || handover === null ? {} : { handover }),
    ...(change.hostname === undefined ? {} : { hostname: change.hostname }),
    ...(change.dns === undefined ? {} : { dns: change.dns }),
    ...(changed as Partial<RouterDocument>),
    generation: change.generation,
  };
};
