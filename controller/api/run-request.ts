/** What a request for an upgrade run may say, checked against what is there. */
import { type Static, Type } from 'typebox';
import { problem } from '../model/problem.ts';
import { findRouters, type FoundRouter } from '../store/router-candidates.ts';
import { defaultBundle } from '../store/router-bundles.ts';
import { findRow } from '../store/rows.ts';
import { type RunOptions, type RunSelection, routersInRuns } from '../store/upgrade-runs.ts';
import { DRAIN_DEADLINE, READY_WITHIN } from '../workflow/replace/begin.ts';
import type { Write } from './kind.ts';
import { namedRow } from './references.ts';
import { replaceFields } from './replace-request.ts';
import { body, IdOrName, Id, Name, oneOf } from './schemas.ts';

const list = (what: string) =>
  Type.Optional(Type.Array(IdOrName, { minItems: 1, maxItems: 1000, description: what }));

const count = (fallback: number, description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: fallback, description }));

export const runBody = body({
  name: Type.Optional(Name),
  select: Type.Optional(
    Type.Object(
      {
        routers: list('Ids of routers.'),
        versions: list('Versions of the bundle they run, or of their daemon.'),
        zones: list('Zones, by id or name.'),
        hosts: list('Ids of hosts, or names.'),
        accounts: list('Accounts, by id or name.'),
        networks: list('Ids of networks.'),
      },
      {
        additionalProperties: false,
        description:
          'Which routers: those that match one of every list given. Without any: all that serve or stand by.',
      },
    ),
  ),
  bundle: Type.Optional(Id),
  method: Type.Optional(
    oneOf(['needed', 'replace'], {
      default: 'needed',
      description:
        'needed: a patch or a fresh router, as each needs. replace: a fresh router for each of them.',
    }),
  ),
  canaries: count(1, 'How many go before all others.'),
  batch: count(10, 'How many follow at a time; the next begin when all of one batch are judged.'),
  perHost: count(4, 'Most at a time on one host.'),
  perNetwork: count(1, 'Most at a time of one network; of a redundant pair never both.'),
  baseline: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 300, default: 5, description: 'Seconds measured before.' }),
  ),
  soak: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 300, default: 5, description: 'Seconds measured afterwards.' }),
  ),
  limits: Type.Optional(
    Type.Object(
      {
        loss: Type.Optional(
          Type.Number({
            minimum: 0,
            maximum: 1,
            default: 0,
            description: 'Most that may be lost beyond what was lost before, as a share.',
          }),
        ),
        latencyFactor: Type.Optional(
          Type.Number({
            minimum: 1,
            maximum: 1000,
            default: 3,
            description: 'Most the 99th percentile of round trips may grow, as a factor; 5 ms are added.',
          }),
        ),
      },
      { additionalProperties: false },
    ),
  ),
  ...replaceFields,
  probe: Type.Optional(
    Type.Boolean({
      default: true,
      description:
        'true: every network is measured through by probes of its own. false: health checks alone judge.',
    }),
  ),
  rate: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 50,
      description: 'Datagrams a second, each network.',
    }),
  ),
});
export type RunBody = Static<typeof runBody>;

/** Everything said, and what holds for what was not. */
const optionsOf = (given: RunBody, select: RunSelection): RunOptions => ({
  select,
  method: given.method ?? 'needed',
  canaries: given.canaries ?? 1,
  batch: given.batch ?? 10,
  perHost: given.perHost ?? 4,
  perNetwork: given.perNetwork ?? 1,
  baseline: given.baseline ?? 5,
  soak: given.soak ?? 5,
  limits: { loss: given.limits?.loss ?? 0, latencyFactor: given.limits?.latencyFactor ?? 3 },
  drainDeadline: given.drainDeadline === undefined ? DRAIN_DEADLINE : given.drainDeadline,
  readyWithin: given.readyWithin ?? READY_WITHIN,
  probe: given.probe ?? true,
  rate: given.rate ?? 50,
});

type Asking = Pick<Write<RunBody>, 'trx' | 'caller' | 'findings' | 'body'>;

const missing = ({ findings }: Asking, pointer: string, kind: string, id: string): void =>
  findings.add(
    [
      problem(
        pointer,
        'not-found',
        `There is no ${kind} ${id}`,
        `List what there is: selvage ${kind.replace(' ', '-')} list.`,
      ),
    ],
    404,
  );

/** Ids of what a selection names, every name that means nothing found. */
const readSelection = async (asking: Asking): Promise<RunSelection> => {
  const { select = {} } = asking.body;
  const { trx } = asking;
  const found: { -readonly [Name in keyof RunSelection]?: string[] } = {};
  for (const [field, table] of [
    ['zones', 'zone'],
    ['accounts', 'account'],
  ] as const)
    for (const [index, name] of (select[field] ?? []).entries()) {
      const row = await namedRow(asking, table, name, `/select/${field}/${index}`);
      if (row !== undefined) (found[field] ??= []).push(row.id);
    }
  for (const [index, name] of (select.hosts ?? []).entries()) {
    const rows = await trx
      .selectFrom('host')
      .select('id')
      .where((eb) => eb.or([eb('id', '=', name), eb('name', '=', name)]))
      .execute();
    if (rows.length === 0) missing(asking, `/select/hosts/${index}`, 'host', name);
    else (found.hosts ??= []).push(...rows.map(({ id }) => id));
  }
  for (const [field, kind, table] of [
    ['routers', 'router', 'router'],
    ['networks', 'network', 'network'],
  ] as const)
    for (const [index, id] of (select[field] ?? []).entries()) {
      const row = await findRow(trx, table, id);
      if (row === undefined) missing(asking, `/select/${field}/${index}`, kind, id);
      else (found[field] ??= []).push(row.id);
    }
  if (select.versions !== undefined) found.versions = [...select.versions];
  return found;
};

export interface RunRequest {
  readonly options: RunOptions;
  readonly bundle: string | null;
  readonly routers: readonly FoundRouter[];
}

/** What a request asks for; what is wrong with it goes to the findings, and is thrown. */
export const readRunRequest = async (asking: Asking): Promise<RunRequest> => {
  const { trx, body: given, findings } = asking;
  const select = await readSelection(asking);
  const bundle = given.bundle ?? (await defaultBundle(trx));
  if (given.bundle !== undefined && (await findRow(trx, 'router_bundle', given.bundle)) === undefined)
    missing(asking, '/bundle', 'router bundle', given.bundle);
  findings.check();
  const options = optionsOf(given, select);
  const found = await findRouters(trx, select, bundle);
  const routers = found.map(
    (router): FoundRouter =>
      options.method === 'replace'
        ? { ...router, needs: 'replace', because: router.because || 'It is to be renewed.' }
        : router,
  );
  for (const [index, id] of (given.select?.routers ?? []).entries()) {
    if (found.some(({ router }) => router === id)) continue;
    const { role } = (await findRow(trx, 'router', id)) ?? { role: 'gone' };
    if (role === 'active' || role === 'standby') continue;
    findings.add(
      [
        problem(
          `/select/routers/${index}`,
          'not-serving',
          `The router ${id} is ${role}`,
          'Name the router that serves its network, or the network.',
        ),
      ],
      409,
    );
  }
  if (routers.length === 0)
    findings.add([
      problem('/select', 'nothing-selected', 'No router matches', 'See what there is: selvage router list.'),
    ]);
  else if (given.canaries !== undefined && given.canaries > routers.length)
    findings.add([
      problem(
        '/canaries',
        'too-many-canaries',
        `${given.canaries} canaries are wanted of ${routers.length} routers`,
        `Ask for ${routers.length} at most.`,
      ),
    ]);
  const work = routers.filter(({ needs }) => needs !== 'nothing').map(({ router }) => router);
  for (const { router, run } of await routersInRuns(trx, work))
    findings.add(
      [
        problem(
          '/select',
          'in-another-run',
          `The router ${router} is to be upgraded by the run ${run} already`,
          `Wait for it, or abort it: selvage upgrade-run abort ${run}.`,
        ),
      ],
      409,
    );
  findings.check();
  return { options, bundle, routers };
};
