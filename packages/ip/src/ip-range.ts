import {
  compareIp,
  familyOf,
  type IpAddress,
  type IpFamily,
  ipFromBigInt,
  ipToBigInt,
} from './ip-address.ts';
import { IpError } from './ip-error.ts';

/** Addresses of one family from `first` to `last`, both included. */
export interface IpRange<A extends IpAddress = IpAddress> {
  readonly first: A;
  readonly last: A;
}

interface Span {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
}

/** A range of two addresses, or `null` when they are of two families or the wrong way round. */
export function ipRange<A extends IpAddress>(first: A, last: A): IpRange<A> | null {
  return familyOf(first) === familyOf(last) && compareIp(first, last) <= 0 ? { first, last } : null;
}

function span(range: IpRange): Span {
  const family = familyOf(range.first);
  if (family !== familyOf(range.last)) {
    throw new IpError('IP_FAMILY_MISMATCH', `${range.first} and ${range.last} are of two families`);
  }
  const first = ipToBigInt(range.first);
  const last = ipToBigInt(range.last);
  if (first > last)
    throw new IpError('IP_OUT_OF_RANGE', `the range ${range.first} to ${range.last} ends before it begins`);
  return { family, first, last };
}

function fromSpan<A extends IpAddress>({ family, first, last }: Span): IpRange<A> {
  return { first: ipFromBigInt(first, family) as A, last: ipFromBigInt(last, family) as A };
}

function mergedSpans(ranges: readonly IpRange[]): Span[] {
  const sorted = ranges
    .map(span)
    .sort((a, b) => a.family - b.family || (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const merged: Span[] = [];
  for (const next of sorted) {
    const previous = merged.at(-1);
    if (previous !== undefined && previous.family === next.family && next.first <= previous.last + 1n) {
      if (next.last > previous.last) merged[merged.length - 1] = { ...previous, last: next.last };
    } else {
      merged.push(next);
    }
  }
  return merged;
}

/** Number of addresses. */
export function rangeSize(range: IpRange): bigint {
  const { first, last } = span(range);
  return last - first + 1n;
}

export function rangeContains(range: IpRange, address: IpAddress): boolean {
  return (
    familyOf(range.first) === familyOf(address) &&
    compareIp(range.first, address) <= 0 &&
    compareIp(address, range.last) <= 0
  );
}

export function rangesOverlap(a: IpRange, b: IpRange): boolean {
  return (
    familyOf(a.first) === familyOf(b.first) &&
    compareIp(a.first, b.last) <= 0 &&
    compareIp(b.first, a.last) <= 0
  );
}

/** The same addresses in the fewest ranges, ascending, IPv4 first. */
export function mergeRanges<A extends IpAddress>(ranges: readonly IpRange<A>[]): IpRange<A>[] {
  return mergedSpans(ranges).map((merged) => fromSpan<A>(merged));
}

/** What is in `from` and not in `taken`, in the fewest ranges, ascending, IPv4 first. */
export function subtractRanges<A extends IpAddress>(
  from: readonly IpRange<A>[],
  taken: readonly IpRange[],
): IpRange<A>[] {
  const holes = mergedSpans(taken);
  const left: IpRange<A>[] = [];
  let start = 0;
  for (const { family, first, last } of mergedSpans(from)) {
    // Both lists ascend, so what ended before this range ended before all that follow.
    while (start < holes.length && isBefore(holes[start] as Span, family, first)) start += 1;
    let next = first;
    for (let index = start; index < holes.length; index += 1) {
      const hole = holes[index] as Span;
      if (hole.family !== family || hole.first > last) break;
      if (hole.first > next) left.push(fromSpan({ family, first: next, last: hole.first - 1n }));
      next = hole.last + 1n;
    }
    if (next <= last) left.push(fromSpan({ family, first: next, last }));
  }
  return left;
}

function isBefore(hole: Span, family: IpFamily, first: bigint): boolean {
  return hole.family < family || (hole.family === family && hole.last < first);
}

/**
 * The lowest address of the range that is not used, or `null` when there is none. Addresses outside the range do no harm.
 *
 * @param used a set: costs one lookup for each used address below the answer. An array must ascend by {@link compareIp}
 *   and hold no address twice: costs two binary searches however full the range is.
 */
export function firstFree<A extends IpAddress>(
  range: IpRange<A>,
  used: ReadonlySet<IpAddress> | readonly IpAddress[],
): A | null {
  const { family, first, last } = span(range);
  if (isArray(used)) return firstFreeInSorted(range, { family, first, last }, used);
  for (let value = first; value <= last; value += 1n) {
    const address = ipFromBigInt(value, family) as A;
    if (!used.has(address)) return address;
  }
  return null;
}

function isArray(used: ReadonlySet<IpAddress> | readonly IpAddress[]): used is readonly IpAddress[] {
  return Array.isArray(used);
}

function firstFreeInSorted<A extends IpAddress>(
  range: IpRange<A>,
  { family, first, last }: Span,
  used: readonly IpAddress[],
): A | null {
  const start = lowerBound(used, range.first);
  const isGapAt = (index: number): boolean => {
    const address = used[index] as IpAddress;
    return familyOf(address) !== family || ipToBigInt(address) > first + BigInt(index - start);
  };
  // Without gaps the n-th used address is first + n; the first index where it is more is where the gap begins.
  let low = start;
  let high = used.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isGapAt(middle)) high = middle;
    else low = middle + 1;
  }
  let value = first + BigInt(low - start);
  // An address listed twice against the contract shifts the count: what is used is not given out even then.
  for (; value <= last; value += 1n) {
    const address = ipFromBigInt(value, family) as A;
    if (used[lowerBound(used, address)] !== address) break;
  }
  return value <= last ? (ipFromBigInt(value, family) as A) : null;
}

/** Index of the first element that is not less than the address. */
function lowerBound(sorted: readonly IpAddress[], address: IpAddress): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareIp(sorted[middle] as IpAddress, address) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
