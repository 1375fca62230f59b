import type { Measured } from 'documents';
import { type Static, Type } from 'typebox';
import { recorded } from '../../model/conditions.ts';
import type { Db } from '../../store/transaction.ts';
import { optionsOf, type RunRouter, type RunRow, runRouters } from '../../store/upgrade-runs.ts';
import { beginUpgradeRun } from '../../workflow/upgrade/begin.ts';
import { abortRun, pauseRun, resumeRun } from '../../workflow/upgrade/control.ts';
import { queueOf } from '../../workflow/upgrade/upgrade.ts';
import { idParams, problems, security } from '../conventions.ts';
import type { Kind } from '../kind.ts';
import type { Register } from '../register.ts';
import { runProgress } from '../run-progress.ts';
import { readRunRequest, runBody } from '../run-request.ts';
import {
  Id,
  isoTime,
  numberOrNull,
  oneOf,
  type Problem,
  ref,
  resourceSchema,
  textOrNull,
} from '../schemas.ts';

const status = oneOf(['running', 'paused', 'halted', 'aborting', 'aborted', 'succeeded', 'failed'], {
  description:
    'paused: on request. halted: a router was worse than before, or could not be upgraded; what is left waits for resume or abort. failed: it has ended, and not every router is upgraded.',
});

const open = (description: string) =>
  Type.Unsafe<object | null>({ type: ['object', 'null'], additionalProperties: true, description });

const RunRouterView = Type.Object(
  {
    router: Type.String({ description: 'Its id when the run began.' }),
    network: Id,
    networkName: Type.String(),
    host: Id,
    role: oneOf(['active', 'standby']),
    wave: numberOrNull('0: a canary. From 1 on: its batch. null: nothing to do.'),
    needs: oneOf(['upToDate', 'patch', 'replace']),
    because: Type.String(),
    state: Type.String({
      description:
        'waiting, measuring (before), working, soaking (measuring afterwards), rolling-back; passed, rolled-back, failed, aborted, skipped (it was gone, or needed nothing any more), nothing (it needs nothing).',
    }),
    successor: textOrNull('The router that serves in its place; itself when it was patched.'),
    workflow: textOrNull('Id of the workflow that upgrades it.'),
    rollback: textOrNull('Id of the workflow that takes it back.'),
    lost: numberOrNull('Datagrams, connections and names lost from its beginning to its verdict.'),
    sent: numberOrNull('Of so many.'),
    p99Before: numberOrNull('99th percentile of round trips before, µs.'),
    p99After: numberOrNull('The same afterwards.'),
    reasons: Type.Array(Type.String(), { description: 'What is worse than before.' }),
    notMeasured: Type.Array(Type.String(), { description: 'What could not be judged by.' }),
    problem: Type.Unsafe<Static<typeof Problem> | null>({ anyOf: [{ $ref: 'Problem#' }, { type: 'null' }] }),
    startedAt: textOrNull(),
    endedAt: textOrNull(),
  },
  { $id: 'UpgradeRunRouter', additionalProperties: false },
);

const UpgradeRun = resourceSchema(
  'UpgradeRun',
  'Many routers upgraded, canaries first, each judged by measurement.',
  {
    name: textOrNull(),
    status,
    bundle: textOrNull('Id of the bundle routers are brought to.'),
    options: open('Everything that was asked for, and what holds for what was not.'),
    progress: Type.Object({
      total: Type.Integer({ description: 'Routers that need something.' }),
      done: Type.Integer({ description: 'Those that have ended, well or not.' }),
      failed: Type.Integer(),
      upToDate: Type.Integer({ description: 'Routers that need nothing.' }),
      perMinute: Type.Unsafe<number | null>({ type: ['number', 'null'] }),
      secondsLeft: numberOrNull('About how long it will take yet; before it began, about how long it takes.'),
    }),
    routers: Type.Array(ref(RunRouterView), { description: 'In order.' }),
    workflow: Type.String({ description: 'Id of the workflow that does it.' }),
    problem: Type.Unsafe<Static<typeof Problem> | null>({ anyOf: [{ $ref: 'Problem#' }, { type: 'null' }] }),
    endedAt: textOrNull(),
  },
);

const timeOrNull = (time: number | null): string | null => (time === null ? null : isoTime(time));

const sum = (parts: readonly (Measured | undefined)[], of: 'sent' | 'lost'): number =>
  parts.reduce((total, part) => total + (part?.[of] ?? 0), 0);

const renderRouter = (row: RunRouter): Static<typeof RunRouterView> => {
  const { before, during, after, verdict, workflow, rollback } = row.detail;
  const parts = [during, after].flatMap((reading) =>
    reading === null ? [] : [reading.datagrams, reading.connections, reading.names],
  );
  return {
    router: row.router_id,
    network: row.network_id,
    networkName: row.network_name,
    host: row.host_id,
    role: row.role,
    wave: row.wave < 0 ? null : row.wave,
    needs: row.needs === 'nothing' ? 'upToDate' : row.needs,
    because: row.because,
    state: row.state,
    successor: row.detail.successor,
    workflow: workflow?.id ?? null,
    rollback: rollback?.id ?? null,
    lost: parts.length === 0 ? null : sum(parts, 'lost'),
    sent: parts.length === 0 ? null : sum(parts, 'sent'),
    p99Before: before?.datagrams.p99 ?? null,
    p99After: after?.datagrams.p99 ?? null,
    reasons: [...(verdict?.reasons ?? [])],
    notMeasured: [...(verdict?.notMeasured ?? [])],
    problem: row.detail.problem,
    startedAt: timeOrNull(row.detail.startedAt),
    endedAt: timeOrNull(row.detail.endedAt),
  };
};

const words = {
  running: 'Running',
  paused: 'Paused',
  halted: 'Halted',
  aborting: 'Aborting',
  aborted: 'Aborted',
  succeeded: 'Succeeded',
  failed: 'Failed',
} as const;

const problemOf = (text: string | null) =>
  text === null ? null : (JSON.parse(text) as Static<typeof Problem>);

const render = async (db: Db, rows: readonly RunRow[], now: number): Promise<Static<typeof UpgradeRun>[]> => {
  const routers = Map.groupBy(
    await runRouters(
      db,
      rows.map(({ id }) => id),
    ),
    ({ run_id }) => run_id,
  );
  const answers: Static<typeof UpgradeRun>[] = [];
  for (const row of rows) {
    const own = routers.get(row.id) ?? [];
    const options = optionsOf(row);
    const held = problemOf(row.problem);
    answers.push({
      id: row.id,
      name: row.name,
      status: row.status,
      bundle: row.bundle_id,
      options,
      progress: runProgress(own, await queueOf(db, own), options, row.ended_at !== null, now),
      routers: own.map(renderRouter),
      workflow: row.workflow_id,
      problem: held,
      endedAt: timeOrNull(row.ended_at),
      createdAt: isoTime(row.created_at),
      conditions: recorded(
        row.ended_at ?? row.created_at,
        row.status === 'succeeded',
        words[row.status],
        held?.message ?? '',
      ),
    });
  }
  return answers;
};

const kind: Kind<'upgrade_run', typeof UpgradeRun> = {
  name: 'upgrade run',
  path: 'upgrade-runs',
  word: 'UpgradeRun',
  table: 'upgrade_run',
  schema: UpgradeRun,
  readers: 'admin',
  writers: 'admin',
  render,
};

/** Everything that was measured of one router. */
const Measurements = Type.Intersect([
  ref(RunRouterView),
  Type.Object({
    before: open('Reading of its probe before anything was done: null where there is none.'),
    during: open('From its beginning to when traffic was on what is new.'),
    after: open('From then on.'),
    health: Type.Unsafe<object[] | null>({
      type: ['array', 'null'],
      items: { type: 'object', additionalProperties: true },
      description: 'Its health checks afterwards.',
    }),
    previousBundle: textOrNull('What it ran.'),
    joined: Type.Boolean({ description: 'Somebody else was at it already.' }),
    workedAt: textOrNull('When traffic was on what is new.'),
  }),
]);

export const upgradeRuns: Register = (resource, app, { store }) => {
  app.addSchema(RunRouterView);
  const served = resource(kind)
    .list({ filters: { status: { column: 'status', schema: status } } })
    .show()
    .create(
      runBody,
      {
        description:
          'Selects routers and upgrades them. With dryRun=plan the answer has them in order, with what each needs, and about how long it takes.',
      },
      async (write) => {
        const { options, bundle, routers } = await readRunRequest(write);
        const run = await beginUpgradeRun(write.trx, {
          account: write.caller.account,
          name: write.body.name ?? null,
          options,
          bundle,
          routers,
        });
        const workflow = await write.trx
          .selectFrom('workflow')
          .select('operation_id')
          .where('id', '=', run.workflow_id)
          .executeTakeFirstOrThrow();
        return { id: run.id, operation: workflow.operation_id };
      },
    )
    .action(
      'POST',
      '/pause',
      { operationId: 'pauseUpgradeRun', summary: 'Holds' },
      null,
      async (write, row) => {
        await pauseRun(write.trx, row);
        return {};
      },
    )
    .action(
      'POST',
      '/resume',
      { operationId: 'resumeUpgradeRun', summary: 'Goes on with' },
      null,
      async (write, row) => ({ operation: await resumeRun(write.trx, row) }),
    )
    .action(
      'POST',
      '/abort',
      { operationId: 'abortUpgradeRun', summary: 'Ends' },
      null,
      async (write, row) => ({
        operation: await abortRun(write.trx, row),
      }),
    );

  app.route({
    method: 'GET',
    url: '/v1/upgrade-runs/:id/report',
    schema: {
      operationId: 'getUpgradeRunReport',
      tags: ['upgrade-runs'],
      summary: 'Shows everything that was measured of every router of an upgrade run',
      security,
      params: idParams,
      response: {
        200: Type.Object({ run: ref(UpgradeRun), routers: Type.Array(Measurements) }),
        ...problems,
      },
    },
    handler: async (request) => {
      const row = await served.visible(store.db, request.caller, (request.params as { id: string }).id);
      const [run] = await render(store.db, [row], store.now());
      const rows = await runRouters(store.db, [row.id]);
      return {
        run: run as Static<typeof UpgradeRun>,
        routers: rows.map((one) => ({
          ...renderRouter(one),
          before: one.detail.before,
          during: one.detail.during,
          after: one.detail.after,
          health: one.detail.health === null ? null : [...one.detail.health],
          previousBundle: one.detail.previousBundle,
          joined: one.detail.workflow?.joined ?? false,
          workedAt: timeOrNull(one.detail.workedAt),
        })),
      };
    },
  });
};
