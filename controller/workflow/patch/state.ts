import type { WorkflowState } from '../step.ts';

/** State of a workflow `router.patch`. */
export interface PatchState extends WorkflowState {
  readonly router: string;
  readonly host: string;
  readonly network: string;
  /** What it is to run. */
  readonly bundle: { readonly id: string; readonly version: string; readonly checksum: string };
  /** How long its host may take to have it run, ms. */
  readonly within: number;
  /** Until when, ms since the epoch. */
  until: number | null;
  /**
   * Bundle it had, null for what its host came with; checksum of what it ran, null if not known; and the host's generation
   * that names the new one.
   */
  delivered: {
    readonly before: string | null;
    readonly ran: string | null;
    readonly generation: number;
  } | null;
  /** Generation of the host that names the one before again. */
  takenBack: number | null;
}

export const newPatchState = (
  given: Pick<PatchState, 'router' | 'host' | 'network' | 'bundle' | 'within'>,
): PatchState => ({
  ...given,
  steps: [],
  attempts: 0,
  until: null,
  delivered: null,
  takenBack: null,
});
