import { NftablesError } from 'nftables-json';
import { parseBlocks } from '../ruleset/listing.ts';
import type { System } from '../system.ts';
import { type RenderedHandover, steeringChain } from './render.ts';
import { STEERING_TABLE } from './schema.ts';

const FAMILIES = ['ip', 'ip6'] as const;
type Family = (typeof FAMILIES)[number];

const CHAIN = 'prerouting';

interface Transaction {
  readonly text: string;
  readonly changes: readonly string[];
  /** Number of the kernel's ruleset when it was compared. */
  readonly seen: number;
}

/** A chain as `nft list` prints it. */
const blockOf = ({ hook, rules }: { readonly hook: string; readonly rules: readonly string[] }): string =>
  [`\tchain ${CHAIN} {`, `\t\t${hook}`, ...rules.map((rule) => `\t\t${rule}`), '\t}'].join('\n');

/** The steering tables in the kernel of one router, and what this process knows of them. */
export class Steering {
  readonly #system: System;
  /** Number of the kernel's ruleset and the wanted chains when they were last found right; -1 when not known. */
  #generation = -1;
  #right = '';
  /** Blocks that this kernel's nft lists in other words than ours: our text to its. */
  readonly #dialect = new Map<string, string>();

  constructor(system: System) {
    this.#system = system;
  }

  /** The transaction from what the kernel has to what is wanted; its text is empty when that is the same. */
  async plan(rendered: RenderedHandover, present: ReadonlySet<string>): Promise<Transaction> {
    const wanted = FAMILIES.map((family) => JSON.stringify(steeringChain(rendered, family, present))).join(
      '\n',
    );
    // Read before the listing: what is written since is seen the next time.
    const seen = await this.#system.nftables.generation();
    if (seen === this.#generation && wanted === this.#right) return { text: '', changes: [], seen };
    const { text, changes } = await this.#difference(rendered, present);
    if (text === '') {
      this.#generation = seen;
      this.#right = wanted;
    }
    return { text, changes, seen };
  }

  async #difference(
    rendered: RenderedHandover,
    present: ReadonlySet<string>,
  ): Promise<Omit<Transaction, 'seen'>> {
    let text = '';
    const changes: string[] = [];
    for (const family of FAMILIES) {
      const place = `${family} ${STEERING_TABLE}`;
      const chain = steeringChain(rendered, family, present);
      const listed = await this.#listed(family);
      if (chain === null) {
        if (listed === null) continue;
        text += `delete table ${place}\n`;
        changes.push(`nftables: removed table ${place}: nothing is handed over`);
        continue;
      }
      const wanted = blockOf(chain);
      const blocks = listed === null ? null : parseBlocks(listed);
      const found = blocks?.chains.get(CHAIN);
      const others =
        blocks === null ? 0 : blocks.sets.size + blocks.chains.size - (found === undefined ? 0 : 1);
      if (others === 0 && found !== undefined && (found === wanted || this.#dialect.get(wanted) === found)) {
        continue;
      }
      // The chain is emptied and filled in one transaction: every packet meets the old rules or the new ones.
      if (others > 0) text += `delete table ${place}\n`;
      text += [
        `add table ${place}`,
        `add chain ${place} ${CHAIN} { ${chain.hook} }`,
        `flush chain ${place} ${CHAIN}`,
        ...chain.rules.map((rule) => `add rule ${place} ${CHAIN} ${rule}`),
        '',
      ].join('\n');
      changes.push(`nftables: wrote table ${place}`);
    }
    return { text, changes };
  }

  /** Brings the kernel to what is wanted, in one transaction for both families. Returns what was done, in words. */
  async apply(rendered: RenderedHandover, present: ReadonlySet<string>): Promise<readonly string[]> {
    const { text, changes, seen } = await this.plan(rendered, present);
    if (text !== '') {
      await this.#system.nftables.apply(text);
      await this.#learn(rendered, present, seen);
    }
    return changes;
  }

  /** How this machine's nft words what was just written, unless somebody wrote in between. */
  async #learn(rendered: RenderedHandover, present: ReadonlySet<string>, seen: number): Promise<void> {
    for (const family of FAMILIES) {
      const chain = steeringChain(rendered, family, present);
      if (chain === null) continue;
      const listed = parseBlocks((await this.#listed(family)) ?? '').chains.get(CHAIN);
      if ((await this.#system.nftables.generation()) !== seen + 1) return;
      const wanted = blockOf(chain);
      if (listed !== undefined && listed !== wanted) this.#dialect.set(wanted, listed);
    }
  }

  async #listed(family: Family): Promise<string | null> {
    try {
      return await this.#system.nftables.listText({ family, table: STEERING_TABLE });
    } catch (error) {
      if (error instanceof NftablesError && error.code === 'missing') return null;
      throw error;
    }
  }
}

const known = new WeakMap<System, Steering>();

/** The steering of this router; the same object every time. */
export const steeringOf = (system: System): Steering => {
  let found = known.get(system);
  if (found === undefined) known.set(system, (found = new Steering(system)));
  return found;
};
