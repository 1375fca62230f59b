import type { CollectionItem, CollectionName } from 'documents';
import { planDhcpHosts } from './dhcp-hosts.ts';
import { planDhcpSubnets } from './dhcp-subnets.ts';
import { planEgressPolicies } from './egress-policies.ts';
import { planEgressRules } from './egress-rules.ts';
import type { RouterFacts } from './facts.ts';
import { planFirewallRules } from './firewall-rules.ts';
import { planLegs } from './legs.ts';
import { planLoadBalancers } from './load-balancers.ts';
import { planMetadataGuests } from './metadata-guests.ts';
import { planPortForwards } from './port-forwards.ts';
import { planSourceNats } from './source-nats.ts';
import { planStaticNats } from './static-nats.ts';

/** The planner of each collection. Every one plans item by item: restricted facts give just those items. */
export const collectionPlanners: {
  readonly [Name in CollectionName]: (facts: RouterFacts) => CollectionItem<Name>[];
} = {
  legs: planLegs,
  firewallRules: planFirewallRules,
  egressPolicies: planEgressPolicies,
  egressRules: planEgressRules,
  sourceNats: planSourceNats,
  staticNats: planStaticNats,
  portForwards: planPortForwards,
  loadBalancers: planLoadBalancers,
  dhcpSubnets: planDhcpSubnets,
  dhcpHosts: planDhcpHosts,
  metadataGuests: planMetadataGuests,
  // An isolated network has its connected routes and the default gateway of its public leg, which legs imply.
  routes: () => [],
};
