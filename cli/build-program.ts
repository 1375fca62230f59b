/** The whole of the command line, ready to parse: what `selvage --help` lists. */
import { Command, Option } from 'commander';
import { addEventsCommand } from './commands/event.ts';
import { addInstanceCommands } from './commands/instance.ts';
import { addLabCommands } from './commands/lab.ts';
import { addPatchCommand } from './commands/patch.ts';
import { addReplaceCommand, addRestartCommand, addWorkflowCommands } from './commands/replace.ts';
import { addResourceCommands } from './commands/resource.ts';
import { addRouterCommands } from './commands/router.ts';
import { addStackCommands } from './commands/stack.ts';
import { addUpgradeRunCommands } from './commands/upgrade-run.ts';
import { Context, type GlobalOptions } from './context.ts';
import { resourceKinds } from './resources.ts';

/** `environment` gives the state directory and the API key where flags do not. */
export const buildProgram = (environment: NodeJS.ProcessEnv): Command => {
  const program = new Command('selvage')
    .description('Tenant networks behind virtual routers that are replaced without losing a packet.')
    .version('0.1.0')
    .option('--url <url>', 'URL of the API (default: SELVAGE_URL, or the stack of --state)')
    .option(
      '--state <directory>',
      'state directory of the stack on this machine',
      environment['SELVAGE_STATE'] ?? '/var/lib/selvage',
    )
    .addOption(new Option('-o, --output <form>', 'how to print').choices(['table', 'json']).default('table'))
    .option('--no-wait', 'do not wait for the work that follows a write')
    .showHelpAfterError('(add --help for the options)')
    .addHelpText(
      'after',
      `
The API key is taken from SELVAGE_API_KEY, or from admin.key in the state directory.

A first network:
  selvage lab up
  selvage network create --name web
  selvage instance create --name web-1 --network web
  selvage public-ip list
  selvage instance exec web-1 -- ping -c 1 198.51.100.1`,
    );

  const contextOf = (command: Command): Context => {
    const key = environment['SELVAGE_API_KEY'];
    return new Context({
      ...command.optsWithGlobals<GlobalOptions>(),
      ...(key === undefined ? {} : { key }),
    });
  };

  for (const kind of resourceKinds) {
    const group = addResourceCommands(program, kind, contextOf);
    if (kind.noun === 'router') {
      addRouterCommands(group, contextOf);
      addReplaceCommand(group, contextOf);
      addPatchCommand(group, contextOf);
    }
    if (kind.noun === 'network') addRestartCommand(group, contextOf);
    if (kind.noun === 'workflow') addWorkflowCommands(group, contextOf);
    if (kind.noun === 'instance') addInstanceCommands(group, contextOf);
  }
  addUpgradeRunCommands(
    program
      .command('upgrade-run')
      .description('many routers upgraded, each judged by what is measured through it'),
    contextOf,
  );
  addEventsCommand(program, contextOf);
  addLabCommands(program, contextOf);
  addStackCommands(program, contextOf);
  return program;
};
