/** Port security in the kernel: what is in force is read once, then known; a changed generation means somebody touched it. */
import { elementText, normalise, type Nftables, type NftObject, type SetItem } from 'nftables-json';
import { diffSecurity, type ObservedSecurity } from './diff.ts';
import {
  securityChains,
  type SecurityElements,
  securityRules,
  type SecuritySetName,
  securitySetNames,
  securityTable,
} from './render.ts';

/** Compares chains and rules regardless of the order in which chains were made. */
const skeleton = (objects: readonly NftObject[]): string => {
  const chains: string[] = [];
  const rules = new Map<string, string[]>();
  for (const object of normalise(objects)) {
    if ('chain' in object) chains.push(JSON.stringify(object.chain, Object.keys(object.chain).sort()));
    else if ('rule' in object) {
      const body = JSON.stringify(object.rule.expr);
      rules.set(object.rule.chain, [...(rules.get(object.rule.chain) ?? []), body]);
    }
  }
  return JSON.stringify([chains.sort(), [...rules].sort(([a], [b]) => (a < b ? -1 : 1))]);
};

const wantedSkeleton = (): string =>
  skeleton([...securityChains.map((chain) => ({ chain })), ...securityRules.map((rule) => ({ rule }))]);

/** Elements as nft text: interface names in quotes, numbers without leading zeros. */
const textOf = (name: SecuritySetName, item: SetItem): string => {
  if (name === 'unrestricted') return typeof item === 'string' ? `"${item}"` : elementText(item);
  if (name !== 'targets6' || typeof item !== 'object' || !('concat' in item)) return elementText(item);
  const [device, mac, target] = item.concat as readonly string[];
  return `"${device}" . ${mac} . 0x${BigInt(target ?? 0).toString(16)}`;
};

/** Reads the table; null when there is none. */
export const observeSecurity = async (nftables: Nftables): Promise<ObservedSecurity | null> => {
  const all = await nftables.list({ family: securityTable.family });
  const objects = all.filter((object) => {
    const [body] = Object.values(object) as [{ readonly table?: string; readonly name?: string }];
    return 'table' in object ? body.name === securityTable.table : body.table === securityTable.table;
  });
  if (objects.length === 0) return null;
  const elements: { [Name in SecuritySetName]?: ReadonlySet<string> } = {};
  for (const object of objects) {
    if (!('set' in object)) continue;
    const name = securitySetNames.find((known) => known === object.set.name);
    if (name === undefined) continue;
    elements[name] = new Set((object.set.elem ?? []).map((item) => textOf(name, item)));
  }
  const complete = securitySetNames.every((name) => elements[name] !== undefined);
  return { rulesRight: complete && skeleton(objects) === wantedSkeleton(), elements };
};

/** The bridge table of one fabric namespace. */
export class PortSecurity {
  readonly #nftables: Nftables;
  #known: ObservedSecurity | null = null;
  /** Generation of the ruleset after our own last change; null when it has to be read. */
  #generation: number | null = null;

  constructor(nftables: Nftables) {
    this.#nftables = nftables;
  }

  /** True when somebody else changed the ruleset since we last looked. */
  async touched(): Promise<boolean> {
    return this.#generation !== null && (await this.#nftables.generation()) !== this.#generation;
  }

  /** Forgets what is known; the next apply reads the table. */
  forget(): void {
    this.#generation = null;
  }

  /** Additions, and with `removals` also removals, in one transaction. Returns what was not as wanted. */
  async apply(wanted: SecurityElements, options: { readonly removals: boolean }): Promise<readonly string[]> {
    if (this.#generation === null) {
      this.#generation = await this.#nftables.generation();
      this.#known = await observeSecurity(this.#nftables);
    }
    const { text, reasons } = diffSecurity(this.#known, wanted, options);
    if (text === '') return reasons;
    const before = this.#generation;
    try {
      await this.#nftables.apply(text);
      this.#known = { rulesRight: true, elements: after(this.#known, wanted, options.removals) };
      // Ours is one step; more means that somebody else was at it meanwhile, and the next look reads all again.
      this.#generation = (before + 1) >>> 0;
    } catch (error) {
      this.forget();
      throw error;
    }
    return reasons;
  }

  async close(): Promise<void> {
    await this.#nftables.close();
  }
}

const after = (
  known: ObservedSecurity | null,
  wanted: SecurityElements,
  removals: boolean,
): { readonly [Name in SecuritySetName]: ReadonlySet<string> } => {
  if (removals || known === null || !known.rulesRight) return wanted;
  const both = (name: SecuritySetName): ReadonlySet<string> =>
    new Set([...(known.elements[name] ?? []), ...wanted[name]]);
  return {
    unrestricted: both('unrestricted'),
    macs: both('macs'),
    addresses4: both('addresses4'),
    addresses6: both('addresses6'),
    targets6: both('targets6'),
  };
};
