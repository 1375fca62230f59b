import type { Command } from 'commander';
import { readStackFile } from '../connection.ts';
import type { Context } from '../context.ts';
import { labDown } from '../lab/down.ts';
import { INTERNET, labUp } from '../lab/up.ts';
import { execInNamespace } from './machine.ts';

/** `selvage lab up|down|exec`: an "internet" to play against, on this machine. */
export const addLabCommands = (program: Command, contextOf: (command: Command) => Context): void => {
  const prefixOf = (context: Context): string => readStackFile(context.options.state)?.prefix ?? 'sv';
  const group = program
    .command('lab')
    .description('a public segment with an upstream "internet" machine on this host, to play against');
  group
    .command('up')
    .description(
      'make the public segment and the internet machine (198.51.100.1; web, echo and name server; example.com is 192.0.2.1)',
    )
    .addHelpText('after', '\nExample:\n  selvage lab up')
    .action(async (_options, command: Command) => {
      const context = contextOf(command);
      await labUp({
        client: context.client,
        state: context.options.state,
        prefix: prefixOf(context),
        tell: (message) => context.tell(message),
      });
    });
  group
    .command('down')
    .description('remove the internet machine; networks and routers stay')
    .addHelpText('after', '\nExample:\n  selvage lab down')
    .action(async (_options, command: Command) => {
      const context = contextOf(command);
      await labDown({
        state: context.options.state,
        prefix: prefixOf(context),
        tell: (message) => context.tell(message),
      });
    });
  group
    .command('exec')
    .argument('<machine>', 'internet')
    .argument('<command...>', 'program and its arguments, behind --')
    .description('run any program inside a machine of the lab')
    .addHelpText('after', '\nExample:\n  selvage lab exec internet -- curl http://198.51.100.10/')
    .action(async (machine: string, command: string[], _options, self: Command) => {
      const context = contextOf(self);
      process.exitCode = await execInNamespace(
        `${prefixOf(context)}-${machine === 'internet' ? INTERNET : machine}`,
        command,
      );
    });
};
