import { type Command, Option } from 'commander';
import type { Resource } from '../client.ts';
import type { Context } from '../context.ts';
import type { CreateOption, ResourceKind } from '../resource-kind.ts';

type ContextOf = (command: Command) => Context;

const attributeOf = (option: CreateOption): string => new Option(option.flags).attributeName();

const addOption = (command: Command, option: CreateOption, required: boolean): void => {
  const flag = new Option(option.flags, option.description);
  if (required && option.required === true) flag.makeOptionMandatory();
  if (option.repeated === true)
    flag.argParser((text: string, before: unknown[] | undefined) => [...(before ?? []), text]);
  command.addOption(flag);
};

const examples = (...lines: readonly string[]): string =>
  [`\nExample${lines.length === 1 ? '' : 's'}:`, ...lines.map((line) => `  ${line}`)].join('\n');

const articled = (noun: string): string => `${/^[aeio]/.test(noun) ? 'an' : 'a'} ${noun}`;

/** The request body that the flags of a command line make; names are looked up, so this asks the API. */
const bodyOf = async (
  context: Context,
  options: readonly CreateOption[],
  values: Readonly<Record<string, unknown>>,
): Promise<Record<string, unknown>> => {
  const body: Record<string, unknown> = {};
  for (const option of options) {
    const given = values[attributeOf(option)];
    if (given === undefined) continue;
    const one = async (text: unknown): Promise<unknown> => {
      if (typeof text !== 'string') return text;
      if (option.reference !== undefined) return context.resolve(option.reference, text);
      const value = option.parse?.(text) ?? text;
      if (option.field !== 'members') return value;
      const member = value as { instance: string; port: number };
      return { ...member, instance: await context.resolve('/v1/instances', member.instance) };
    };
    if (Array.isArray(given)) {
      const parsed = await Promise.all(given.map(one));
      body[option.field] = option.combine === undefined ? parsed : option.combine(parsed);
    } else {
      body[option.field] = await one(given);
    }
  }
  return body;
};

/** `selvage <noun> create|list|show|update|delete`. */
export const addResourceCommands = (program: Command, kind: ResourceKind, contextOf: ContextOf): Command => {
  const group = program.command(kind.noun).description(kind.description);

  group
    .command('list')
    .alias('ls')
    .description(`list ${kind.noun}s`)
    .option(
      '--filter <field=value>',
      'only those with this field; may be given several times',
      (text: string, before: string[]) => [...before, text],
      [],
    )
    .addHelpText(
      'after',
      examples(
        `selvage ${kind.noun} list`,
        ...(kind.filter === undefined ? [] : [`selvage ${kind.noun} list --filter ${kind.filter}`]),
        `selvage ${kind.noun} list --output json`,
      ),
    )
    .action(async (options: { filter: string[] }, command: Command) => {
      const context = contextOf(command);
      const filters = Object.fromEntries(
        options.filter.map((text) => [text.split('=')[0] ?? '', text.slice(text.indexOf('=') + 1)]),
      );
      context.printList(kind.columns, await context.client.list(kind.path, filters));
    });

  group
    .command('show')
    .argument('<id>', 'id or name')
    .description(`show one ${kind.noun}`)
    .addHelpText('after', examples(`selvage ${kind.noun} show ${kind.named}`))
    .action(async (text: string, _options, command: Command) => {
      const context = contextOf(command);
      context.print(await context.client.get(`${kind.path}/${await context.resolve(kind.path, text)}`));
    });

  const { create } = kind;
  if (create !== undefined) {
    const command = group.command('create').description(`create: ${kind.description}`);
    for (const option of create) addOption(command, option, true);
    if (kind.example !== undefined) command.addHelpText('after', examples(kind.example));
    command.action(async (values: Record<string, unknown>, self: Command) => {
      const context = contextOf(self);
      const created = await context.client.post<Resource>(kind.path, await bodyOf(context, create, values));
      await context.follow(created);
      // What is shown only once (a key, a token, a password) is in the first answer; the rest has moved on since.
      const now =
        typeof created.operation !== 'string'
          ? created
          : {
              ...created,
              ...(await context.after(
                `${kind.path}/${created.id}`,
                `selvage ${kind.noun} show ${created.id}`,
              )),
            };
      context.print(now);
    });

    const updatable = create.filter((option) => option.updatable === true);
    if (updatable.length > 0) {
      const update = group
        .command('update')
        .argument('<id>', 'id or name')
        .description(`change ${articled(kind.noun)}`);
      if (kind.updates !== undefined) update.addHelpText('after', examples(...kind.updates));
      for (const option of updatable) addOption(update, option, false);
      update.action(async (text: string, values: Record<string, unknown>, self: Command) => {
        const context = contextOf(self);
        const changed = await context.client.patch(
          `${kind.path}/${await context.resolve(kind.path, text)}`,
          await bodyOf(context, updatable, values),
        );
        await context.follow(changed);
        context.print(changed);
      });
    }
  }

  if (kind.deletable === true) {
    group
      .command('delete')
      .alias('rm')
      .argument('<id...>', 'ids or names')
      .description(`delete ${kind.noun}s`)
      .addHelpText('after', examples(`selvage ${kind.noun} delete ${kind.named}`))
      .action(async (texts: string[], _options, command: Command) => {
        const context = contextOf(command);
        for (const text of texts) {
          const id = await context.resolve(kind.path, text);
          await context.follow(await context.client.delete(`${kind.path}/${id}`));
          context.tell(`deleted ${id}`);
        }
      });
  }
  return group;
};
