import type { EgressPolicy } from 'documents';
import type { RouterFacts } from './facts.ts';
import { derivedId } from './ids.ts';
import { guestPort } from './router-legs.ts';

/** The offering's default for guests that want out. Every guest leg has one, whatever its services. */
export const planEgressPolicies = (facts: RouterFacts): EgressPolicy[] => {
  const guest = guestPort(facts);
  return guest === undefined
    ? []
    : [{ id: derivedId('egp', guest.id), leg: guest.id, default: facts.offering.egressDefault }];
};
