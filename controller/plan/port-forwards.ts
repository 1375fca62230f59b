import type { PortForward } from 'documents';
import { byId } from './by-id.ts';
import type { RouterFacts } from './facts.ts';
import { offers } from './services.ts';

export const planPortForwards = (facts: RouterFacts): PortForward[] =>
  offers(facts, 'port-forward')
    ? byId(
        facts.portForwards.map((forward) => ({
          id: forward.id,
          publicAddress: forward.publicAddress,
          protocol: forward.protocol,
          publicPorts: { first: forward.firstPublicPort, last: forward.lastPublicPort },
          guestAddress: forward.guestAddress,
          guestPorts: { first: forward.firstGuestPort, last: forward.lastGuestPort },
        })),
      )
    : [];
