/**
 * Workflows: work in several steps that must end either done or taken back, whoever dies in between.
 *
 * A workflow is a row: its step, its status, and the state its steps keep. Steps are functions that are asked again and
 * again from their beginning. What they change in the store they change in one transaction together with the row
 * (`Work.change`), guarded by step and status; what they do in the world they do after it, by documents that are delivered
 * until they are in force, or by requests that may be repeated.
 *
 * What happens when this process dies
 *
 * - before a transaction of a step is committed: nothing has happened; the step is asked again and does it then
 * - after that, before the documents are delivered: they are planned from the rows, and agents fetch them after the restart
 * - while documents are applied: agents and routers go on without us and report again; the step finds what was reported
 * - while a request is under way (health, copy of state, sessions): its answer is lost; it is made again. A copy adds what
 *   is missing and leaves what is there
 * - after a step is done, before the row says so: the step is asked again, finds everything as it should be, and is done
 * - after the row moved to the next step: that step begins
 * - while it is being taken back: the row says `aborting` and the step that is undone; `undo` goes on like `run`
 * - when it began another workflow: that was one transaction with the note of it, so it finds it by its id, and asks how
 *   far it got
 * - the same after a request to abort: it is a change of the row's status, and guards make a step that is at work stop
 *   before its next change
 *
 * In memory are only: what is being driven just now, when to ask again, and when something was last asked. All of it is
 * made anew by asking every open workflow once at the start.
 */
import type { Problem } from 'documents';
import { AgentError } from '../deliver/agent-error.ts';
import type { Log } from '../deliver/log.ts';
import { recordEvent } from '../store/events.ts';
import { advanceOperation } from '../store/operations.ts';
import type { Store } from '../store/store.ts';
import type { Change, Trx } from '../store/transaction.ts';
import { changeWorkflow, type WorkflowRow } from '../store/workflows.ts';
import {
  type Outcome,
  RESUMED,
  type Step,
  type StepRecord,
  Superseded,
  type WorkflowLink,
  type WorkflowState,
  type WorkflowType,
  type Work,
} from './step.ts';

export interface WorkflowsOptions {
  readonly store: Store;
  readonly link: WorkflowLink;
  readonly log: Log;
  readonly types: readonly WorkflowType<never>[];
  /** Between two looks at what is due, ms; 100 if not said. */
  readonly tickEvery?: number;
}

export interface Workflows {
  /** Stops between two steps; what was begun goes on at the next start. */
  stop(): Promise<void>;
}

/** Between two tries of a step that failed unexpectedly, ms: doubling up to the last. */
const FIRST_RETRY = 250;
const LAST_RETRY = 30_000;

/** Why a workflow is taken back when somebody asked for it. */
export const ABORTED = 'aborted';

interface Driven {
  /** There was news of it while it was driven. */
  again: boolean;
  /** Text of its state as it is now. */
  state: string;
}

export const startWorkflows = (options: WorkflowsOptions): Workflows => {
  const { store, link, log, tickEvery = 100 } = options;
  const types = new Map(options.types.map((type) => [type.type, type as WorkflowType<WorkflowState>]));
  const driven = new Map<string, Driven>();
  const busy = new Set<Promise<void>>();
  /** Text of the state of every workflow that waits (its routers and hosts stand in it), and when to ask again. */
  const waiting = new Map<string, { readonly state: string; readonly until: number | null }>();
  const scratches = new Map<string, Map<string, number>>();
  let stopped = false;

  const drive = (id: string): void => {
    if (stopped) return;
    const underWay = driven.get(id);
    if (underWay !== undefined) {
      underWay.again = true;
      return;
    }
    const entry: Driven = { again: false, state: '' };
    driven.set(id, entry);
    waiting.delete(id);
    const task = (async () => {
      try {
        do {
          entry.again = false;
          await advance(id, entry);
        } while (entry.again && !stopped);
      } catch (error) {
        log.error({ err: error, workflow: id }, 'workflow not advanced');
        waiting.set(id, { state: entry.state, until: store.now() + LAST_RETRY });
      } finally {
        // At once: news from here on drives it anew.
        driven.delete(id);
      }
    })().finally(() => busy.delete(task));
    busy.add(task);
  };

  /** Goes from step to step until it has to wait, or has ended. */
  const advance = async (id: string, entry: Driven): Promise<void> => {
    for (;;) {
      if (stopped) return;
      const row = await store.db.selectFrom('workflow').selectAll().where('id', '=', id).executeTakeFirst();
      if (row === undefined || (row.status !== 'running' && row.status !== 'aborting')) {
        waiting.delete(id);
        scratches.delete(id);
        return;
      }
      entry.state = row.state;
      const type = types.get(row.type);
      const step = type?.steps.find(({ name }) => name === row.step);
      if (type === undefined || step === undefined)
        throw new TypeError(`There is no step ${row.step} in a workflow ${row.type}`);
      const outcome = await attempt(row, step);
      if (outcome === 'superseded') continue;
      if (outcome.kind === 'wait') {
        waiting.set(id, { state: entry.state, until: outcome.until ?? null });
        return;
      }
      await move(row, type, step, outcome);
    }
  };

  const attempt = async (row: WorkflowRow, step: Step<WorkflowState>): Promise<Outcome | 'superseded'> => {
    const work = workOn(row);
    try {
      const isNew =
        row.status === 'running' &&
        !work.state.steps.some(({ name, endedAt }) => name === step.name && endedAt === null);
      if (isNew)
        await work.change(async (trx, state) => {
          state.steps.push({
            name: step.name,
            startedAt: store.now(),
            endedAt: null,
            undoneAt: null,
            message: '',
          });
          if (row.next_attempt_at !== null) await changeWorkflow(trx, row.id, { next_attempt_at: null });
        });
      const outcome = row.status === 'aborting' ? await step.undo(work) : await step.run(work);
      const failedBefore = work.state.attempts > 0 || (row.next_attempt_at !== null && !isNew);
      // Whatever else it comes to is noted with what that is.
      if (outcome.kind === 'wait' && failedBefore) await work.change((trx, state) => getOn(trx, row, state));
      return outcome;
    } catch (error) {
      if (error instanceof Superseded) return 'superseded';
      return backOff(row, error);
    }
  };

  /** A step that failed gets on: it is not tried again at any time, and the next failure is its first. */
  const getOn = async (trx: Trx, row: WorkflowRow, state: WorkflowState): Promise<void> => {
    state.attempts = 0;
    const record = state.steps.findLast(({ name }) => name === row.step);
    if (record !== undefined) record.message = withoutTries(record.message);
    await changeWorkflow(trx, row.id, { next_attempt_at: null });
  };

  /** Something unexpected, or a host that did not answer: again later, for as long as it takes. */
  const backOff = async (row: WorkflowRow, error: unknown): Promise<Outcome | 'superseded'> => {
    const level = error instanceof AgentError ? 'warn' : 'error';
    log[level](
      { err: error, workflow: row.id, step: row.step },
      'step of a workflow failed; it is tried again',
    );
    try {
      return await workOn(row).change(async (trx, state) => {
        state.attempts += 1;
        const until = store.now() + Math.min(LAST_RETRY, FIRST_RETRY * 2 ** Math.min(state.attempts, 20));
        const record = state.steps.findLast(({ name }) => name === row.step);
        if (record !== undefined) {
          const tries = `tried ${state.attempts} times: ${(error as Error).message}`;
          record.message = [withoutTries(record.message), tries].filter(Boolean).join('; ');
        }
        await changeWorkflow(trx, row.id, { next_attempt_at: until });
        return { kind: 'wait' as const, until };
      });
    } catch (second) {
      if (second instanceof Superseded) return 'superseded';
      throw second;
    }
  };

  const workOn = (row: WorkflowRow): Work<WorkflowState> => {
    let scratch = scratches.get(row.id);
    if (scratch === undefined) scratches.set(row.id, (scratch = new Map()));
    const work = {
      row,
      state: JSON.parse(row.state) as WorkflowState,
      db: store.db,
      link,
      scratch,
      now: store.now,
      change: async <T>(change: (trx: Trx, state: WorkflowState) => Promise<T>): Promise<T> => {
        const [result, state] = await store.transaction(async (trx) => {
          const held = await trx
            .selectFrom('workflow')
            .select(['state', 'step', 'status'])
            .where('id', '=', row.id)
            .executeTakeFirst();
          if (held === undefined || held.step !== row.step || held.status !== row.status)
            throw new Superseded(row.id);
          // So is its state, such as when a router it is about died: what was read before is not to be written over it.
          const known = driven.get(row.id)?.state;
          if (known !== undefined && known !== held.state) throw new Superseded(row.id);
          const draft = JSON.parse(held.state) as WorkflowState;
          const value = await change(trx, draft);
          const text = JSON.stringify(draft);
          if (text !== held.state) await changeWorkflow(trx, row.id, { state: text });
          return [value, draft] as const;
        });
        work.state = state;
        const entry = driven.get(row.id);
        if (entry !== undefined) entry.state = JSON.stringify(state);
        return result;
      },
      tell: async (trx: Trx, message: string): Promise<void> => {
        await advanceOperation(trx, row.operation_id, { message });
      },
      release: async (trx: Trx): Promise<void> => {
        await settle(trx, row);
        await changeWorkflow(trx, row.id, { claim: null }, true);
      },
    };
    return work;
  };

  /** Ends the operation as it deserves: whoever asked for an abort got it, whoever asked for the work did not. */
  const settle = async (trx: Trx, row: WorkflowRow): Promise<void> => {
    const problem = row.problem === null ? null : (JSON.parse(row.problem) as Problem);
    const took = `after ${store.now() - row.created_at} ms`;
    if ((row.status === 'running' && problem === null) || problem?.code === ABORTED)
      await advanceOperation(trx, row.operation_id, { state: 'succeeded', message: `done ${took}` });
    else if (problem !== null)
      await advanceOperation(trx, row.operation_id, {
        state: 'failed',
        problem,
        message: `${row.status === 'running' ? 'ended' : 'taken back'} ${took}: ${problem.message}`,
      });
  };

  /** Notes what a step came to, and which is next. */
  const move = async (
    row: WorkflowRow,
    type: WorkflowType<WorkflowState>,
    step: Step<WorkflowState>,
    outcome: Exclude<Outcome, { kind: 'wait' }>,
  ): Promise<void> => {
    const work = workOn(row);
    const index = type.steps.indexOf(step);
    try {
      await work.change(async (trx, state) => {
        const now = store.now();
        state.attempts = 0;
        const record = state.steps.findLast(({ name }) => name === step.name);
        const kept = { next_attempt_at: null };
        if (outcome.kind === 'failed') {
          if (row.status === 'aborting') throw new TypeError(`${step.name} cannot be taken back`);
          if (record !== undefined) record.message = outcome.problem.message;
          const problem = JSON.stringify(outcome.problem);
          await changeWorkflow(trx, row.id, { ...kept, status: 'aborting', problem });
          await work.tell(trx, `${step.name}: ${outcome.problem.message}; it is taken back`);
          return;
        }
        if (record !== undefined) note(record, row.status === 'aborting', now, outcome.message);
        if (outcome.message !== undefined) await work.tell(trx, `${step.name}: ${outcome.message}`);
        const next = type.steps[row.status === 'aborting' ? index - 1 : index + 1];
        if (next !== undefined) {
          await changeWorkflow(trx, row.id, { ...kept, step: next.name });
          return;
        }
        const problem = outcome.problem === undefined ? row.problem : JSON.stringify(outcome.problem);
        if (problem !== row.problem) await changeWorkflow(trx, row.id, { problem });
        await end(trx, { ...row, problem });
      });
    } catch (error) {
      if (!(error instanceof Superseded)) throw error;
    }
  };

  const end = async (trx: Trx, row: WorkflowRow): Promise<void> => {
    const problem = row.problem === null ? null : (JSON.parse(row.problem) as Problem);
    const well = row.status === 'running' && problem === null;
    const status = well ? 'succeeded' : problem?.code === ABORTED ? 'aborted' : 'failed';
    await settle(trx, row);
    await changeWorkflow(
      trx,
      row.id,
      {
        status,
        claim: null,
        ended_at: store.now(),
        next_attempt_at: null,
      },
      // Whoever began it waits for this.
      true,
    );
    await recordEvent(trx, {
      account: row.account_id,
      type: `${row.type}-${status}`,
      level: status === 'failed' ? 'error' : 'info',
      resource: row.subject,
      message: `The workflow ${row.id} ${status}${problem === null ? '' : `: ${problem.message}`}`,
    });
  };

  const onChange = (change: Change): void => {
    for (const id of change.workflows) drive(id);
    const ids = [
      ...change.routers.map(({ id }) => id),
      ...change.hosts.map(({ id }) => id),
      ...change.reports,
      // A workflow that began others has their ids in its state.
      ...change.workflows,
    ];
    if (ids.length === 0) return;
    const concerns = ({ state }: { readonly state: string }): boolean =>
      ids.some((named) => state.includes(named));
    for (const [id, entry] of waiting) if (concerns(entry)) drive(id);
    // News that came before a step began to wait would else be missed.
    for (const entry of driven.values()) if (concerns(entry)) entry.again = true;
  };
  const stopListening = store.onChange(onChange);

  const tick = (): void => {
    const now = store.now();
    for (const [id, { until }] of waiting) if (until !== null && until <= now) drive(id);
  };
  const timer = setInterval(tick, tickEvery);
  timer.unref();

  const resume = async (): Promise<void> => {
    const open = await store.db
      .selectFrom('workflow')
      .select('id')
      .where('status', 'in', ['running', 'aborting'])
      .execute();
    for (const { id } of open) {
      const scratch = scratches.get(id) ?? new Map<string, number>();
      scratches.set(id, scratch.set(RESUMED, store.now()));
      drive(id);
    }
  };
  const resuming = resume().catch((error: unknown) => log.error({ err: error }, 'workflows not resumed'));

  return {
    stop: async () => {
      stopped = true;
      clearInterval(timer);
      stopListening();
      await resuming;
      await Promise.all(busy);
    },
  };
};

const note = (record: StepRecord, undone: boolean, now: number, message: string | undefined): void => {
  if (undone) record.undoneAt = now;
  else record.endedAt = now;
  record.message = message ?? withoutTries(record.message);
};

/** What a step says of itself, without what is said of its failures. */
const withoutTries = (message: string): string => message.replace(/(?:^|; )tried \d+ times: .*$/s, '');
