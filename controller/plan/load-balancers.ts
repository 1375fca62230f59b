import type { LoadBalancer } from 'documents';
import { byId } from './by-id.ts';
import type { RouterFacts } from './facts.ts';
import { offers } from './services.ts';

export const planLoadBalancers = (facts: RouterFacts): LoadBalancer[] =>
  offers(facts, 'load-balancer')
    ? byId(
        facts.loadBalancers.map((balancer) => ({
          id: balancer.id,
          publicAddress: balancer.publicAddress,
          port: balancer.port,
          protocol: balancer.protocol,
          algorithm: balancer.algorithm,
          members: byId(
            balancer.members.map((member) => ({
              id: member.id,
              address: member.guestAddress,
              port: member.guestPort,
              draining: member.draining,
            })),
          ),
        })),
      )
    : [];
