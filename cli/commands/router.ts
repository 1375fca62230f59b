import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Context } from '../context.ts';

const PATH = '/v1/routers';

/** What a router has beyond list and show: its document, what would change, its health, diagnostics. */
export const addRouterCommands = (group: Command, contextOf: (command: Command) => Context): void => {
  const idOf = (context: Context, text: string): Promise<string> => context.resolve(PATH, text);

  group
    .command('document')
    .argument('<id>')
    .description(
      'print the whole wanted state of a router, as it is given to its daemon (passwords left out)',
    )
    .addHelpText('after', '\nExample:\n  selvage router document rtr-4k2v9x0d1m7q > router.json')
    .action(async (text: string, _options, command: Command) => {
      const context = contextOf(command);
      console.log(
        JSON.stringify(await context.client.get(`${PATH}/${await idOf(context, text)}/document`), null, 2),
      );
    });

  group
    .command('diff')
    .argument('<id>')
    .description(
      'print what would change in a router, as the tools see it: nft, addresses, routes, service files; nothing when all is right',
    )
    .addHelpText('after', '\nExample:\n  selvage router diff rtr-4k2v9x0d1m7q')
    .action(async (text: string, _options, command: Command) => {
      const context = contextOf(command);
      const { text: diff } = await context.client.post<{ text: string }>(
        `${PATH}/${await idOf(context, text)}/diff`,
        {},
      );
      if (context.options.output === 'json') console.log(JSON.stringify({ text: diff }));
      else console.log(diff === '' ? 'nothing would change' : diff);
    });

  group
    .command('status')
    .argument('<id>')
    .description('print what is truly there: conditions, services, health checks, counters')
    .addHelpText('after', '\nExample:\n  selvage router status rtr-4k2v9x0d1m7q')
    .action(async (text: string, _options, command: Command) => {
      const context = contextOf(command);
      const status = await context.client.get<Record<string, unknown>>(
        `${PATH}/${await idOf(context, text)}/status`,
      );
      context.print(status);
    });

  for (const [type, description] of [
    ['ping', 'ping an address from inside a router'],
    ['traceroute', 'trace the way to an address from inside a router'],
    ['arping', 'ask for the MAC of an address from inside a router'],
  ] as const) {
    group
      .command(type)
      .argument('<id>')
      .argument('<address>')
      .option('--count <n>', 'how many probes', '3')
      .description(description)
      .addHelpText('after', `\nExample:\n  selvage router ${type} rtr-4k2v9x0d1m7q 198.51.100.1`)
      .action(async (text: string, address: string, { count }: { count: string }, command: Command) => {
        const context = contextOf(command);
        const result = await context.client.post<{ exitCode: number; stdout: string; stderr: string }>(
          `${PATH}/${await idOf(context, text)}/diagnostics`,
          { type, address, count: Number(count) },
        );
        process.stdout.write(result.stdout);
        process.stderr.write(result.stderr);
        process.exitCode = result.exitCode;
      });
  }

  group
    .command('support-bundle')
    .argument('<id>')
    .option('--file <path>', 'where to put it (default: ID.tar.gz)')
    .description(
      'collect what support asks for: document without secrets, ruleset, links, routes, configurations, logs',
    )
    .addHelpText(
      'after',
      '\nExample:\n  selvage router support-bundle rtr-4k2v9x0d1m7q --file support.tar.gz',
    )
    .action(async (text: string, options: { file?: string }, command: Command) => {
      const context = contextOf(command);
      const id = await idOf(context, text);
      const file = options.file ?? `${id}.tar.gz`;
      const response = await context.client.fetch('GET', `${PATH}/${id}/support-bundle`);
      await writeFile(file, Buffer.from(await response.arrayBuffer()), { mode: 0o600 });
      context.tell(`wrote ${file}`);
    });
};
