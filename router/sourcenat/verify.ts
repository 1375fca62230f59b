import type { Problem, RouterDocument } from 'documents';
import { itemsInScope, rangeProblems } from '../document/checks.ts';
import type { Scope } from '../feature.ts';
import { ipv4AddressesOf } from '../legs/render.ts';
import { hostOf } from '../ruleset/key-text.ts';

/** Problems of source NAT: legs of the wrong kind, addresses that are not there, two for the same way out. */
export const verifySourceNat = (document: RouterDocument, scope?: Scope): Problem[] => {
  const legs = new Map(document.legs.map((leg) => [leg.id, leg]));
  return itemsInScope(document, 'sourceNats', scope).flatMap(([index, nat]) => {
    const pointer = `/sourceNats/${index}`;
    const problems = rangeProblems(nat.ports, `${pointer}/ports`);
    const leg = legs.get(nat.leg);
    const outLeg = legs.get(nat.outLeg);
    if (leg !== undefined && leg.role !== 'guest') {
      problems.push({
        pointer: `${pointer}/leg`,
        code: 'not-a-guest-leg',
        message: `Leg ${nat.leg} is not a guest leg`,
        hint: 'Source NAT is for guests on their way out; name the leg of a guest network.',
      });
    }
    if (outLeg !== undefined && outLeg.role !== 'public' && outLeg.role !== 'private') {
      problems.push({
        pointer: `${pointer}/outLeg`,
        code: 'not-an-outer-leg',
        message: `Leg ${nat.outLeg} does not lead outside`,
        hint: 'Name a public leg or a private gateway.',
      });
    }
    if (outLeg !== undefined && !ipv4AddressesOf(outLeg).some((held) => hostOf(held) === nat.publicAddress)) {
      problems.push({
        pointer: `${pointer}/publicAddress`,
        code: 'unknown-public-address',
        message: `${nat.publicAddress} is not an address of leg ${nat.outLeg}`,
        hint: 'Use an address of the leg that packets leave through.',
      });
    }
    const other = document.sourceNats.find(
      (one) => one.id < nat.id && one.leg === nat.leg && one.outLeg === nat.outLeg,
    );
    if (other !== undefined) {
      problems.push({
        pointer,
        code: 'duplicate-source-nat',
        message: `Source NAT ${nat.id} has the legs of source NAT ${other.id}`,
        hint: 'Give every pair of legs one source NAT.',
      });
    }
    return problems;
  });
};
