/** What the agent and its prober say to each other. */
import type { ProbeReading } from 'documents';
import type { ProbeOrder } from './orders.ts';

export type ToProber =
  /** Measure these and nothing else; what goes on as it was keeps its past. */
  | { readonly type: 'follow'; readonly probes: readonly ProbeOrder[] }
  /** What a probe measured from `from` until before `to`, ms since the epoch. */
  | {
      readonly type: 'read';
      readonly id: number;
      readonly probe: string;
      readonly from: number;
      readonly to: number;
    };

/** null: there is no such probe. */
export type FromProber = {
  readonly type: 'reading';
  readonly id: number;
  readonly reading: ProbeReading | null;
};
