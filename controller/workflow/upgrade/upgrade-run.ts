import type { WorkflowType } from '../step.ts';
import { clearUp, prepare } from './probing.ts';
import type { UpgradeState } from './state.ts';
import { upgrade } from './upgrade.ts';

/** Brings many routers to a bundle, canaries first, each judged by what is measured through it (docs/decisions/0014). */
export const upgradeRun: WorkflowType<UpgradeState> = {
  type: 'upgrade-run',
  steps: [prepare, upgrade, clearUp],
};
