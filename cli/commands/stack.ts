import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { destroyStack } from '../stack/destroy.ts';
import { startStack } from '../stack/start.ts';

/** `selvage stack start|destroy`: controller and host agent on this machine. */
export const addStackCommands = (program: Command, contextOf: (command: Command) => Context): void => {
  const group = program
    .command('stack')
    .description('the whole of Selvage on this machine: controller and host agent');
  group
    .command('start')
    .description(
      'start controller and host agent and stay; Ctrl-C ends them and leaves routers forwarding, the next start adopts them',
    )
    .option('--port <port>', 'port of the API on 127.0.0.1', '8480')
    .option('--prefix <text>', 'prefix of the network namespaces this stack makes', 'sv')
    .option('--network-gc <seconds>', 'how long a network without guests keeps its router', '600')
    .addHelpText(
      'after',
      '\nExamples:\n  selvage stack start\n  selvage --state /tmp/try stack start --port 9480 --prefix try   # a second one beside it',
    )
    .action(async (options: { port: string; prefix: string; networkGc: string }, command: Command) => {
      const context = contextOf(command);
      await startStack({
        state: context.options.state,
        port: Number(options.port),
        prefix: options.prefix,
        networkGc: Number(options.networkGc),
        tell: (message) => console.log(message),
        untilSignal: true,
      });
    });
  group
    .command('destroy')
    .description('end every router and guest of this stack and remove all it made, its state included')
    .option('--prefix <text>', 'prefix the stack was started with', 'sv')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nExamples:\n  selvage stack destroy\n  selvage --state /tmp/try stack destroy --prefix try --yes',
    )
    .action(async (options: { prefix: string; yes?: true }, command: Command) => {
      const context = contextOf(command);
      await destroyStack({
        state: context.options.state,
        prefix: options.prefix,
        confirmed: options.yes === true,
        tell: (message) => context.tell(message),
      });
    });
};
