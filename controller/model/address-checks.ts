/** What a network's prefix and a public range have to be, beyond their formats. Every problem at once. */
import type { Problem } from 'documents';
import {
  compareIp,
  type Ipv4,
  type Ipv4Prefix,
  ipRange,
  prefixBlock,
  prefixContains,
  prefixLength,
  prefixRange,
  prefixTouchesReserved,
  rangeContains,
  rangesOverlap,
} from 'ip';
import { problem } from './problem.ts';

export interface PublicRange {
  readonly id: string;
  readonly prefix: string;
  readonly gateway: string;
  readonly first: string;
  readonly last: string;
}

const overlap = (a: string, b: string): boolean =>
  rangesOverlap(prefixBlock(a as Ipv4Prefix), prefixBlock(b as Ipv4Prefix));

/** Problems of the prefix of a guest network in a zone with these public ranges. */
export const guestPrefixProblems = (
  prefix: string,
  ranges: readonly PublicRange[],
  pointer = '/prefix',
): Problem[] => {
  const problems: Problem[] = [];
  const length = prefixLength(prefix as Ipv4Prefix);
  if (length < 8 || length > 30)
    problems.push(
      problem(
        pointer,
        'prefix-size',
        `${prefix} has a length of ${length}`,
        'Give a prefix of length 8 to 30: it holds the gateway and at least one guest.',
      ),
    );
  if (prefixTouchesReserved(prefix as Ipv4Prefix))
    problems.push(
      problem(
        pointer,
        'reserved-prefix',
        `${prefix} has addresses no guest can have (loopback, multicast or reserved)`,
        'Use a private prefix such as 10.1.1.0/24.',
      ),
    );
  for (const range of ranges) {
    if (!overlap(prefix, range.prefix)) continue;
    problems.push(
      problem(
        pointer,
        'overlapping-prefix',
        `${prefix} overlaps ${range.prefix} of the public range ${range.id}`,
        'Choose a prefix apart from the public ones of the zone.',
      ),
    );
  }
  return problems;
};

/** Problems of a public range beside the zone's others and the prefixes of its networks. */
export const publicRangeProblems = (
  range: { readonly prefix: string; readonly gateway: string; readonly first: string; readonly last: string },
  others: readonly PublicRange[],
  networks: readonly { readonly id: string; readonly prefix: string }[],
): Problem[] => {
  const problems: Problem[] = [];
  const prefix = range.prefix as Ipv4Prefix;
  if (prefixTouchesReserved(prefix))
    problems.push(
      problem(
        '/prefix',
        'reserved-prefix',
        `${prefix} has addresses no host can have`,
        'Give the prefix of the public segment.',
      ),
    );
  const hosts = prefixRange(prefix);
  for (const field of ['gateway', 'first', 'last'] as const) {
    const address = range[field] as Ipv4;
    if (prefixContains(prefix, address) && rangeContains(hosts, address)) continue;
    problems.push(
      problem(
        `/${field}`,
        'address-outside-prefix',
        `${address} is no host address of ${prefix}`,
        `Give an address from ${hosts.first} to ${hosts.last}.`,
      ),
    );
  }
  if (compareIp(range.first as Ipv4, range.last as Ipv4) > 0)
    problems.push(
      problem(
        '/last',
        'range-backwards',
        `The range ends at ${range.last}, before its first address ${range.first}`,
        'Swap first and last.',
      ),
    );
  const span = ipRange(range.first as Ipv4, range.last as Ipv4);
  for (const other of others) {
    const theirs = ipRange(other.first as Ipv4, other.last as Ipv4);
    if (span !== null && theirs !== null && rangesOverlap(span, theirs))
      problems.push(
        problem(
          '/first',
          'overlapping-range',
          `${range.first} to ${range.last} overlaps the range ${other.id} (${other.first} to ${other.last})`,
          'Leave out the addresses of the other range.',
        ),
      );
    else if (overlap(prefix, other.prefix) && (prefix !== other.prefix || range.gateway !== other.gateway))
      problems.push(
        problem(
          '/prefix',
          'overlapping-prefix',
          `${prefix} by way of ${range.gateway} overlaps ${other.prefix} by way of ${other.gateway} (range ${other.id})`,
          'Ranges of one prefix have the same prefix and gateway; otherwise prefixes are apart.',
        ),
      );
  }
  for (const network of networks) {
    if (!overlap(prefix, network.prefix)) continue;
    problems.push(
      problem(
        '/prefix',
        'overlapping-prefix',
        `${prefix} overlaps ${network.prefix} of the network ${network.id}`,
        'Choose a prefix apart from the guest networks of the zone.',
      ),
    );
  }
  return problems;
};

/** Problems of an address asked for a guest of a network. */
export const guestAddressProblems = (
  address: string,
  network: { readonly id: string; readonly prefix: string; readonly gateway: string },
  pointer: string,
): Problem[] => {
  const prefix = network.prefix as Ipv4Prefix;
  const { first, last } = prefixRange(prefix);
  if (!rangeContains({ first, last }, address as Ipv4))
    return [
      problem(
        pointer,
        'address-outside-prefix',
        `${address} is no host address of ${prefix} of the network ${network.id}`,
        `Give an address from ${first} to ${last}, or none to have one chosen.`,
      ),
    ];
  if (address === network.gateway)
    return [
      problem(
        pointer,
        'address-taken',
        `${address} is the gateway of the network ${network.id}`,
        'Give another address, or none to have one chosen.',
      ),
    ];
  return [];
};
