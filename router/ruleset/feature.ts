import type { Problem } from 'documents';
import { NftablesError } from 'nftables-json';
import type { Feature } from '../feature.ts';
import { RulesetState } from './apply.ts';
import { renderRuleset, type Ruleset } from './render.ts';
import type { RulesetFeature } from './ruleset-feature.ts';

/**
 * Longest transaction that is tried before it is applied, in characters. A transaction is all or nothing anyway: the
 * trial lets a document be refused before it is stored, and for a bulk load it would cost as much as the load.
 */
const LONGEST_TRIAL = 64 * 1024;

/** All features that live in the router's one table, as one feature: one rendering, one transaction. */
export const rulesetFeature = (
  features: readonly RulesetFeature[],
): Feature<Ruleset> & { readonly state: RulesetState } => {
  const state = new RulesetState(features);
  return {
    name: 'ruleset',
    state,
    verify: (document, scope) => features.flatMap((feature) => feature.verify(document, scope)),
    render: (document) => renderRuleset(features, document),
    check: async (system, next): Promise<Problem[]> => {
      const { text, structural } = await state.plan(system, next);
      // Elements are written from verified values into sets that are there: nft takes them, or nothing is changed. A trial
      // of them would make every rule wait for the kernel to forget it again (an RCU grace period, 10 ms and more).
      if (!structural || text.length > LONGEST_TRIAL) return [];
      try {
        await system.nftables.check(text);
        return [];
      } catch (error) {
        // Without its helper nft has said nothing of the document.
        if (!(error instanceof NftablesError) || error.code === 'helper-exited') throw error;
        return [
          {
            pointer: '',
            code: 'refused-by-nftables',
            message: `nftables would not take this: ${error.message}`,
            hint: 'This is an error of the router, not of the document: report it with the document.',
          },
        ];
      }
    },
    diff: (system, next) => state.diff(system, next),
    apply: (system, next) => state.apply(system, next),
    heal: (system, current) => state.heal(system, current),
  };
};
