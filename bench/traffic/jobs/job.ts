/** One thing a program sends or serves. */
import type { Direction } from '../load.ts';
import type { Pacer } from '../pacer.ts';
import type { JobReport, Moment, Way } from '../report.ts';
import type { Endpoint, KnownName } from '../traffic-map.ts';

export interface Job {
  /** Resolves when it works: connections are up, something was answered. Rejects when that takes too long. */
  readonly open: () => Promise<void>;
  /** Begins sending and counting. */
  readonly begin: (pacer: Pacer) => void;
  /** Sends no more; resolves when nothing is outstanding or can be waited for any longer. */
  readonly end: () => Promise<void>;
  readonly report: () => JobReport;
  readonly close: () => void;
}

interface Base {
  readonly label: string;
}
export interface ServeSpec {
  readonly kind: 'serve';
  /** TCP and UDP echo on `port`, TCP echo on `morePorts`, the sink on `sinkPort`. */
  readonly address: string;
  readonly port: number;
  readonly morePorts: readonly number[];
  readonly sinkPort: number;
}
export interface ProbeSpec extends Base {
  readonly kind: 'probe';
  readonly protocol: 'icmp' | 'udp';
  readonly direction: Direction;
  readonly to: Endpoint;
  readonly rate: number;
}
export interface FlowsSpec extends Base {
  readonly kind: 'flows';
  readonly way: Way;
  readonly to: readonly Endpoint[];
  readonly count: number;
  /** ms. */
  readonly interval: number;
}
export interface ConnectionsSpec extends Base {
  readonly kind: 'connections';
  readonly way: Way;
  readonly to: readonly Endpoint[];
  readonly rate: number;
  /** ms. */
  readonly life: number;
}
export interface BulkSpec extends Base {
  readonly kind: 'bulk';
  readonly to: Endpoint;
  readonly mbit: number;
}
export interface DnsSpec extends Base {
  readonly kind: 'dns';
  readonly resolver: string;
  readonly rate: number;
  readonly names: readonly KnownName[];
  readonly outside: { readonly domain: string; readonly address: string };
}
export interface DhcpSpec extends Base {
  readonly kind: 'dhcp';
  readonly server: string;
  /** The client's own. */
  readonly address: string;
  readonly rate: number;
}
export type JobSpec = ServeSpec | ProbeSpec | FlowsSpec | ConnectionsSpec | BulkSpec | DnsSpec | DhcpSpec;

/** How long a job may take until it works: a balancer needs 4 s to see that its members are there. */
export const OPEN_LIMIT = 20_000;

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Waits until `done`, at most `limit` ms. Returns whether it came about. */
export const until = async (done: () => boolean, limit: number): Promise<boolean> => {
  const deadline = performance.now() + limit;
  while (!done()) {
    if (performance.now() > deadline) return false;
    await pause(10);
  }
  return true;
};

/** How many occurrences are kept with their time. */
export const MOMENTS = 100;

/** Counts occurrences by cause, and keeps when the first of them were. */
export class Tally {
  readonly #causes = new Map<string, number>();
  readonly #moments: Moment[] = [];
  #begunAt = performance.now();

  /** The load begins: moments count from here. */
  begin(): void {
    this.#begunAt = performance.now();
  }

  add(cause: string): void {
    this.#causes.set(cause, (this.#causes.get(cause) ?? 0) + 1);
    if (this.#moments.length < MOMENTS) this.#moments.push(this.momentOf(cause, performance.now()));
  }

  /** `time` as of performance.now(). */
  momentOf(what: string, time: number): Moment {
    return { at: Math.round(time - this.#begunAt), what };
  }

  get total(): number {
    return [...this.#causes.values()].reduce((sum, count) => sum + count, 0);
  }

  moments(): readonly Moment[] {
    return [...this.#moments];
  }

  causes(): Record<string, number> {
    return Object.fromEntries([...this.#causes].toSorted(([, a], [, b]) => b - a));
  }
}

const CAUSES: Readonly<Record<string, string>> = {
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
};

/** One word for a socket's error. */
export const causeOf = (error: NodeJS.ErrnoException): string =>
  CAUSES[error.code ?? ''] ?? error.code ?? error.message;
