import type { Feature } from '../feature.ts';
import type { RulesetFeature } from '../ruleset/ruleset-feature.ts';
import { applyLegs, diffLegs } from './apply.ts';
import { type RenderedLegs, renderLegs, renderLegsFragment } from './render.ts';
import { verifyLegs } from './verify.ts';

/** The router's interfaces: up, with their addresses, and the namespace's settings. */
export const legsFeature: Feature<RenderedLegs> = {
  name: 'legs',
  verify: verifyLegs,
  render: renderLegs,
  diff: diffLegs,
  apply: applyLegs,
  heal: applyLegs,
};

/** The legs' part of the table: who is who, and the doors that are closed by default. */
export const legsRulesetFeature: RulesetFeature = {
  name: 'legs',
  verify: () => [],
  render: renderLegsFragment,
};
