interface Report {
  /** When the reporting program started, ms since the epoch. */
  readonly startedAt: number;
  readonly observedGeneration: number;
}

/**
 * Whether a report is older than the one held: the same program has observed less. Another start is another program,
 * whichever is later: a host's clock may have been set back in between.
 */
export const isStale = (report: Report, held: Report): boolean =>
  report.startedAt === held.startedAt && report.observedGeneration < held.observedGeneration;
