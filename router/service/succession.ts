/** A process, told from a later one with its pid. */
export interface Process {
  readonly pid: number;
  /** Ticks since boot (proc_pid_stat(5), field 22). */
  readonly startTime: number;
}

/** How a running program is replaced by another of its kind without its clients noticing. */
export interface Succession {
  /**
   * Makes room for the new one just before it starts, while the old one serves: the last of these, after others that are still
   * about to end. When that or the start fails, or the new one takes too long, it is tried again; then the old one is ended
   * first, as in a restart.
   */
  readonly before: (old: readonly Process[]) => Promise<void>;
  /** The new one answers, or did not come up: undoes what was made for the time in between. */
  readonly after: (old: Process) => Promise<void>;
  /** How long the old one is left to finish what it has begun, ms. */
  readonly linger: number;
}
