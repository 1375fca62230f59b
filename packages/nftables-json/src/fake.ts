/** The shipped fake: the same interface as the kernel's, with a ruleset in memory. */
import { FakeRuleset, Refusal } from './fake/ruleset.ts';
import type { ListOptions, ListScope, Nftables } from './nftables.ts';
import { NftablesError, nftablesError } from './nftables-error.ts';
import { addCommands, renderText } from './render-text.ts';
import { listCommand } from './list-command.ts';
import { parseText } from './text/parse-text.ts';
import { TextSyntaxError } from './text/tokens.ts';
import type { NftObject } from './types.ts';
import { withoutUnlisted } from './unlisted.ts';

/**
 * A ruleset in memory that takes the text {@link renderText} writes (and {@link addElementsText} and its like), one
 * transaction at a time, and refuses what the kernel refuses: duplicates, the missing, what is still referred to. It does
 * not evaluate packets, types of values, overlapping intervals, timeouts, or nft's own rules of which match needs which.
 */
export class FakeNftables implements Nftables {
  readonly #ruleset = new FakeRuleset();
  #generation = 1;
  #closed = false;
  /** The texts applied, oldest first, for assertions on what was sent. */
  readonly applied: string[] = [];

  async check(text: string): Promise<void> {
    this.#undo(this.#run(text));
  }

  async apply(text: string): Promise<void> {
    if (this.#run(text).length > 0) this.#generation += 1;
    this.applied.push(text);
  }

  async list(scope: ListScope = {}, options: ListOptions = {}): Promise<NftObject[]> {
    this.#open();
    listCommand(scope);
    const { family, table, chain, set, map } = scope;
    const named = chain ?? set ?? map;
    const found = this.#ruleset
      .objects()
      .filter(
        ({ place }) =>
          (family === undefined || place.family === family) && (table === undefined || place.table === table),
      )
      .map(({ object }) => object)
      .filter((object) => {
        if (named === undefined) return true;
        if (chain !== undefined)
          return (
            ('chain' in object && object.chain.name === chain) ||
            ('rule' in object && object.rule.chain === chain)
          );
        return ('set' in object && object.set.name === set) || ('map' in object && object.map.name === map);
      });
    if (found.length === 0 && table !== undefined)
      throw new NftablesError('missing', 'No such file or directory');
    return found.map((object) =>
      shown(options.complete === true ? object : withoutUnlisted(object), options),
    );
  }

  async listText(scope: ListScope = {}, options: ListOptions = {}): Promise<string> {
    return renderText(addCommands(await this.list(scope, { ...options, complete: true })));
  }

  async generation(): Promise<number> {
    this.#open();
    return this.#generation;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #open(): void {
    if (this.#closed) throw new NftablesError('helper-exited', 'this Nftables is closed');
  }

  /** How to take it back, newest last. */
  #run(text: string): (() => void)[] {
    this.#open();
    const undo: (() => void)[] = [];
    let at = 1;
    try {
      for (const { command, line } of parseText(text)) {
        at = line;
        this.#ruleset.run(command, undo);
      }
      return undo;
    } catch (error) {
      this.#undo(undo);
      if (error instanceof TextSyntaxError) {
        throw nftablesError(
          text,
          `fake:${error.line}:${error.column}-${error.column}: Error: ${error.message}`,
        );
      }
      if (error instanceof Refusal)
        throw nftablesError(text, `fake:${at}:1-1: Error: Could not process rule: ${error.message}`);
      throw error;
    }
  }

  #undo(undo: readonly (() => void)[]): void {
    for (const step of undo.toReversed()) step();
  }
}

function shown(object: NftObject, options: ListOptions): NftObject {
  const [kind, whole] = Object.entries(object)[0] as [string, Record<string, unknown>];
  const body = { ...whole };
  if (options.handles !== true) delete body['handle'];
  if (options.terse === true && (kind === 'set' || kind === 'map')) delete body['elem'];
  return { [kind]: body } as unknown as NftObject;
}
