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

/** `items` with `upsert` put in place and `remove` taken out. Untouched items keep their identity, so a diff can skip them. */
export const changeCollection = <Item extends Identified>(
  items: readonly Item[],
  upsert: readonly Item[],
  remove: readonly string[],
): Item[] => {
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
