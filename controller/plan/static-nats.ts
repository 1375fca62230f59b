import type { StaticNat } from 'documents';
import { byId } from './by-id.ts';
import type { RouterFacts } from './facts.ts';
import { offers } from './services.ts';

export const planStaticNats = (facts: RouterFacts): StaticNat[] =>
  offers(facts, 'static-nat')
    ? byId(
        facts.staticNats.map(({ id, publicAddress, guestAddress }) => ({ id, publicAddress, guestAddress })),
      )
    : [];
