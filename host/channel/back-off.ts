/** How long to wait before trying again. Pure. */

export interface BackOff {
  /** ms before the second attempt, at most. */
  readonly first: number;
  /** ms, never more. */
  readonly longest: number;
}

/**
 * Delay before attempt `attempt` (1 for the first repeat): up to twice as long each time, drawn between half and all of
 * it, so that thousands of agents that lost one controller do not return together. `random` is in [0, 1).
 */
export const backOffDelay = ({ first, longest }: BackOff, attempt: number, random: number): number => {
  const ceiling = Math.min(longest, first * 2 ** Math.min(30, Math.max(0, attempt - 1)));
  return Math.round(ceiling * (0.5 + random / 2));
};
