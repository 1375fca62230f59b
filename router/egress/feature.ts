import type { RulesetFeature } from '../ruleset/ruleset-feature.ts';
import { revokedByEgress } from './apply.ts';
import { renderEgress } from './render.ts';
import { verifyEgress } from './verify.ts';

/** What guests may reach outside. */
export const egressFeature: RulesetFeature = {
  name: 'egress',
  verify: verifyEgress,
  render: renderEgress,
  revoked: revokedByEgress,
};
