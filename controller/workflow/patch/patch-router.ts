import type { WorkflowType } from '../step.ts';
import { confirm } from './confirm.ts';
import { deliver } from './deliver.ts';
import type { PatchState } from './state.ts';
import { exchange } from './exchange.ts';

/** Has a running router run another bundle, with nothing in its kernel touched (docs/decisions/0012). */
export const patchRouter: WorkflowType<PatchState> = {
  type: 'router.patch',
  steps: [deliver, exchange, confirm],
};
