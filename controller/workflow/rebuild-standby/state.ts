import type { WorkflowState } from '../step.ts';

/** State of a workflow `router.rebuild-standby`. */
export interface RebuildState extends WorkflowState {
  readonly network: string;
  readonly host: string;
  /** The standby that goes; null: there is none (any more). */
  router: string | null;
  /** The standby that comes; null: it is not made yet. */
  successor: string | null;
  /** How long the new one may take to be ready, and then to know all that the active router knows, ms. */
  readonly readyWithin: number;
  readyBy: number | null;
  syncedBy: number | null;
  /** Generation of the host that has the new one. */
  hostGeneration: number | null;
  removal: { readonly host: string; readonly generation: number } | null;
}

export const newRebuildState = (
  given: Pick<RebuildState, 'network' | 'host' | 'router' | 'successor' | 'readyWithin'>,
): RebuildState => ({
  ...given,
  steps: [],
  attempts: 0,
  readyBy: null,
  syncedBy: null,
  hostGeneration: null,
  removal: null,
});
