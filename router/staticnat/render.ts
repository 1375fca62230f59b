import type { StaticNat } from 'documents';
import { ipv4AddressesOf } from '../legs/render.ts';
import { type Fragment, part, type SetDeclaration } from '../ruleset/fragment.ts';
import { hostOf } from '../ruleset/key-text.ts';
import type { StaticNatDocument } from './schema.ts';

const sets: readonly SetDeclaration[] = [
  { name: 'static_nat_in', kind: 'map', type: 'ipv4_addr : ipv4_addr' },
  { name: 'static_nat_out', kind: 'map', type: 'ifname . ipv4_addr : ipv4_addr' },
];

/** The static NAT part of the table; the rules that look into it stand in `translate_in` and `translate_out`. */
export const renderStaticNat = (document: StaticNatDocument): Fragment => {
  let holders: Map<string, string> | undefined;
  const holderOf = (address: string): string | undefined => {
    holders ??= new Map(
      document.legs
        .filter((leg) => leg.role === 'public')
        .flatMap((leg) => ipv4AddressesOf(leg).map((held) => [hostOf(held), leg.device] as const)),
    );
    return holders.get(address);
  };
  return {
    sets,
    chains: [],
    parts: [
      part<StaticNat>({
        name: 'static-nats',
        items: document.staticNats,
        context: document.legs,
        elementsOf: (nat, { element }) => {
          element('static_nat_in', nat.publicAddress, nat.guestAddress);
          const device = holderOf(nat.publicAddress);
          if (device !== undefined) {
            element('static_nat_out', `"${device}" . ${nat.guestAddress}`, nat.publicAddress);
          }
        },
      }),
    ],
  };
};
