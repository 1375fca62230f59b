interface Identified {
  readonly id: string;
}

/** Items of `before` that are not in `next`, or not the same there. Both in ascending order of id. */
export const goneItems = <Item extends Identified>(before: readonly Item[], next: readonly Item[]): Item[] => {
  if (before === next) return [];
  let start = 0;
  let beforeEnd = before.length;
  let nextEnd = next.length;
  while (start < beforeEnd && start < nextEnd && before[start] === next[start]) start += 1;
  while (beforeEnd > start && nextEnd > start && before[beforeEnd - 1] === next[nextEnd - 1]) {
    beforeEnd -= 1;
    nextEnd -= 1;
  }
  if (beforeEnd === start) return [];
  const kept = new Set<Item>(next.slice(start, nextEnd));
  return before.slice(start, beforeEnd).filter((item) => !kept.has(item));
};
