import type { WorkflowType } from '../step.ts';
import { build } from './build.ts';
import { drain } from './drain.ts';
import { flip } from './flip.ts';
import { precopy } from './precopy.ts';
import { retire } from './retire.ts';
import type { ReplaceState } from './state.ts';

/** Replaces a router by a fresh one without losing a packet (docs/handover.md). */
export const replaceRouter: WorkflowType<ReplaceState> = {
  type: 'router.replace',
  steps: [build, precopy, drain, flip, retire],
};
