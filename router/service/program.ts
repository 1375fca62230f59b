/** What a service runs, and how to tell that it does its work. */
export interface Program {
  /** Absolute path of the executable. */
  readonly path: string;
  /** Asked for after `prepare`. */
  readonly args: () => readonly string[];
  /**
   * Arguments that no other process has together with `path`, such as that of its configuration file. A process found
   * after a restart of ours is taken over only when its command line has them all.
   */
  readonly marks: readonly string[];
  /** Id of the router, which events about the service name. */
  readonly subject: string;
  /** True when the service answers. Asked after a start until it does; never throws. */
  readonly ready: () => Promise<boolean>;
  /** Brought about before each start: folders, their modes. */
  readonly prepare?: () => Promise<void>;
}
