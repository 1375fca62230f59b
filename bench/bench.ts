/** What a bench is: it measures ours and what it is held against in the same run, in turn, and returns rows. */

export interface Row {
  /** What was measured: `add at 30k p99`. */
  readonly name: string;
  readonly value: number;
  /** `ms`, `us`, `MB`, `Gbit/s`, `lost` ... */
  readonly unit: string;
  /** What it is held against, measured in the same run. */
  readonly against?: string;
  readonly other?: number;
  /** value / other. */
  readonly ratio?: number;
  /** The figure we want to reach, in words: `<= 10 ms`. Rows without one inform. */
  readonly reach?: string;
  /** Whether it is reached; true for rows without a reach. */
  readonly met: boolean;
}

export interface BenchContext {
  /** Repetitions, from `--count` (or `--runs`); each bench has its own default. */
  readonly runs: number | null;
  /** Progress for people, on stderr. */
  readonly tell: (message: string) => void;
}

export interface Bench {
  readonly name: string;
  /** One sentence. */
  readonly description: string;
  /** Measures, and removes everything it made, also when it fails. */
  readonly run: (context: BenchContext) => Promise<Row[]>;
}

/** The value below which a share of all lies, nearest rank. `share` from 0 to 1. */
export const percentile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
};

/** A row that is held against another measurement. */
export const against = (
  name: string,
  value: number,
  unit: string,
  other: number,
  what: string,
  reach?: { readonly text: string; readonly met: boolean },
): Row => ({
  name,
  value,
  unit,
  against: what,
  other,
  ratio: value / other,
  ...(reach === undefined ? {} : { reach: reach.text }),
  met: reach?.met ?? true,
});
