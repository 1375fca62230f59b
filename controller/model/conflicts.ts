/** Which rule of a public address a new one would contradict. Given what is there, every conflict at once. */
import type { Problem } from 'documents';
import { problem } from './problem.ts';
import { type PortSpan, showPorts } from './rule-checks.ts';

/** Ports of the address that are already spoken for, by a port forward or a load balancer. */
export interface Claim extends PortSpan {
  readonly id: string;
  readonly protocol: 'tcp' | 'udp';
}

const overlaps = (a: PortSpan, b: PortSpan): boolean => a.first <= b.last && b.first <= a.last;

/** Conflicts of a port forward or load balancer with what the address is already used for. */
export const claimConflicts = (
  wanted: PortSpan & { readonly protocol: 'tcp' | 'udp' },
  address: string,
  claims: readonly Claim[],
  staticNat: { readonly id: string } | null,
  pointer: string,
): Problem[] => [
  ...(staticNat === null
    ? []
    : [
        problem(
          '/publicIp',
          'static-nat-in-use',
          `${address} belongs to one guest through the static NAT ${staticNat.id}`,
          `Use another public address, or delete ${staticNat.id}.`,
        ),
      ]),
  ...claims
    .filter((claim) => claim.protocol === wanted.protocol && overlaps(claim, wanted))
    .map((claim) =>
      problem(
        pointer,
        'ports-in-use',
        `${wanted.protocol} ${showPorts(wanted)} of ${address} overlaps ${showPorts(claim)} of ${claim.id}`,
        `Choose other ports, or delete ${claim.id}.`,
      ),
    ),
];

/** Conflicts of a static NAT on an address, and of its guest. */
export const staticNatConflicts = (
  publicIp: { readonly address: string; readonly sourceNat: boolean },
  uses: readonly { readonly id: string; readonly kind: string }[],
  guestStaticNat: { readonly id: string } | null,
): Problem[] => [
  ...(publicIp.sourceNat
    ? [
        problem(
          '/publicIp',
          'source-nat-address',
          `${publicIp.address} is the address all guests of the network leave with`,
          'Acquire another public address for the static NAT.',
        ),
      ]
    : []),
  ...uses.map(({ id, kind }) =>
    problem(
      '/publicIp',
      'address-in-use',
      `${publicIp.address} is used by the ${kind} ${id}`,
      `Use another public address, or delete ${id}.`,
    ),
  ),
  ...(guestStaticNat === null
    ? []
    : [
        problem(
          '/instance',
          'static-nat-in-use',
          `The guest already has the static NAT ${guestStaticNat.id}`,
          `Delete ${guestStaticNat.id} first: a guest leaves with one address.`,
        ),
      ]),
];

export interface StoredMatch {
  readonly id: string;
  readonly sources: readonly string[];
  /** Empty for firewall rules, whose destination is the public address. */
  readonly destinations: readonly string[];
}

/** Conflict with a rule of the same protocol and ports that already says so for one of the sources. */
export const duplicateRuleProblems = (
  wanted: Omit<StoredMatch, 'id'>,
  sameMatch: readonly StoredMatch[],
): Problem[] =>
  sameMatch.flatMap((rule) => {
    const source = wanted.sources.find((prefix) => rule.sources.includes(prefix));
    if (source === undefined) return [];
    const destination = wanted.destinations.find((prefix) => rule.destinations.includes(prefix));
    if (wanted.destinations.length > 0 && destination === undefined) return [];
    return [
      problem(
        '/sources',
        'duplicate-rule',
        `The rule ${rule.id} already says so for ${source}${destination === undefined ? '' : ` to ${destination}`}`,
        `Leave that out, or delete ${rule.id}.`,
      ),
    ];
  });
