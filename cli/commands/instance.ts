import type { Command } from 'commander';
import { readStackFile } from '../connection.ts';
import type { Context } from '../context.ts';
import { execInNamespace } from './machine.ts';

const PATH = '/v1/instances';

/** What an instance has beyond the common commands: start, stop, exec. */
export const addInstanceCommands = (group: Command, contextOf: (command: Command) => Context): void => {
  for (const action of ['start', 'stop'] as const) {
    group
      .command(action)
      .argument('<id>', 'id or name')
      .description(`${action} an instance`)
      .addHelpText('after', `\nExample:\n  selvage instance ${action} web-1`)
      .action(async (text: string, _options, command: Command) => {
        const context = contextOf(command);
        const id = await context.resolve(PATH, text);
        await context.follow(await context.client.post(`${PATH}/${id}/${action}`, {}));
        context.print(await context.after(`${PATH}/${id}`, `selvage instance show ${id}`));
      });
  }

  group
    .command('exec')
    .argument('<id>', 'id or name')
    .argument('<command...>', 'program and its arguments, behind --')
    .description('run any program inside an instance of this host')
    .addHelpText(
      'after',
      '\nExamples:\n  selvage instance exec web-1 -- ping -c 3 198.51.100.1\n  selvage instance exec web-1 -- curl http://data-server/latest/meta-data/\n  selvage instance exec web-1 -- bash',
    )
    .action(async (text: string, command: string[], _options, self: Command) => {
      const context = contextOf(self);
      const id = await context.resolve(PATH, text);
      const prefix = readStackFile(context.options.state)?.prefix ?? 'sv';
      process.exitCode = await execInNamespace(`${prefix}-${id}`, command);
    });
};
