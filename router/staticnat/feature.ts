import type { RulesetFeature } from '../ruleset/ruleset-feature.ts';
import { revokedByStaticNat } from './apply.ts';
import { renderStaticNat } from './render.ts';
import { verifyStaticNat } from './verify.ts';

/** One public address for one guest, both ways. */
export const staticNatFeature: RulesetFeature = {
  name: 'staticnat',
  verify: verifyStaticNat,
  render: renderStaticNat,
  revoked: revokedByStaticNat,
};
