import type { FirewallRule } from 'documents';
import { byId } from './by-id.ts';
import type { RouterFacts } from './facts.ts';
import { planMatch } from './match.ts';
import { offers } from './services.ts';

export const planFirewallRules = (facts: RouterFacts): FirewallRule[] =>
  offers(facts, 'firewall')
    ? byId(
        facts.firewallRules.map((rule) => ({
          id: rule.id,
          publicAddress: rule.publicAddress,
          protocol: rule.protocol,
          ...planMatch(rule),
          sources: [...rule.sources],
        })),
      )
    : [];
