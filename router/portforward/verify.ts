import type { PortForward, Problem, RouterDocument, StaticNat } from 'documents';
import { ByAddress } from '../document/by-address.ts';
import {
  guestAddressProblems,
  guestNetworksOf,
  indexOf,
  isWhole,
  itemsInScope,
  publicAddressesOf,
  publicAddressProblems,
  rangeProblems,
  sizeProblems,
} from '../document/checks.ts';
import type { Scope } from '../feature.ts';
import { type Claim, claimProblem, forwardClaim, meeting, meetings, natClaim } from './claims.ts';
import { keepsPorts } from './render.ts';

/** Entries that port forwards may take in the table. */
const MOST_ENTRIES = 262_144;

const entriesOf = (forward: PortForward): number =>
  keepsPorts(forward) ? 1 : Math.max(1, forward.publicPorts.last - forward.publicPorts.first + 1);

const lengthProblems = (forward: PortForward, pointer: string): Problem[] => {
  const { publicPorts, guestPorts } = forward;
  const length = publicPorts.last - publicPorts.first + 1;
  const guestLength = guestPorts.last - guestPorts.first + 1;
  if (length === guestLength) return [];
  return [
    {
      pointer: `${pointer}/guestPorts`,
      code: 'unequal-ranges',
      message: `${length} public ports (${publicPorts.first}-${publicPorts.last}) cannot go to ${guestLength} guest ports (${guestPorts.first}-${guestPorts.last})`,
      hint: `Give as many guest ports: ${guestPorts.first}-${Math.min(65_535, guestPorts.first + length - 1)}.`,
    },
  ];
};

const forwardsByAddress = new ByAddress<PortForward>();
const natsByAddress = new ByAddress<StaticNat>();

/** Whatever claims ports of public addresses, on the item that stands behind the other. */
const conflicts = (document: RouterDocument, scope: Scope | undefined): Problem[] => {
  const collections = {
    'port forward': 'portForwards',
    'static NAT': 'staticNats',
  } as const;
  const pointerOf = ({ kind, id }: Claim): string =>
    `/${collections[kind]}/${indexOf(document[collections[kind]], id)}`;
  if (isWhole(scope)) {
    return meetings(document.portForwards, document.staticNats).map(([claim, other]) =>
      claimProblem(pointerOf(claim), claim, other),
    );
  }
  const changed = [
    ...itemsInScope(document, 'portForwards', scope).map(([, item]) => forwardClaim(item)),
    ...itemsInScope(document, 'staticNats', scope).map(([, item]) => natClaim(item)),
  ];
  if (changed.length === 0 && scope?.portForwards !== undefined)
    forwardsByAddress.follow(document.portForwards);
  return changed.flatMap((claim) => {
    const near: Claim[] = [];
    // Only what shares ports is made into a claim: an address may have thousands.
    for (const one of forwardsByAddress.at(document.portForwards, claim.address)) {
      if (one.publicPorts.first <= claim.last && claim.first <= one.publicPorts.last)
        near.push(forwardClaim(one));
    }
    near.sort((a, b) => (a.id < b.id ? -1 : 1));
    for (const one of natsByAddress.at(document.staticNats, claim.address)) near.push(natClaim(one));
    const other = meeting(claim, near);
    return other === undefined ? [] : [claimProblem(pointerOf(claim), claim, other)];
  });
};

/** Problems of port forwards, and of everything that claims ports of a public address. */
export const verifyPortForward = (document: RouterDocument, scope?: Scope): Problem[] => {
  const problems: Problem[] = [];
  const whole = isWhole(scope);
  const checked = whole ? [] : itemsInScope(document, 'portForwards', scope);
  if (whole || checked.length > 0) {
    const held = publicAddressesOf(document.legs);
    const networks = guestNetworksOf(document.legs);
    const guests = new Map<string, readonly Problem[]>();
    const check = (forward: PortForward, index: number): void => {
      const { publicPorts, guestPorts, guestAddress } = forward;
      let guest = guests.get(guestAddress);
      if (guest === undefined)
        guests.set(guestAddress, (guest = guestAddressProblems(networks, guestAddress, '')));
      const right =
        guest.length === 0 &&
        held.has(forward.publicAddress) &&
        publicPorts.first <= publicPorts.last &&
        publicPorts.last - publicPorts.first === guestPorts.last - guestPorts.first;
      if (right) return;
      const pointer = `/portForwards/${index}`;
      const ranges = [
        ...rangeProblems(publicPorts, `${pointer}/publicPorts`),
        ...rangeProblems(guestPorts, `${pointer}/guestPorts`),
      ];
      problems.push(
        ...publicAddressProblems(held, forward.publicAddress, `${pointer}/publicAddress`),
        ...guest.map((problem) => ({ ...problem, pointer: `${pointer}/guestAddress` })),
        ...(ranges.length > 0 ? ranges : lengthProblems(forward, pointer)),
      );
    };
    if (whole) document.portForwards.forEach(check);
    else for (const [index, forward] of checked) check(forward, index);
    let entries = 0;
    // Short ones by the hundred thousand stay below: only where long ones come are all counted.
    if (whole || checked.some(([, forward]) => entriesOf(forward) > 1)) {
      for (const forward of document.portForwards) entries += entriesOf(forward);
    } else entries = document.portForwards.length;
    problems.push(
      ...sizeProblems(
        '/portForwards',
        entries,
        MOST_ENTRIES,
        'Forward long ranges to the same ports of the guest: those take one entry each.',
      ),
    );
  }
  return [...problems, ...conflicts(document, scope)];
};
