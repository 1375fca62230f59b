import { type Static, Type } from 'typebox';
import { type Caller, isAdmin } from '../../auth/caller.ts';
import { recorded } from '../../model/conditions.ts';
import { Refusal } from '../../model/refusal.ts';
import { getRow } from '../../store/rows.ts';
import type { Trx } from '../../store/transaction.ts';
import { runThatBegan } from '../../store/upgrade-runs.ts';
import type { WorkflowRow } from '../../store/workflows.ts';
import { abortPatch } from '../../workflow/patch/abort.ts';
import { abortRebuild } from '../../workflow/rebuild-standby/abort.ts';
import { abortReplacement } from '../../workflow/replace/abort.ts';
import { abortRun } from '../../workflow/upgrade/control.ts';
import type { ReplaceState } from '../../workflow/replace/state.ts';
import type { Kind } from '../kind.ts';
import type { Register } from '../register.ts';
import { Id, isoTime, numberOrNull, oneOf, Problem, ref, resourceSchema, textOrNull } from '../schemas.ts';

const status = oneOf(['running', 'succeeded', 'failed', 'aborting', 'aborted'], {
  description:
    'aborting: it is being taken back, because it was asked for or a step failed. failed: it was taken back by itself, or an upgrade run did not upgrade every router.',
});

const Workflow = resourceSchema(
  'Workflow',
  'Work in several steps that is carried on after any crash, or taken back.',
  {
    account: Id,
    type: Type.String({ description: 'router.replace, router.patch, router.rebuild-standby, upgrade-run' }),
    subject: Type.String({
      description: 'Id of what it works on: the network, or the upgrade run of an upgrade-run.',
    }),
    status,
    step: Type.String({
      description:
        'Where it is, by type. router.replace: build, precopy, drain, flip, retire. router.patch: deliver, switch, confirm. router.rebuild-standby: build, sync, remove. upgrade-run: prepare, upgrade, clear-up.',
    }),
    router: textOrNull(
      'The router it is about; null where there is none, such as a standby before the new one.',
    ),
    successor: textOrNull('The router that takes over; null before it is made.'),
    drainDeadline: numberOrNull(
      'Seconds after the hand-over at which the old router goes whatever sessions it has; null: no limit.',
    ),
    deadlineAt: textOrNull('When that is, ISO 8601.'),
    steps: Type.Array(
      Type.Object({
        name: Type.String(),
        startedAt: Type.String(),
        endedAt: textOrNull(),
        undoneAt: textOrNull(),
        message: Type.String({ description: 'What it came to, or what it is at.' }),
      }),
    ),
    sessions: Type.Unsafe<object | null>({
      description:
        'What keeps the router that is leaving: connections that end in it (local), and those it translates.',
      anyOf: [
        {
          type: 'object',
          properties: {
            router: { type: 'string' },
            local: { type: 'integer' },
            translated: { type: 'integer' },
            holders: { type: 'array', items: { type: 'object', additionalProperties: true } },
            at: { type: 'string' },
          },
          additionalProperties: false,
        },
        { type: 'null' },
      ],
    }),
    problem: Type.Optional(ref(Problem)),
    nextAttemptAt: textOrNull(
      'When a step that failed is tried again; null while none has, or since it got on.',
    ),
    updatedAt: Type.String(),
    endedAt: textOrNull(),
  },
);

const timeOrNull = (time: number | null): string | null => (time === null ? null : isoTime(time));

const words = {
  running: 'Running',
  succeeded: 'Succeeded',
  failed: 'Failed',
  aborting: 'Aborting',
  aborted: 'Aborted',
} as const;

const render = (row: WorkflowRow): Static<typeof Workflow> => {
  const state = JSON.parse(row.state) as ReplaceState;
  const { retirement, drain } = state;
  // A patch has none, nor a successor.
  const drainDeadline = state.drainDeadline ?? null;
  const since = retirement?.since ?? drain?.at ?? null;
  return {
    id: row.id,
    account: row.account_id,
    type: row.type,
    subject: row.subject,
    status: row.status,
    step: row.step,
    router: state.router ?? null,
    successor: state.successor ?? null,
    drainDeadline,
    deadlineAt: since === null || drainDeadline === null ? null : isoTime(since + drainDeadline * 1000),
    steps: state.steps.map(({ name, startedAt, endedAt, undoneAt, message }) => ({
      name,
      startedAt: isoTime(startedAt),
      endedAt: timeOrNull(endedAt),
      undoneAt: timeOrNull(undoneAt),
      message,
    })),
    sessions:
      retirement?.sessions === null || retirement?.sessions === undefined
        ? null
        : {
            router: retirement.router,
            local: retirement.sessions.local,
            translated: retirement.sessions.translated,
            holders: retirement.sessions.holders,
            at: isoTime(retirement.sessions.at),
          },
    ...(row.problem === null ? {} : { problem: JSON.parse(row.problem) as Static<typeof Problem> }),
    nextAttemptAt: timeOrNull(row.next_attempt_at),
    updatedAt: isoTime(row.updated_at),
    endedAt: timeOrNull(row.ended_at),
    createdAt: isoTime(row.created_at),
    operation: row.operation_id,
    conditions: recorded(
      row.updated_at,
      row.status === 'succeeded',
      words[row.status],
      row.problem === null ? '' : (JSON.parse(row.problem) as { message: string }).message,
    ),
  };
};

const kind: Kind<'workflow', typeof Workflow> = {
  name: 'workflow',
  path: 'workflows',
  word: 'Workflow',
  table: 'workflow',
  schema: Workflow,
  readers: 'owner',
  writers: 'owner',
  render: async (_db, rows) => rows.map(render),
};

export const workflows: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        status: { column: 'status', schema: status },
        subject: { column: 'subject', schema: Id },
        type: { column: 'type', schema: Type.String({ maxLength: 64 }) },
        operation: { column: 'operation_id', schema: Id },
      },
    })
    .show()
    .action(
      'POST',
      '/abort',
      { operationId: 'abortWorkflow', summary: 'Takes back' },
      null,
      async (write, row) => {
        await refuseOfRun(write.trx, write.caller, row);
        return { operation: await abort(write.trx, row) };
      },
    );
};

const abort = async (trx: Trx, row: WorkflowRow): Promise<string> => {
  switch (row.type) {
    case 'router.patch':
      return abortPatch(trx, row);
    case 'router.rebuild-standby':
      return abortRebuild(trx, row);
    case 'upgrade-run':
      return abortRun(trx, await getRow(trx, 'upgrade_run', row.subject));
    default:
      return abortReplacement(trx, row, { mayGoForward: true });
  }
};

/** A run halts when what it began is taken back: that is for whoever runs it. @throws {Refusal} 409 */
const refuseOfRun = async (trx: Trx, caller: Caller, row: WorkflowRow): Promise<void> => {
  const run = isAdmin(caller) ? undefined : await runThatBegan(trx, row.id);
  if (run === undefined) return;
  const message = `The workflow ${row.id} is part of the upgrade run ${run}`;
  throw new Refusal(409, 'conflict', message, [
    {
      pointer: '',
      code: 'part-of-run',
      message,
      hint: `Ask the operator to pause or abort ${run}: only an administrator may take it back.`,
    },
  ]);
};
