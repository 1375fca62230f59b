import type { RouterDocument } from 'documents';
import type { Chain, Part, SetDeclaration } from './fragment.ts';
import type { ElementChanges } from './ledger.ts';
import type { RulesetFeature } from './ruleset-feature.ts';

/** The table everything of ours is in. */
export const TABLE = { family: 'inet', table: 'selvage' } as const;
const PLACE = `${TABLE.family} ${TABLE.table}`;

/** The router's table as it is to be: its form, by name, and where its elements come from. */
export interface Ruleset {
  /** Name to block, as nft lists it. */
  readonly sets: ReadonlyMap<string, string>;
  readonly chains: ReadonlyMap<string, string>;
  readonly kinds: ReadonlyMap<string, 'set' | 'map'>;
  /** Sets that count, by name. */
  readonly counting: ReadonlySet<string>;
  readonly parts: readonly Part[];
  readonly document: RouterDocument;
}

/** A set as `nft list` prints it without its elements. */
const setBlock = (set: SetDeclaration): string =>
  [
    `\t${set.kind} ${set.name} {`,
    `\t\ttype ${set.type}`,
    ...(set.interval === true ? ['\t\tflags interval'] : []),
    ...(set.counter === true ? ['\t\tcounter'] : []),
    '\t}',
  ].join('\n');

/** A chain as `nft list` prints it. */
const chainBlock = (chain: Chain): string =>
  [
    `\tchain ${chain.name} {`,
    ...(chain.hook === undefined ? [] : [`\t\t${chain.hook}`]),
    ...chain.rules.map((rule) => `\t\t${rule}`),
    '\t}',
  ].join('\n');

/** What all features together want of the table. */
export const renderRuleset = (features: readonly RulesetFeature[], document: RouterDocument): Ruleset => {
  const fragments = features.map((feature) => feature.render(document));
  const sets = fragments.flatMap((fragment) => fragment.sets);
  return {
    sets: new Map(sets.map((set) => [set.name, setBlock(set)])),
    kinds: new Map(sets.map((set) => [set.name, set.kind])),
    counting: new Set(sets.filter((set) => set.counter === true).map((set) => set.name)),
    chains: new Map(
      fragments.flatMap((fragment) => fragment.chains).map((chain) => [chain.name, chainBlock(chain)]),
    ),
    parts: fragments.flatMap((fragment) => fragment.parts),
    document,
  };
};

/** The commands that change elements. Deletions come first: what takes their place may overlap them. */
export const elementCommands = (changes: ElementChanges): string => {
  let text = '';
  for (const [set, { remove }] of changes) {
    if (remove.length > 0) text += `delete element ${PLACE} ${set} { ${remove.join(', ')} }\n`;
  }
  for (const [set, { add }] of changes) {
    if (add.length === 0) continue;
    text += `add element ${PLACE} ${set} { ${add.join(', ')} }\n`;
  }
  return text;
};

/** The command that makes a set from the block it is listed as. */
const setCommand = (block: string): string => {
  const [head = '', ...lines] = block.split('\n').map((line) => line.trim());
  const [kind, name] = head.split(' ');
  return `add ${kind} ${PLACE} ${name} { ${lines.slice(0, -1).join('; ')}; }`;
};

/** The lines of a chain's block: the hook of a base chain, and the rules. */
const chainLines = (
  block: string,
): { readonly hook: string | undefined; readonly rules: readonly string[] } => {
  const lines = block
    .split('\n')
    .slice(1, -1)
    .map((line) => line.trim());
  const hook = lines[0]?.startsWith('type ') === true ? lines[0] : undefined;
  return { hook, rules: hook === undefined ? lines : lines.slice(1) };
};

const chainCommand = (name: string, block: string): string => {
  const { hook } = chainLines(block);
  return `add chain ${PLACE} ${name}${hook === undefined ? '' : ` { ${hook} }`}`;
};

const ruleCommands = (name: string, block: string): string[] =>
  chainLines(block).rules.map((rule) => `add rule ${PLACE} ${name} ${rule}`);

/** The whole table from nothing; what is there under its name goes in the same transaction. */
export const wholeTable = (ruleset: Ruleset, elements: ElementChanges, replace: boolean): string =>
  [
    ...(replace ? [`delete table ${PLACE}`] : []),
    `add table ${PLACE}`,
    ...Array.from(ruleset.sets.values(), setCommand),
    // All chains before any rule: rules lead to chains.
    ...Array.from(ruleset.chains, ([name, block]) => chainCommand(name, block)),
    ...[...ruleset.chains].flatMap(([name, block]) => ruleCommands(name, block)),
    elementCommands(elements),
  ].join('\n');

/** Chains that differ: what the kernel has (or had) against what is wanted. */
export interface ChainChanges {
  readonly refill: readonly string[];
  readonly remove: readonly string[];
}

/** Chains to write anew and to remove, to get from `before` to `next`. */
export const chainChanges = (
  before: ReadonlyMap<string, string>,
  next: ReadonlyMap<string, string>,
): ChainChanges => ({
  refill: [...next.keys()].filter((name) => before.get(name) !== next.get(name)),
  remove: [...before.keys()].filter((name) => !next.has(name)),
});

/** One transaction for changed chains and elements. Chains come before verdicts that lead to them, and go after. */
export const changeText = (ruleset: Ruleset, chains: ChainChanges, elements: ElementChanges): string => {
  const { refill, remove } = chains;
  const blockOf = (name: string): string => ruleset.chains.get(name) ?? '';
  const lines = [
    ...refill.map((name) => chainCommand(name, blockOf(name))),
    ...refill.map((name) => `flush chain ${PLACE} ${name}`),
    ...refill.flatMap((name) => ruleCommands(name, blockOf(name))),
    elementCommands(elements),
    ...remove.map((name) => `flush chain ${PLACE} ${name}`),
    ...remove.map((name) => `delete chain ${PLACE} ${name}`),
  ];
  return lines.filter((line) => line !== '').join('\n');
};
