import { differingPart } from './ledger.ts';

interface Identified {
  readonly id: string;
}

/** Items of `before` that are not in `next`, or not the same there. Both in ascending order of id. */
export const goneItems = <Item extends Identified>(
  before: readonly Item[],
  next: readonly Item[],
): Item[] => {
  if (before === next) return [];
  const { start, oldEnd, nextEnd } = differingPart(before, next);
  if (oldEnd === start) return [];
  const kept = new Set<Item>(next.slice(start, nextEnd));
  return before.slice(start, oldEnd).filter((item) => !kept.has(item));
};
