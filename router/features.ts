/** Everything this router can do, in the order in which it is applied: doors are closed before addresses appear behind them. */
import type { RouterDocument } from 'documents';
import { dhcpFeature } from './dhcp/feature.ts';
import { dnsFeature } from './dns/feature.ts';
import { egressFeature } from './egress/feature.ts';
import type { Feature } from './feature.ts';
import { firewallFeature } from './firewall/feature.ts';
import { handoverFeature } from './handover/feature.ts';
import { legsFeature, legsRulesetFeature } from './legs/feature.ts';
import { loadBalancerFeature } from './loadbalancer/feature.ts';
import { metadataFeature } from './metadata/feature.ts';
import { portForwardFeature } from './portforward/feature.ts';
import { routesFeature } from './routes/feature.ts';
import type { RulesetState } from './ruleset/apply.ts';
import { rulesetFeature } from './ruleset/feature.ts';
import type { RulesetFeature } from './ruleset/ruleset-feature.ts';
import { sourceNatFeature } from './sourcenat/feature.ts';
import { staticNatFeature } from './staticnat/feature.ts';

/** Features of the one nftables table. */
export const rulesetFeatures: readonly RulesetFeature[] = [
  legsRulesetFeature,
  firewallFeature,
  egressFeature,
  portForwardFeature,
  staticNatFeature,
  sourceNatFeature,
];

/** What one feature renders is only ever given back to the same feature. */
export type AnyFeature = Feature<unknown> & {
  /** The parts of the document it reads: while they are the same, it is left alone. */
  readonly reads: readonly (keyof RouterDocument)[];
  /** Whether it answers guests by a program of its own. The others are the way of packets through the router. */
  readonly isService: boolean;
};

const feature = <Rendered>(
  of: Feature<Rendered>,
  reads: AnyFeature['reads'],
  isService = false,
): AnyFeature => ({ ...(of as unknown as Feature<unknown>), reads, isService });

const service = <Rendered>(of: Feature<Rendered>, reads: AnyFeature['reads']): AnyFeature =>
  feature(of, reads, true);

/** Features with daemons of their own: one import and one line for each. */
export const serviceFeatures: readonly AnyFeature[] = [
  // First, as it is quick and guests that boot wait for it.
  service(metadataFeature, ['legs', 'metadataGuests', 'dhcpSubnets', 'sourceNats', 'staticNats']),
  service(dnsFeature, ['legs', 'dhcpSubnets', 'dhcpHosts', 'dns']),
  service(dhcpFeature, ['legs', 'dhcpSubnets', 'dhcpHosts']),
  service(loadBalancerFeature, ['legs', 'loadBalancers', 'portForwards', 'staticNats']),
];

/** All features of one router, with the state of its table beside them. */
export const routerFeatures = (): {
  readonly features: readonly AnyFeature[];
  readonly rulesetState: RulesetState;
} => {
  const ruleset = rulesetFeature(rulesetFeatures);
  return {
    rulesetState: ruleset.state,
    features: [
      // Before the table: what is no longer steered here must not come in by a link that no rule knows any more.
      feature(handoverFeature, ['legs', 'dhcpHosts', 'handover']),
      feature(ruleset, [
        'legs',
        'handover',
        'firewallRules',
        'egressPolicies',
        'egressRules',
        'sourceNats',
        'staticNats',
        'portForwards',
        'loadBalancers',
      ]),
      feature(legsFeature, ['legs', 'sourceNats']),
      feature(routesFeature, ['legs', 'routes']),
      ...serviceFeatures,
    ],
  };
};
