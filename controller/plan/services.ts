import type { RouterFacts, Service } from './facts.ts';

/** Whether the network's offering has the service. What it has not is not planned. */
export const offers = (facts: RouterFacts, service: Service): boolean =>
  facts.offering.services.includes(service);
