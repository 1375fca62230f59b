import type { RulesetFeature } from '../ruleset/ruleset-feature.ts';
import { revokedByFirewall } from './apply.ts';
import { renderFirewall } from './render.ts';
import { verifyFirewall } from './verify.ts';

/** Opens public addresses; everything is closed until a rule opens it. */
export const firewallFeature: RulesetFeature = {
  name: 'firewall',
  verify: verifyFirewall,
  render: renderFirewall,
  revoked: revokedByFirewall,
};
