import { type CollectionName, collectionNames, type RouterDocument } from 'documents';

/** Whether two values of JSON are the same. Order of fields does not matter. */
export const sameValue = (a: unknown, b: unknown): boolean => {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((one, index) => sameValue(one, b[index]));
  }
  if (Array.isArray(b)) return false;
  const fields = Object.keys(a);
  return (
    fields.length === Object.keys(b).length &&
    fields.every((field) =>
      sameValue((a as Record<string, unknown>)[field], (b as Record<string, unknown>)[field]),
    )
  );
};

interface Identified {
  readonly id: string;
}

const shareCollection = (
  before: readonly Identified[],
  next: readonly Identified[],
): readonly Identified[] => {
  let at = 0;
  let same = before.length === next.length;
  const shared = next.map((item, index) => {
    while (at < before.length && (before[at] as Identified).id < item.id) at += 1;
    const old = before[at];
    if (old?.id === item.id && sameValue(old, item)) {
      same &&= at === index;
      return old;
    }
    same = false;
    return item;
  });
  return same ? before : shared;
};

/** `next` with every collection and item that is the same in `before` replaced by that one, so that a diff can skip it. */
export const shareItems = (before: RouterDocument, next: RouterDocument): RouterDocument => {
  const shared: Partial<Record<CollectionName, readonly Identified[]>> = {};
  for (const name of collectionNames) shared[name] = shareCollection(before[name], next[name]);
  return {
    ...next,
    ...(shared as Partial<RouterDocument>),
    dns: sameValue(before.dns, next.dns) ? before.dns : next.dns,
    ...(before.handover !== undefined && sameValue(before.handover, next.handover)
      ? { handover: before.handover }
      : {}),
  };
};
