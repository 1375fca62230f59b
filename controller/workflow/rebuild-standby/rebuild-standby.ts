import type { WorkflowType } from '../step.ts';
import { build } from './build.ts';
import { remove } from './remove.ts';
import type { RebuildState } from './state.ts';
import { sync } from './sync.ts';

/** Builds a standby for a network, in the place of one that was there or of none. The active router does not notice. */
export const rebuildStandby: WorkflowType<RebuildState> = {
  type: 'router.rebuild-standby',
  steps: [build, sync, remove],
};
