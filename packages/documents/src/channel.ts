/**
 * What host agent and controller say over the doorbell socket. It carries no state: a lost frame costs one poll
 * interval and nothing else. Documents and status travel by REST.
 */
import type { Problem } from './problem.ts';

export type ControllerFrame =
  /** There is a newer host document than the agent last fetched. */
  | { readonly type: 'host-document'; readonly generation: number }
  /** There is a newer document for one of the host's routers. */
  | { readonly type: 'router-document'; readonly router: string; readonly generation: number }
  /** Asks for something now; answered by a `response` with the same id. */
  | {
      readonly type: 'request';
      readonly id: string;
      readonly method: RequestMethod;
      readonly params: Readonly<Record<string, unknown>>;
    };

/**
 * `router`: passes an HTTP request on to a router daemon. `status`: report at once. `copy-state`: carries connections,
 * neighbours and leases from one router of this host to another: params `{from, to}`, result what the receiver took.
 * `restart-daemon`: ends the daemon of a router that does not answer and starts it anew; packets do not notice: params
 * `{router}`. `probe-reading`: what a probe measured: params `{probe, from, to}` (ms since the epoch), result
 * {@link ProbeReading}.
 */
export type RequestMethod = 'router' | 'status' | 'copy-state' | 'restart-daemon' | 'probe-reading';

/** One kind of measurement over some time. Times in µs. */
export interface Measured {
  readonly sent: number;
  /** Not answered within a second. */
  readonly lost: number;
  /** Answered twice. */
  readonly doubled: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly longest: number | null;
}

/** What a probe measured in a window; what was sent in its last second is waited for. */
export interface ProbeReading {
  /** Datagrams to the outside and back. */
  readonly datagrams: Measured;
  /** Connections to the outside, opened anew each time. */
  readonly connections: Measured;
  /** Names asked of the router. */
  readonly names: Measured;
}

export type AgentFrame =
  | { readonly type: 'hello'; readonly host: string; readonly version: string }
  | { readonly type: 'response'; readonly id: string; readonly result: unknown }
  | { readonly type: 'response'; readonly id: string; readonly problem: Problem };
