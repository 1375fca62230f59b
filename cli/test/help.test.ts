/** Help of every command there is: what it is for, and an example that can be typed. */
import test from 'ava';
import { Command } from 'commander';
import { buildProgram } from '../build-program.ts';

/** A command and the words that lead to it. */
interface Found {
  readonly words: readonly string[];
  readonly command: Command;
}

const commandsOf = (command: Command, words: readonly string[]): Found[] => [
  { words, command },
  ...command.commands.flatMap((child) => commandsOf(child, [...words, child.name()])),
];

const helpOf = (command: Command): string => {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
};

/** The lines behind "Example:", without their comments. */
const examplesOf = (help: string): string[] =>
  help
    .slice(help.search(/^Examples?:$/m))
    .split('\n')
    .map((line) => line.replace(/ {2,}#.*$/, ''))
    .filter((line) => /^ {2}\S/.test(line))
    .map((line) => line.trim());

/** Flags a command takes; those of the commands above it, too. */
const flagsOf = (command: Command | null): string[] =>
  command === null
    ? []
    : [...command.options.flatMap(({ short, long }) => [short, long]), ...flagsOf(command.parent)].filter(
        (flag) => typeof flag === 'string',
      );

/** What is wrong with the help of a program's commands. */
const faults = (program: Command): string[] =>
  commandsOf(program, [program.name()]).flatMap(({ words, command }) => {
    const path = words.join(' ');
    const said = command.description() === '' ? [`${path} has no description`] : [];
    if (command.commands.length > 0) return said;
    const help = helpOf(command);
    const examples = /^Examples?:$/m.test(help) ? examplesOf(help) : [];
    const own = examples.filter((example) => example.replace(/ --state \S+/, '').startsWith(path));
    if (own.length === 0) return [...said, `${path} has no example`];
    const strange = examples
      .filter((example) => !own.includes(example))
      .map((example) => `${path} has an example of something else: ${example}`);
    const known = flagsOf(command);
    const unknown = own.flatMap((example) =>
      (example.split(' -- ')[0] ?? '')
        .split(' ')
        .filter((word) => /^--?[a-z]/.test(word) && !known.includes(word))
        .map((flag) => `${path} has no ${flag}, and its example says so`),
    );
    return [...said, ...strange, ...unknown];
  });

test('every command says what it is for, and every one that does something has an example', (t) => {
  const program = buildProgram({});
  t.deepEqual(faults(program), []);
  const leaves = commandsOf(program, ['selvage']).filter(({ command }) => command.commands.length === 0);
  t.true(leaves.length > 80, String(leaves.length));
  t.regex(helpOf(program), /A first network:\n {2}selvage lab up/);
});

test('control: a command without help is found', (t) => {
  const program = new Command('selvage').description('d');
  const group = program.command('thing');
  group.command('plain').description('d');
  group.command('other').description('d').addHelpText('after', '\nExample:\n  selvage thing else --now');
  group.command('odd').addHelpText('after', '\nExamples:\n  selvage thing odd --never   # --ever');
  t.deepEqual(faults(program), [
    'selvage thing has no description',
    'selvage thing plain has no example',
    'selvage thing other has no example',
    'selvage thing odd has no description',
    'selvage thing odd has no --never, and its example says so',
  ]);
});

test('help says what cannot be guessed', (t) => {
  const found = commandsOf(buildProgram({}), ['selvage']);
  const help = (path: string): string => {
    const command = found.find(({ words }) => words.join(' ') === `selvage ${path}`)?.command;
    return command === undefined ? '' : helpOf(command).replaceAll(/\s+/g, ' ');
  };
  t.regex(help('network update'), /update web --redundant true.*update web --redundant false/);
  t.regex(help('network restart'), /--ready-within <seconds>/);
  for (const type of ['router.replace', 'router.patch', 'router.rebuild-standby', 'upgrade-run'])
    t.true(help('workflow abort').includes(type), type);
  t.regex(help('workflow abort'), /a fresh router that runs what it ran/);
  t.regex(help('upgrade-run resume'), /A router that failed is not tried again by this run/);
});
