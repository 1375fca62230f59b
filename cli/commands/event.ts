import type { Command } from 'commander';
import type { Resource } from '../client.ts';
import type { Context } from '../context.ts';

/** Server-sent events (WHATWG HTML, 9.2) of a response, one `data` text at a time. */
export async function* serverSentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let buffered = '';
  for await (const chunk of body) {
    buffered += decoder.decode(chunk, { stream: true });
    for (;;) {
      const end = buffered.indexOf('\n\n');
      if (end < 0) break;
      const data = buffered
        .slice(0, end)
        .split('\n')
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(5).trimStart());
      buffered = buffered.slice(end + 2);
      if (data.length > 0) yield data.join('\n');
    }
  }
}

const line = (event: Resource): string =>
  `${String(event['time'] ?? event['createdAt'])}  ${String(event['level']).padEnd(7)}  ${String(event['type']).padEnd(28)}  ${String(event['resource'])}  ${String(event['message'])}`;

/** `selvage events [--follow]`. */
export const addEventsCommand = (program: Command, contextOf: (command: Command) => Context): void => {
  program
    .command('events')
    .description('what happened, newest last')
    .option('-f, --follow', 'go on printing what happens')
    .option('--resource <id>', 'only of this resource')
    .addHelpText(
      'after',
      '\nExamples:\n  selvage events --follow\n  selvage events --resource rtr-4k2v9x0d1m7q --output json',
    )
    .action(async (options: { follow?: true; resource?: string }, command: Command) => {
      const context = contextOf(command);
      const print = (event: Resource) =>
        console.log(context.options.output === 'json' ? JSON.stringify(event) : line(event));
      const filters = options.resource === undefined ? {} : { resource: options.resource };
      const past = await context.client.list('/v1/events', filters);
      for (const event of past) print(event);
      if (options.follow !== true) return;
      const last = past.at(-1)?.id;
      const response = await context.client.fetch('GET', `/v1/events?${new URLSearchParams(filters)}`, {
        headers: { accept: 'text/event-stream', ...(last === undefined ? {} : { 'last-event-id': last }) },
        timeout: 0,
      });
      if (response.body === null) return;
      for await (const data of serverSentEvents(response.body)) print(JSON.parse(data) as Resource);
    });
};
