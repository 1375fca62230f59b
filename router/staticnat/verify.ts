import type { Problem, RouterDocument } from 'documents';
import {
  guestAddressProblems,
  guestNetworksOf,
  Holders,
  indexOf,
  itemsInScope,
  publicAddressesOf,
  publicAddressProblems,
} from '../document/checks.ts';
import type { Scope } from '../feature.ts';

/** Problems of static NAT; who else claims its address is found with the port forwards. */
export const verifyStaticNat = (document: RouterDocument, scope?: Scope): Problem[] => {
  const whole = scope === undefined || scope.legs !== undefined || scope.sourceNats !== undefined;
  const checked = whole
    ? document.staticNats.map((nat, index) => [index, nat] as const)
    : itemsInScope(document, 'staticNats', scope);
  if (checked.length === 0) return [];
  const held = publicAddressesOf(document.legs);
  const networks = guestNetworksOf(document.legs);
  const sourceNats = new Map(document.sourceNats.map((nat) => [nat.publicAddress, nat.id]));
  const byGuest = new Holders();
  for (const nat of document.staticNats) byGuest.add(nat.guestAddress, nat.id);
  return checked.flatMap(([index, nat]) => {
    const pointer = `/staticNats/${index}`;
    const problems = [
      ...publicAddressProblems(held, nat.publicAddress, `${pointer}/publicAddress`),
      ...guestAddressProblems(networks, nat.guestAddress, `${pointer}/guestAddress`),
    ];
    const sourceNat = sourceNats.get(nat.publicAddress);
    if (sourceNat !== undefined) {
      problems.push({
        pointer: `${pointer}/publicAddress`,
        code: 'source-nat-address',
        message: `${nat.publicAddress} is the address of source NAT ${sourceNat}; it cannot belong to one guest`,
        hint: 'Use another public address.',
      });
    }
    const other = byGuest.otherThan(nat.id, nat.guestAddress, whole);
    if (other !== undefined) {
      problems.push({
        pointer: `/staticNats/${Math.max(index, indexOf(document.staticNats, other))}/guestAddress`,
        code: 'conflicting-rule',
        message: `The static NATs ${other} and ${nat.id} both belong to guest ${nat.guestAddress}`,
        hint: 'Give every guest address one public address.',
      });
    }
    return problems;
  });
};
