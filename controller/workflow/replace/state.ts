import type { Refusal } from './copy-state.ts';
import type { WorkflowState } from '../step.ts';

/** What a router told of the connections that would end with it. */
export interface Sessions {
  /** Connections that end in the router itself, such as those of its load balancers: nobody else can carry them on. */
  readonly local: number;
  /** Connections it only translates: its successor has them too. */
  readonly translated: number;
  readonly holders: readonly {
    readonly address: string;
    readonly port: number;
    readonly protocol: string;
    readonly count: number;
  }[];
  /** ms since the epoch. */
  readonly at: number;
}

export interface Copied {
  readonly inserted: number;
  readonly present: number;
  readonly refused: readonly Refusal[];
}

/** How a router that has handed over is taken away. */
export interface Retirement {
  readonly router: string;
  /** When it handed over, ms since the epoch. */
  readonly since: number;
  /** Late copy of what it held; null: not yet. */
  copy: Copied | null;
  sessions: Sessions | null;
  removal: { readonly host: string; readonly generation: number } | null;
}

/** @see release */
export type ReleaseStage = 'wires' | 'hear' | 'up' | 'down' | 'forget';

/** How far a router is out of the chain, and what has to be reported before the next stage. */
export interface Release {
  /** Who stood next to it; `older` null: it is the oldest. */
  readonly older: string | null;
  readonly newer: string;
  readonly stage: ReleaseStage;
  readonly host: { readonly host: string; readonly generation: number } | null;
  readonly routers: readonly { readonly router: string; readonly generation: number }[];
  /** When the stage began, ms since the epoch. */
  readonly since: number;
}

/** State of a workflow `router.replace`. */
export interface ReplaceState extends WorkflowState {
  /** The router that is replaced. */
  readonly router: string;
  readonly host: string;
  readonly network: string;
  /** How long a successor may take to be ready, ms. */
  readonly readyWithin: number;
  /** How long the old one may keep sessions alive, seconds; null: as long as there are any. */
  drainDeadline: number | null;
  /** Id of the bundle that the successor is to run; null: what routers are to run then. */
  bundle: string | null;
  /** Id of the bundle that the old one was to run when this began; null: it was never uploaded. */
  readonly previousBundle: string | null;
  /**
   * It is to be taken back by a third router, as soon as one may be begun (forward.ts): `operation` is what this workflow's
   * own operation was before that of the abort took its place.
   */
  forward: { readonly operation: string } | null;
  successor: string | null;
  /** When the successor has to be ready, ms since the epoch. */
  readyBy: number | null;
  /** Generation of the host that has the successor. */
  hostGeneration: number | null;
  copied: Copied | null;
  /** The hand-over: generation of the old router's document, and when it was reported to be in force. */
  drain: { readonly generation: number; at: number | null } | null;
  flip: { readonly host: string; readonly generation: number } | null;
  flipBack: { readonly host: string; readonly generation: number } | null;
  /** Taking the hand-over back: first the old router asks the successor, then the successor hands back. */
  handBack: { readonly old: number; successor: number | null; since: number } | null;
  retirement: Retirement | null;
  release: Release | null;
  /** Whether nobody else may change the chain just now (chain-claim.ts). */
  holdsChain: boolean;
  /** Routers whose daemons do not answer, by id, and since when, ms since the epoch. */
  readonly silences: Record<string, number>;
  /** Why the old router is replaced without its help: nothing is copied, and what ends in it is lost. */
  rescue: string | null;
}

export const newReplaceState = (
  given: Pick<
    ReplaceState,
    'router' | 'host' | 'network' | 'drainDeadline' | 'readyWithin' | 'bundle' | 'previousBundle'
  >,
): ReplaceState => ({
  ...given,
  steps: [],
  attempts: 0,
  forward: null,
  successor: null,
  readyBy: null,
  hostGeneration: null,
  copied: null,
  drain: null,
  flip: null,
  flipBack: null,
  handBack: null,
  retirement: null,
  release: null,
  holdsChain: false,
  silences: {},
  rescue: null,
});

/** The successor's id, in steps that come after it was made. */
export const successorOf = (state: Readonly<ReplaceState>): string => {
  if (state.successor === null) throw new TypeError('The successor is made by the step before');
  return state.successor;
};
