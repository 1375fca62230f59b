import type { RouterDocument } from 'documents';
import { collectionPlanners } from './collections.ts';
import { planDns } from './dns.ts';
import type { RouterFacts } from './facts.ts';
import { planHandover } from './handover.ts';

/** A router is named by its id, which is a host name already. */
export const planHostname = (facts: RouterFacts): string => facts.router.id;

/** The whole document of a router, from complete facts. The order of rows makes no difference. */
export const planRouter = (facts: RouterFacts): RouterDocument => {
  const handover = planHandover(facts);
  return { ...planAlone(facts), ...(handover === undefined ? {} : { handover }) };
};

/** The document of the only router of a network. */
const planAlone = (facts: RouterFacts): RouterDocument => ({
  schemaVersion: 1,
  id: facts.router.id,
  generation: facts.router.generation,
  hostname: planHostname(facts),
  legs: collectionPlanners.legs(facts),
  firewallRules: collectionPlanners.firewallRules(facts),
  egressPolicies: collectionPlanners.egressPolicies(facts),
  egressRules: collectionPlanners.egressRules(facts),
  sourceNats: collectionPlanners.sourceNats(facts),
  staticNats: collectionPlanners.staticNats(facts),
  portForwards: collectionPlanners.portForwards(facts),
  loadBalancers: collectionPlanners.loadBalancers(facts),
  dhcpSubnets: collectionPlanners.dhcpSubnets(facts),
  dhcpHosts: collectionPlanners.dhcpHosts(facts),
  dns: planDns(facts),
  metadataGuests: collectionPlanners.metadataGuests(facts),
  routes: collectionPlanners.routes(facts),
});
