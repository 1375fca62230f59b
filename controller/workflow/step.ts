import type { Problem } from 'documents';
import type { RouterRequest, RouterAnswer } from '../deliver/delivery.ts';
import type { WorkflowRow } from '../store/workflows.ts';
import type { Db, Trx } from '../store/transaction.ts';

/** What steps reach the world through: requests to host agents. @see Delivery */
export interface WorkflowLink {
  requestRouter(routerId: string, request: RouterRequest): Promise<RouterAnswer>;
  copyState(hostId: string, from: string, to: string): Promise<unknown>;
  /** Has a host end the daemon of one of its routers and start it anew; packets do not notice. @throws {AgentError} */
  restartDaemon(hostId: string, router: string): Promise<unknown>;
  /** What a probe measured from one time to another, ms since the epoch. @throws {AgentError} */
  probeReading(hostId: string, probe: string, from: number, to: number): Promise<unknown>;
}

/** When a step was begun, ended, and taken back, ms since the epoch. */
export interface StepRecord {
  readonly name: string;
  readonly startedAt: number;
  endedAt: number | null;
  undoneAt: number | null;
  /** What it came to, for people. */
  message: string;
}

/** What the engine keeps in every workflow's state, besides what the workflow's own steps do. */
export interface WorkflowState {
  steps: StepRecord[];
  /** How often the present step failed in a row. */
  attempts: number;
}

/** How far a step got. A step is asked again from its beginning whenever there is news. */
export type Outcome =
  /**
   * `problem`, from a last step: nothing is left to do and nothing is taken back, but it did not come to what was asked
   * for. The workflow and its operation end as failed.
   */
  | { readonly kind: 'done'; readonly message?: string; readonly problem?: Problem }
  /** Something has to be reported first. `until` (ms since the epoch): ask again then, whatever happens. */
  | { readonly kind: 'wait'; readonly until?: number }
  /** It cannot be done: everything is taken back. */
  | { readonly kind: 'failed'; readonly problem: Problem };

export const done = (message?: string, problem?: Problem): Outcome => ({
  kind: 'done',
  ...(message === undefined ? {} : { message }),
  ...(problem === undefined ? {} : { problem }),
});
export const wait = (until?: number): Outcome => ({
  kind: 'wait',
  ...(until === undefined ? {} : { until }),
});
export const failed = (problem: Problem): Outcome => ({ kind: 'failed', problem });

/** In `scratch` of a workflow that was under way before: since when it can be heard (again), ms since the epoch. */
export const RESUMED = 'resumed';
/** How long what was reported while nobody listened may take to come, ms: an agent connects again within less. */
const REPORTS_WITHIN = 30_000;

/**
 * Whether what was to be reported until then (ms since the epoch) is late. Not as long as it may have been reported to
 * nobody: this process was away, and the row still says what was known before.
 */
export const isOver = (work: Pick<Work<WorkflowState>, 'scratch' | 'now'>, until: number): boolean =>
  work.now() >= Math.max(until, (work.scratch.get(RESUMED) ?? Number.NEGATIVE_INFINITY) + REPORTS_WITHIN);

/** One workflow at one step, as the step sees it. */
export interface Work<State extends WorkflowState> {
  /** As it was read last. */
  readonly row: WorkflowRow;
  readonly state: Readonly<State>;
  readonly db: Db;
  readonly link: WorkflowLink;
  /** Values that may be lost at any time, such as when something was last asked. */
  readonly scratch: Map<string, number>;
  now(): number;
  /**
   * Does one thing in one transaction together with the note of it: what `change` does to `state` is kept with what it
   * does to the rows. Nothing happens when somebody else moved the workflow meanwhile. @throws {Superseded}
   */
  change<T>(change: (trx: Trx, state: State) => Promise<T>): Promise<T>;
  /** Adds a step to the operation, if it still runs. */
  tell(trx: Trx, message: string): Promise<void>;
  /** Ends the operation well, and lets the next workflow of its kind begin; what is left to do goes on. */
  release(trx: Trx): Promise<void>;
}

/** One step of a workflow. Both ways can be asked any number of times, and go on where they were. */
export interface Step<State extends WorkflowState> {
  readonly name: string;
  run(work: Work<State>): Promise<Outcome>;
  /** Takes back what `run` did, however far it got. May not fail, only wait. */
  undo(work: Work<State>): Promise<Outcome>;
}

export interface WorkflowType<State extends WorkflowState> {
  readonly type: string;
  readonly steps: readonly Step<State>[];
}

/** Somebody else, such as a request to abort, moved the workflow while a step was at work. */
export class Superseded extends Error {
  readonly code = 'SUPERSEDED';

  constructor(id: string) {
    super(`The workflow ${id} was moved on`);
    this.name = 'Superseded';
  }
}
