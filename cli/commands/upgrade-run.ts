/** Upgrading many routers: planned, begun, watched, held, and read about afterwards. */
import type { Command } from 'commander';
import { CliError } from '../connection.ts';
import type { Context } from '../context.ts';
import { parseInteger } from '../options.ts';
import { LiveScreen } from '../output/live-screen.ts';
import { runScreen } from '../output/run-screen.ts';
import { milliseconds, progressLine, type Run, type RunRouter, routerTable } from '../output/run-table.ts';
import { renderTable } from '../output/table.ts';
import { reached } from '../reached.ts';

const PATH = '/v1/upgrade-runs';

interface CreateFlags {
  readonly name?: string;
  readonly router?: string[];
  readonly from?: string[];
  readonly zone?: string[];
  readonly host?: string[];
  readonly account?: string[];
  readonly network?: string[];
  readonly bundle?: string;
  readonly replace?: true;
  readonly canaries?: string;
  readonly batch?: string;
  readonly perHost?: string;
  readonly perNetwork?: string;
  readonly baseline?: string;
  readonly soak?: string;
  readonly loss?: string;
  readonly latencyFactor?: string;
  readonly drainDeadline?: string;
  readonly readyWithin?: string;
  readonly rate?: string;
  readonly probe: boolean;
  readonly plan?: true;
}

const parseNumber = (text: string): number => {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text);
  throw new CliError(
    'bad-option',
    `${JSON.stringify(text)} is not a number`,
    'Write one such as 0, 0.001 or 3.',
  );
};

/** Only fields that have a value. */
const given = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const numberOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : parseInteger(text);

const bodyOf = async (context: Context, flags: CreateFlags): Promise<Record<string, unknown>> => {
  const networks =
    flags.network === undefined
      ? undefined
      : await Promise.all(flags.network.map((text) => context.resolve('/v1/networks', text)));
  const select = given({
    routers: flags.router,
    versions: flags.from,
    zones: flags.zone,
    hosts: flags.host,
    accounts: flags.account,
    networks,
  });
  const limits = given({
    loss: flags.loss === undefined ? undefined : parseNumber(flags.loss),
    latencyFactor: flags.latencyFactor === undefined ? undefined : parseNumber(flags.latencyFactor),
  });
  return given({
    name: flags.name,
    select: Object.keys(select).length === 0 ? undefined : select,
    bundle: flags.bundle,
    method: flags.replace === true ? 'replace' : undefined,
    canaries: numberOf(flags.canaries),
    batch: numberOf(flags.batch),
    perHost: numberOf(flags.perHost),
    perNetwork: numberOf(flags.perNetwork),
    baseline: numberOf(flags.baseline),
    soak: numberOf(flags.soak),
    limits: Object.keys(limits).length === 0 ? undefined : limits,
    drainDeadline:
      flags.drainDeadline === undefined || flags.drainDeadline !== 'none'
        ? numberOf(flags.drainDeadline)
        : null,
    readyWithin: numberOf(flags.readyWithin),
    rate: numberOf(flags.rate),
    probe: flags.probe ? undefined : false,
  });
};

const show = (context: Context, run: Run): void => {
  if (context.options.output === 'json') {
    context.print(run);
    return;
  }
  console.log(routerTable(run.routers));
  console.log(progressLine(run));
  if (run.problem !== null) console.log(`${run.problem.message}\n  ${run.problem.hint}`);
};

/** Whether nothing more will happen by itself. A run that halted may have a router yet to take back. */
const isStill = ({ status, routers }: Run): boolean =>
  ['succeeded', 'failed', 'aborted'].includes(status) ||
  (['halted', 'paused'].includes(status) &&
    routers.every(({ state }) => !['measuring', 'working', 'soaking', 'rolling-back'].includes(state)));

const FOLLOW_EVERY = 1000;

/** Shows a run until it stands still: over and over in place on a terminal, else a line for whatever changed. */
const follow = async (context: Context, id: string): Promise<Run> => {
  const states = new Map<string, string>();
  const screen = process.stderr.isTTY ? new LiveScreen(process.stderr) : null;
  const patience = {
    tell: (message: string): void => {
      screen?.leave();
      context.tell(message);
    },
    look: `selvage upgrade-run show ${id} --follow`,
  };
  for (;;) {
    const run = await reached(() => context.client.get<Run>(`${PATH}/${id}`), patience);
    if (screen !== null) screen.show((size) => runScreen(run, size));
    else
      for (const row of run.routers) {
        if (states.get(row.router) === row.state) continue;
        states.set(row.router, row.state);
        const loss = row.lost === null ? '' : `, ${row.lost} of ${row.sent} lost`;
        context.tell(`${row.router} of ${row.networkName}: ${row.state}${loss}; ${progressLine(run)}`);
      }
    if (isStill(run)) {
      // The whole of it follows, on the same terminal.
      if (process.stdout.isTTY) screen?.clear();
      return run;
    }
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_EVERY));
  }
};

const verdictOf = (context: Context, run: Run): void => {
  show(context, run);
  if (run.status === 'halted' || run.status === 'failed') process.exitCode = 1;
};

const several = (text: string, before: string[] | undefined): string[] => [...(before ?? []), text];

/** `selvage upgrade-run` */
export const addUpgradeRunCommands = (group: Command, contextOf: (command: Command) => Context): void => {
  group
    .command('create')
    .description('upgrade routers: canaries first, then batches, each judged by probes through it')
    .option('--name <name>', 'for people')
    .option('--router <id>', 'this router; may be given several times, as all that select', several)
    .option('--from <version>', 'those that run this version', several)
    .option('--zone <zone>', 'those in this zone', several)
    .option('--host <host>', 'those on this host', several)
    .option('--account <account>', 'those of this account', several)
    .option('--network <network>', "this network's", several)
    .option('--bundle <id>', 'what they are to run (default: the default bundle)')
    .option('--replace', 'a fresh router for each, whatever it needs')
    .option('--canaries <n>', 'how many go first (default: 1)')
    .option('--batch <n>', 'how many follow at a time (default: 10)')
    .option('--per-host <n>', 'most at a time on a host (default: 4)')
    .option('--per-network <n>', 'most at a time of a network (default: 1)')
    .option('--baseline <seconds>', 'measured before (default: 5)')
    .option('--soak <seconds>', 'measured afterwards (default: 5)')
    .option('--loss <share>', 'most that may be lost, such as 0.001 (default: 0)')
    .option('--latency-factor <factor>', 'most the 99th percentile may grow (default: 3)')
    .option('--drain-deadline <seconds|none>', 'how long replaced routers keep sessions (default: 600)')
    .option('--ready-within <seconds>', 'how long a successor may take to be ready (default: 60)')
    .option('--rate <n>', 'datagrams a second through each network (default: 50)')
    .option('--no-probe', 'judge by health checks alone')
    .option('--plan', 'show the order, what each needs and about how long it takes; do nothing')
    .addHelpText(
      'after',
      `
Examples:
  selvage upgrade-run create --plan
  selvage upgrade-run create --canaries 2 --batch 20 --per-host 4
  selvage upgrade-run create --from 1.4.0 --zone berlin --bundle bdl-4k2v9x0d1m7q
  selvage upgrade-run create --network web --replace --soak 30`,
    )
    .action(async (flags: CreateFlags, command: Command) => {
      const context = contextOf(command);
      const body = await bodyOf(context, flags);
      if (flags.plan === true) {
        const { resource } = await context.client.post<{ id: string; resource: Run }>(
          `${PATH}?dryRun=plan`,
          body,
        );
        if (context.options.output === 'json') return context.print(resource);
        console.log(routerTable(resource.routers));
        for (const { router, because } of resource.routers)
          if (because !== '') console.log(`${router}: ${because}`);
        console.log(
          `${resource.progress.total} of ${resource.routers.length} need something; it takes about ${resource.progress.secondsLeft} s`,
        );
        return;
      }
      const run = await context.client.post<Run>(PATH, body);
      if (!context.options.wait) return show(context, run);
      context.tell(`${run.id}; another look at it: selvage upgrade-run show ${run.id} --follow`);
      verdictOf(context, await follow(context, run.id));
    });

  group
    .command('list')
    .alias('ls')
    .description('list runs')
    .addHelpText('after', '\nExample:\n  selvage upgrade-run list')
    .action(async (_options, command: Command) => {
      const context = contextOf(command);
      const runs = (await context.client.list(PATH)) as Run[];
      context.printList(
        ['name', 'status', 'bundle', 'done', 'createdAt'],
        context.options.output === 'json'
          ? runs
          : runs.map((run) => ({ ...run, done: `${run.progress.done}/${run.progress.total}` })),
      );
    });

  group
    .command('show')
    .argument('<id>')
    .option('-f, --follow', 'go on showing it until it has ended or is held')
    .description('show a run: its routers with what was lost, how fast it goes and how long it takes yet')
    .addHelpText('after', '\nExample:\n  selvage upgrade-run show run-4k2v9x0d1m7q --follow')
    .action(async (text: string, options: { follow?: true }, command: Command) => {
      const context = contextOf(command);
      const id = await context.resolve(PATH, text);
      if (options.follow === true) verdictOf(context, await follow(context, id));
      else show(context, await context.client.get<Run>(`${PATH}/${id}`));
    });

  for (const [what, description, more] of [
    [
      'pause',
      'begin no further router; those at work go on to their verdict',
      `One of those that turns out worse than before is taken back, and the run halts. "selvage upgrade-run resume" goes on.`,
    ],
    [
      'resume',
      'go on with the routers that are left of a run that was paused or has halted',
      `A router that failed is not tried again by this run: it was taken back, or is as its workflow left it, and stays so.
The run ends as failed because of it. Once its cause is mended, a run of its own upgrades it:
"selvage upgrade-run create --router ID", with the id of the router that serves now.`,
    ],
    [
      'abort',
      'end a run: what is at work is taken back, what is done stays',
      `Routers that are at work are taken back; those that wait are not begun. Routers that were upgraded stay so, also
those that were yet to be judged. A router that failed stays as it is, or goes on to be taken back.`,
    ],
  ] as const)
    group
      .command(what)
      .argument('<id>')
      .description(description)
      .addHelpText('after', `\n${more}\n\nExample:\n  selvage upgrade-run ${what} run-4k2v9x0d1m7q`)
      .action(async (text: string, _options, command: Command) => {
        const context = contextOf(command);
        const id = await context.resolve(PATH, text);
        const answer = await context.client.post<Run>(`${PATH}/${id}/${what}`, {});
        if (what === 'pause' || !context.options.wait) show(context, answer);
        else if (what === 'resume') verdictOf(context, await follow(context, id));
        else {
          const look = `selvage upgrade-run show ${id}`;
          await context.follow(answer, look);
          show(context, await context.after<Run>(`${PATH}/${id}`, look));
        }
      });

  group
    .command('report')
    .argument('<id>')
    .description('print everything that was measured of every router')
    .addHelpText(
      'after',
      `
Examples:
  selvage upgrade-run report run-4k2v9x0d1m7q
  selvage upgrade-run report run-4k2v9x0d1m7q --output json > report.json`,
    )
    .action(async (text: string, _options, command: Command) => {
      const context = contextOf(command);
      const id = await context.resolve(PATH, text);
      const report = await context.client.get<{ readonly run: Run; readonly routers: readonly Reported[] }>(
        `${PATH}/${id}/report`,
      );
      if (context.options.output === 'json') return console.log(JSON.stringify(report, null, 2));
      console.log(reportTable(report.routers));
      console.log(progressLine(report.run));
    });
};

interface Measured {
  readonly sent: number;
  readonly lost: number;
  readonly p99: number | null;
}
type Reading = Readonly<Record<'datagrams' | 'connections' | 'names', Measured>> | null;
type Reported = RunRouter & { readonly before: Reading; readonly during: Reading; readonly after: Reading };

/** A line for each router and each time it was measured. */
const reportTable = (routers: readonly Reported[]): string => {
  const lines = routers.flatMap((row) =>
    (['before', 'during', 'after'] as const).map((when) => ({ row, when, reading: row[when] })),
  );
  const lost = (kind: keyof NonNullable<Reading>) => (line: (typeof lines)[number]) =>
    line.reading === null ? null : `${line.reading[kind].lost}/${line.reading[kind].sent}`;
  return renderTable(
    [
      { title: 'router', value: ({ row }) => row.router },
      { title: 'network', value: ({ row }) => row.networkName },
      { title: 'when', value: ({ when }) => when },
      { title: 'datagrams lost', value: lost('datagrams') },
      { title: 'connections lost', value: lost('connections') },
      { title: 'names lost', value: lost('names') },
      { title: 'p99', value: ({ reading }) => milliseconds(reading?.datagrams.p99 ?? null) },
      { title: 'state', value: ({ row }) => row.state },
    ],
    lines,
  );
};
