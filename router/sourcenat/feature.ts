import type { RulesetFeature } from '../ruleset/ruleset-feature.ts';
import { revokedBySourceNat } from './apply.ts';
import { renderSourceNat } from './render.ts';
import { verifySourceNat } from './verify.ts';

/** Guests leave with a public address. */
export const sourceNatFeature: RulesetFeature = {
  name: 'sourcenat',
  verify: verifySourceNat,
  render: renderSourceNat,
  revoked: revokedBySourceNat,
};
