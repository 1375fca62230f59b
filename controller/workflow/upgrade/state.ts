import type { WaitsFor } from '../../store/operations.ts';
import type { WorkflowState } from '../step.ts';

/** State of a workflow `upgrade-run`. What became of each router stands in rows of its own. */
export interface UpgradeState extends WorkflowState {
  readonly run: string;
  /** Workflows it waits for: the engine looks for their ids here when one of them moves. */
  children: string[];
  /** Probes that were planned: what has to be reported until they measure, and since when they do (ms). */
  probes: { readonly waitsFor: readonly WaitsFor[]; readonly since: number; readyAt: number | null } | null;
  /** Probes that were taken away. */
  cleared: { readonly waitsFor: readonly WaitsFor[]; readonly since: number } | null;
}

export const newUpgradeState = (run: string): UpgradeState => ({
  run,
  steps: [],
  attempts: 0,
  children: [],
  probes: null,
  cleared: null,
});
