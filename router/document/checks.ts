/** Checks that several features share. Pure. */
import type { CollectionItem, CollectionName, Leg, Problem, RouterDocument } from 'documents';
import type { Scope } from '../feature.ts';
import { ipv4AddressesOf } from '../legs/render.ts';
import type { Interval } from '../ruleset/fragment.ts';
import { addressNumber, hostOf, prefixInterval } from '../ruleset/key-text.ts';

/** The items of a collection that are to be checked, with their places. */
export const itemsInScope = <Name extends CollectionName>(
  document: RouterDocument,
  name: Name,
  scope: Scope | undefined,
): readonly (readonly [index: number, item: CollectionItem<Name>])[] => {
  const items = document[name] as readonly CollectionItem<Name>[];
  // What a leg is decides about every item that names its addresses.
  if (scope === undefined || scope.legs !== undefined)
    return items.map((item, index) => [index, item] as const);
  const ids = scope[name];
  if (ids === undefined || ids.size === 0) return [];
  return [...ids].flatMap((id) => {
    const index = indexOf(items, id);
    const item = items[index];
    return item === undefined ? [] : [[index, item] as const];
  });
};

/** Whether all items of a collection are to be checked. */
export const isWhole = (scope: Scope | undefined): boolean => scope === undefined || scope.legs !== undefined;

/** Place of an id in a collection, which is in ascending order; -1 when it is not there. */
export const indexOf = (items: readonly { readonly id: string }[], id: string): number => {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((items[middle] as { readonly id: string }).id < id) low = middle + 1;
    else high = middle;
  }
  return items[low]?.id === id ? low : -1;
};

/** Every IPv4 address of the public legs, and the leg that has it. */
export const publicAddressesOf = (legs: readonly Leg[]): ReadonlyMap<string, Leg> =>
  new Map(
    legs
      .filter((leg) => leg.role === 'public')
      .flatMap((leg) => ipv4AddressesOf(leg).map((address) => [hostOf(address), leg] as const)),
  );

/** The problem of an address that no public leg answers for. */
export const publicAddressProblems = (
  held: ReadonlyMap<string, Leg>,
  address: string,
  pointer: string,
): Problem[] =>
  held.has(address)
    ? []
    : [
        {
          pointer,
          code: 'unknown-public-address',
          message: `${address} is not an address of a public leg of this router`,
          hint:
            held.size === 0
              ? 'Give the router a public leg with this address.'
              : `Use one of the router's public addresses, such as ${[...held.keys()].slice(0, 3).join(', ')}.`,
        },
      ];

interface GuestNetwork {
  readonly leg: Leg;
  readonly interval: Interval;
  readonly gateway: string;
}

/** IPv4 networks behind the guest legs. */
export const guestNetworksOf = (legs: readonly Leg[]): readonly GuestNetwork[] =>
  legs
    .filter((leg) => leg.role === 'guest')
    .flatMap((leg) =>
      ipv4AddressesOf(leg).map((address) => ({
        leg,
        interval: prefixInterval(address),
        gateway: hostOf(address),
      })),
    );

/** Problems of an address that should be a guest's. */
export const guestAddressProblems = (
  networks: readonly GuestNetwork[],
  address: string,
  pointer: string,
): Problem[] => {
  const number = addressNumber(address);
  const network = networks.find(({ interval }) => interval[0] <= number && number <= interval[1]);
  if (network === undefined) {
    return [
      {
        pointer,
        code: 'address-outside-network',
        message: `${address} is in none of the router's guest networks`,
        hint: 'Give the address of a guest behind this router.',
      },
    ];
  }
  if (networks.some(({ gateway }) => gateway === address)) {
    return [
      {
        pointer,
        code: 'address-of-router',
        message: `${address} is the router's own address in the guest network`,
        hint: 'Give the address of a guest.',
      },
    ];
  }
  const [first, last] = network.interval;
  if (last - first > 1 && (number === first || number === last)) {
    return [
      {
        pointer,
        code: 'address-not-usable',
        message: `${address} is the ${number === first ? 'network' : 'broadcast'} address of its network`,
        hint: 'Give the address of a guest.',
      },
    ];
  }
  return [];
};

interface Ports {
  readonly first: number;
  readonly last: number;
}

/** The problem of a range that ends before it begins. */
export const rangeProblems = (ports: Ports | undefined, pointer: string): Problem[] =>
  ports === undefined || ports.first <= ports.last
    ? []
    : [
        {
          pointer,
          code: 'backward-range',
          message: `The range ${ports.first}-${ports.last} ends before it begins`,
          hint: `Give first <= last, such as ${ports.last}-${ports.first}.`,
        },
      ];

interface Matching {
  readonly protocol: string;
  readonly ports?: Ports;
  readonly icmp?: { readonly type: number | null; readonly code: number | null };
}

const none: readonly Problem[] = [];

/** Problems of a rule's protocol with its ports and ICMP fields. */
export const matchingProblems = (rule: Matching, pointer: string): readonly Problem[] => {
  const { protocol, ports, icmp } = rule;
  // The one form that comes by the ten thousand.
  if (
    icmp === undefined &&
    ports !== undefined &&
    ports.first <= ports.last &&
    protocol !== 'icmp' &&
    protocol !== 'all'
  ) {
    return none;
  }
  const problems = rangeProblems(ports, `${pointer}/ports`);
  if (ports !== undefined && protocol !== 'tcp' && protocol !== 'udp') {
    problems.push({
      pointer: `${pointer}/ports`,
      code: 'ports-without-transport',
      message: `The protocol ${protocol} has no ports`,
      hint: 'Remove the ports, or use the protocol tcp or udp.',
    });
  }
  if (icmp !== undefined && protocol !== 'icmp') {
    problems.push({
      pointer: `${pointer}/icmp`,
      code: 'icmp-fields-without-icmp',
      message: `The protocol ${protocol} has no ICMP type and code`,
      hint: 'Remove the ICMP fields, or use the protocol icmp.',
    });
  }
  if (icmp !== undefined && icmp.type === null && icmp.code !== null) {
    problems.push({
      pointer: `${pointer}/icmp/code`,
      code: 'icmp-code-without-type',
      message: `The ICMP code ${icmp.code} means something only together with a type`,
      hint: 'Give the type too, or leave the code out.',
    });
  }
  return problems;
};

/** What two rules must have in common to be one rule written twice, as text. */
export const matchingKey = (rule: Matching, ...lists: readonly (readonly string[])[]): string => {
  const { protocol, ports, icmp } = rule;
  const what =
    protocol === 'icmp'
      ? `${icmp?.type ?? '*'}.${icmp?.code ?? '*'}`
      : ports === undefined
        ? '*'
        : `${ports.first}-${ports.last}`;
  const everyone = '0.0.0.0/0';
  return [
    protocol,
    what,
    ...lists.map((list) => (list.includes(everyone) ? everyone : list.toSorted().join(','))),
  ].join(' ');
};

/** Problems of a collection whose elements would be more than a table should hold. */
export const sizeProblems = (pointer: string, size: number, most: number, hint: string): Problem[] =>
  size <= most
    ? []
    : [
        {
          pointer,
          code: 'too-many-elements',
          message: `This would take ${size} entries in the router's tables; at most ${most} are allowed`,
          hint,
        },
      ];

/** Who has a key that only one may have: the first two of each, so that the first of a pair finds the second. */
export class Holders {
  readonly #firstTwo = new Map<string, string[]>();

  add(key: string, id: string): void {
    const holders = this.#firstTwo.get(key);
    if (holders === undefined) this.#firstTwo.set(key, [id]);
    else if (holders.length < 2) holders.push(id);
  }

  /** Another holder of the key. Where everything is checked (`whole`), each pair is told once: by its later. */
  otherThan(id: string, key: string, whole: boolean): string | undefined {
    const [first, second] = this.#firstTwo.get(key) ?? [];
    if (first !== id) return first;
    return whole ? undefined : second;
  }
}
