/** Having a router run another bundle. */
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { followWorkflow } from './replace.ts';

/** `selvage router patch` */
export const addPatchCommand = (group: Command, contextOf: (command: Command) => Context): void => {
  group
    .command('patch')
    .argument('<id>')
    .option('--bundle <id>', 'what it is to run (default: the default bundle)')
    .description('exchange the program of a running router, without losing a packet or a session')
    .addHelpText(
      'after',
      '\nExamples:\n  selvage router patch rtr-4k2v9x0d1m7q\n  selvage router patch rtr-4k2v9x0d1m7q --bundle bdl-4k2v9x0d1m7q   # such as the one before',
    )
    .action(async (text: string, options: { bundle?: string }, command: Command) => {
      const context = contextOf(command);
      const id = await context.resolve('/v1/routers', text);
      await followWorkflow(context, await context.client.post(`/v1/routers/${id}/patch`, options));
    });
};
