import type { Box, Interval } from './fragment.ts';

const intersects = (a: Box, b: Box): boolean => {
  for (let dimension = 0; dimension < a.length; dimension += 1) {
    const [firstA, lastA] = a[dimension] as Interval;
    const [firstB, lastB] = b[dimension] as Interval;
    if (firstA > lastB || firstB > lastA) return false;
  }
  return true;
};

/** What is left of `box` without `hole`: at most two boxes for each dimension. They must intersect. */
const subtract = (box: Box, hole: Box): Box[] => {
  const rest: Box[] = [];
  let middle = box;
  for (let dimension = 0; dimension < box.length; dimension += 1) {
    const [first, last] = middle[dimension] as Interval;
    const [holeFirst, holeLast] = hole[dimension] as Interval;
    if (first < holeFirst) rest.push(middle.with(dimension, [first, holeFirst - 1]));
    if (last > holeLast) rest.push(middle.with(dimension, [holeLast + 1, last]));
    middle = middle.with(dimension, [Math.max(first, holeFirst), Math.min(last, holeLast)]);
  }
  return rest;
};

/** A box and whom it belongs to. */
export interface OwnedBox {
  readonly box: Box;
  readonly owner: string;
}

/**
 * Disjoint boxes that cover exactly what `boxes` cover. Where some overlap, the region belongs to the first. The work
 * grows with the square of their number.
 */
export const disjointBoxes = (boxes: readonly OwnedBox[]): OwnedBox[] => {
  const disjoint: OwnedBox[] = [];
  for (const { box, owner } of boxes) {
    let pieces: Box[] = [box];
    const settled = disjoint.length;
    for (let index = 0; index < settled && pieces.length > 0; index += 1) {
      const hole = (disjoint[index] as OwnedBox).box;
      if (!pieces.some((piece) => intersects(piece, hole))) continue;
      pieces = pieces.flatMap((piece) => (intersects(piece, hole) ? subtract(piece, hole) : [piece]));
    }
    for (const piece of pieces) disjoint.push({ box: piece, owner });
  }
  return disjoint;
};
