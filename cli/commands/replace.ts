/** Replacing routers, and the workflows that do it. */
import type { Command } from 'commander';
import type { Resource } from '../client.ts';
import { CliError } from '../connection.ts';
import type { Context } from '../context.ts';
import { parseInteger } from '../options.ts';
import { renderTable } from '../output/table.ts';

const WORKFLOWS = '/v1/workflows';

interface Step {
  readonly name: string;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly undoneAt: string | null;
  readonly message: string;
}

type Workflow = Resource & {
  readonly status: string;
  readonly router: string;
  readonly successor: string | null;
  readonly deadlineAt: string | null;
  readonly steps: readonly Step[];
  readonly sessions: { readonly router: string; readonly local: number } | null;
};

const DEADLINE_FLAG = '--drain-deadline <seconds|none>';
const DEADLINE_HELP =
  'how long the old router keeps the sessions that end in it (default: 600); none: until the last has ended';
const READY_FLAG = '--ready-within <seconds>';
const READY_HELP = 'how long its successor may take to be ready (default: 60)';
/** What only a replacement takes. */
const REPLACEMENT_FLAGS = [
  ['--drain-deadline', 'drainDeadline'],
  ['--ready-within', 'readyWithin'],
] as const;

const parseDeadline = (text: string): number | null => (text === 'none' ? null : parseInteger(text));

interface Options {
  readonly drainDeadline?: string;
  readonly readyWithin?: string;
}

const bodyOf = ({ drainDeadline, readyWithin }: Options): Record<string, unknown> => ({
  ...(drainDeadline === undefined ? {} : { drainDeadline: parseDeadline(drainDeadline) }),
  ...(readyWithin === undefined ? {} : { readyWithin: parseInteger(readyWithin) }),
});

const took = ({ startedAt, endedAt }: Step): string =>
  endedAt === null ? 'under way' : `${Date.parse(endedAt) - Date.parse(startedAt)} ms`;

const summary = (workflow: Workflow): string =>
  renderTable(
    [
      { title: 'step', value: (step: Step) => step.name },
      { title: 'took', value: (step: Step) => (step.undoneAt === null ? took(step) : 'taken back') },
      { title: 'what', value: (step: Step) => step.message },
    ],
    workflow.steps,
  );

/** The workflow an answer's operation tells of; null when it tells of none. */
const workflowOf = async (context: Context, answer: Resource): Promise<Workflow | null> => {
  if (typeof answer.operation !== 'string') return null;
  const { items } = await context.after<{ readonly items: readonly Workflow[] }>(
    `${WORKFLOWS}?${new URLSearchParams({ operation: answer.operation })}`,
    `selvage operation show ${answer.operation}`,
  );
  return items[0] ?? null;
};

/** Follows a workflow to where users have what was asked for, with a line for each step, and sums up. */
export const followWorkflow = async (context: Context, answer: Resource): Promise<void> => {
  const begun = await workflowOf(context, answer);
  const look = begun === null ? undefined : `selvage workflow show ${begun.id}`;
  let followed = false;
  try {
    await context.follow(answer, look);
    followed = true;
  } finally {
    const { output, wait } = context.options;
    const ask = (path: string, show: string): Promise<Workflow> =>
      followed ? context.after(path, show) : context.client.get(path);
    const now =
      begun === null || look === undefined
        ? null
        : await ask(`${WORKFLOWS}/${begun.id}`, look).catch(() => null);
    if (now === null) context.print(answer);
    else if (output === 'json') context.print(now);
    else if (!wait) console.log(`${now.id} is at work on ${now.router}`);
    else {
      console.log(summary(now));
      if (now.status === 'running' && now.successor !== null)
        context.tell(
          `${now.router} drains${now.sessions === null ? '' : `, ${now.sessions.local} sessions left`}${
            now.deadlineAt === null ? '' : `, until ${now.deadlineAt} at the latest`
          }: selvage workflow show ${now.id}`,
        );
    }
  }
};

/** `selvage router replace` */
export const addReplaceCommand = (group: Command, contextOf: (command: Command) => Context): void => {
  group
    .command('replace')
    .argument('<id>')
    .option(DEADLINE_FLAG, DEADLINE_HELP)
    .option(READY_FLAG, READY_HELP)
    .option('--bundle <id>', 'what the new one is to run (default: the default bundle)')
    .description('replace a router by a fresh one without losing a packet or a session')
    .addHelpText(
      'after',
      '\nExamples:\n  selvage router replace rtr-4k2v9x0d1m7q\n  selvage router replace rtr-4k2v9x0d1m7q --drain-deadline none\n  selvage router replace rtr-4k2v9x0d1m7q --bundle bdl-4k2v9x0d1m7q   # such as the one before',
    )
    .action(async (text: string, { bundle, ...options }: Options & { bundle?: string }, command: Command) => {
      const context = contextOf(command);
      const id = await context.resolve('/v1/routers', text);
      const body = { ...bodyOf(options), ...(bundle === undefined ? {} : { bundle }) };
      await followWorkflow(context, await context.client.post(`/v1/routers/${id}/replace`, body));
    });
};

/** `selvage network restart` */
export const addRestartCommand = (group: Command, contextOf: (command: Command) => Context): void => {
  group
    .command('restart')
    .argument('<id>', 'id or name')
    .option('--cleanup', 'replace its router by a fresh one')
    .option(DEADLINE_FLAG, `with --cleanup: ${DEADLINE_HELP}`)
    .option(READY_FLAG, `with --cleanup: ${READY_HELP}`)
    .description("give a network's router its whole document again, or a fresh router")
    .addHelpText(
      'after',
      '\nExamples:\n  selvage network restart web\n  selvage network restart web --cleanup\n  selvage network restart web --cleanup --ready-within 300 --drain-deadline none',
    )
    .action(async (text: string, options: Options & { cleanup?: true }, command: Command) => {
      const context = contextOf(command);
      const id = await context.resolve('/v1/networks', text);
      const [given] = REPLACEMENT_FLAGS.find(([, name]) => options[name] !== undefined) ?? [null];
      if (options.cleanup === undefined && given !== null)
        throw new CliError(
          'bad-option',
          `Without a fresh router there is nothing ${given} could be about`,
          `Give --cleanup, too, or leave ${given} out.`,
        );
      const answer = await context.client.post<Resource>(`/v1/networks/${id}/restart`, {
        cleanup: options.cleanup === true,
        ...bodyOf(options),
      });
      if (options.cleanup === true) await followWorkflow(context, answer);
      else {
        await context.follow(answer);
        context.print(await context.after(`/v1/networks/${id}`, `selvage network show ${id}`));
      }
    });
};

/** `selvage workflow abort` */
export const addWorkflowCommands = (group: Command, contextOf: (command: Command) => Context): void => {
  group
    .command('abort')
    .argument('<id>')
    .description('take a workflow back, without a packet or a session lost')
    .addHelpText(
      'after',
      `
What that comes to depends on what it does:
  router.replace          the old router serves again, or, where others still drain behind it, a fresh router that
                          runs what it ran; too late once it has ended
  router.patch            the router runs the program it ran before
  router.rebuild-standby  the new standby goes, the active router serves as before; too late once the standby
                          before it goes
  upgrade-run             as "selvage upgrade-run abort"

Example:
  selvage workflow abort wf-4k2v9x0d1m7q`,
    )
    .action(async (id: string, _options, command: Command) => {
      const context = contextOf(command);
      await followWorkflow(context, await context.client.post(`${WORKFLOWS}/${id}/abort`, {}));
    });
};
