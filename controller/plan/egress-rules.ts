import type { EgressRule } from 'documents';
import { byId } from './by-id.ts';
import type { RouterFacts } from './facts.ts';
import { planMatch } from './match.ts';
import { guestPort } from './router-legs.ts';
import { offers } from './services.ts';

export const planEgressRules = (facts: RouterFacts): EgressRule[] => {
  const guest = guestPort(facts);
  if (guest === undefined || !offers(facts, 'firewall')) return [];
  return byId(
    facts.egressRules.map((rule) => ({
      id: rule.id,
      leg: guest.id,
      protocol: rule.protocol,
      ...planMatch(rule),
      sources: [...rule.sources],
      destinations: [...rule.destinations],
    })),
  );
};
