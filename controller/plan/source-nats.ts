import type { SourceNat } from 'documents';
import type { RouterFacts } from './facts.ts';
import { derivedId } from './ids.ts';
import { guestPort, publicPort, sourceNatAddress } from './router-legs.ts';
import { offers } from './services.ts';

/**
 * Source ports by parity of the router. Two routers that serve one network during a replacement have disjoint ranges,
 * so that a flow of the old and one of the new never get the same translation. The upper range is Linux' own default
 * for local ports (ip_local_port_range).
 */
const sourcePorts = [
  { first: 10_000, last: 32_767 },
  { first: 32_768, last: 60_999 },
] as const;

export const planSourceNats = (facts: RouterFacts): SourceNat[] => {
  const guest = guestPort(facts);
  const outside = publicPort(facts);
  const publicAddress = sourceNatAddress(facts);
  if (!offers(facts, 'source-nat')) return [];
  if (guest === undefined || outside === undefined || publicAddress === undefined) return [];
  return [
    {
      id: derivedId('snt', guest.id),
      leg: guest.id,
      outLeg: outside.id,
      publicAddress,
      ports: { ...sourcePorts[facts.router.parity] },
    },
  ];
};
