import type { Nftables } from 'nftables-json';
import type { ConntrackSocket, RouteSocket } from 'node-netlink';

/** The only door to the world outside the process. Tests pass real parts or the fakes the packages ship. */
export interface System {
  /** The router's own directory: configuration, pid files and sockets of its services, one folder each. */
  readonly directory: string;
  readonly nftables: Nftables;
  readonly route: RouteSocket;
  readonly conntrack: ConntrackSocket;
  readonly files: Files;
  /** Settings of the kernel; absent where there is no kernel of its own to set, as in tests on fakes. */
  readonly settings?: Settings;
  readonly exec: Exec;
  readonly clock: Clock;
  /** Tells the world that something happened. Never blocks, never throws. */
  readonly report: (event: Report) => void;
}

export interface Report {
  readonly type: string;
  readonly level: 'info' | 'warning' | 'error';
  readonly subject: string;
  readonly message: string;
}

export interface Clock {
  /** ms since the epoch */
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

export interface Files {
  /** Text of a file, null when there is none. */
  readonly read: (path: string) => Promise<string | null>;
  /** Replaces a file by rename, so that a reader sees the old text or the new. Makes missing folders. True when the text differed. */
  readonly write: (path: string, text: string, mode?: number) => Promise<boolean>;
  /** Removes a file; true when there was one. */
  readonly remove: (path: string) => Promise<boolean>;
  readonly list: (directory: string) => Promise<readonly string[]>;
}

/** What sysctl(8) reads and writes, of the network namespace this process is in. */
export interface Settings {
  /** Value below /proc/sys/net, without the newline; null when this kernel has no such setting. */
  readonly read: (path: string) => Promise<string | null>;
  readonly write: (path: string, value: string) => Promise<void>;
}

export interface Exec {
  /** Runs a program to its end (no shell). Never throws for an exit code. */
  readonly run: (
    program: string,
    args: readonly string[],
    options?: { readonly input?: string; readonly timeout?: number; readonly cwd?: string },
  ) => Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>;
  /** Starts a program that outlives this process, its output going to the file `log`. Returns its pid. */
  readonly start: (
    program: string,
    args: readonly string[],
    options: { readonly log: string },
  ) => Promise<number>;
}
