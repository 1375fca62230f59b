import type { RouterFacts, RouterPort } from './facts.ts';

/** The port that is the gateway of the guests, undefined while there is none. */
export const guestPort = (facts: RouterFacts): RouterPort | undefined =>
  facts.ports.find((port) => port.role === 'router-guest');

/** The port towards the outside, undefined in a network without public addresses. */
export const publicPort = (facts: RouterFacts): RouterPort | undefined =>
  facts.ports.find((port) => port.role === 'router-public');

/** The address all guests leave with, undefined without source NAT. */
export const sourceNatAddress = (facts: RouterFacts): string | undefined =>
  facts.publicIps.find((ip) => ip.sourceNat)?.address;
