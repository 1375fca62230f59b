import type { RulesetFeature } from '../ruleset/ruleset-feature.ts';
import { revokedByPortForward } from './apply.ts';
import { renderPortForward } from './render.ts';
import { verifyPortForward } from './verify.ts';

/** Ports of public addresses that lead to guests. */
export const portForwardFeature: RulesetFeature = {
  name: 'portforward',
  verify: verifyPortForward,
  render: renderPortForward,
  revoked: revokedByPortForward,
};
