/** From the port security that is in force to the one that is wanted, as text for one nft transaction. Pure. */
import { addElementsText, deleteElementsText } from 'nftables-json';
import {
  renderSecurityTable,
  type SecurityElements,
  type SecuritySetName,
  securitySetNames,
  securityTable,
} from './render.ts';

/** What was found: null when the table is missing or not as we write it, which is cured by writing it anew. */
export interface ObservedSecurity {
  /** Chains, rules and sets are as we write them. */
  readonly rulesRight: boolean;
  /** Elements of each set that exists. */
  readonly elements: { readonly [Name in SecuritySetName]?: ReadonlySet<string> };
}

export interface SecurityDiff {
  /** nft text, empty when all is right. */
  readonly text: string;
  /** What is not as wanted, in words. */
  readonly reasons: readonly string[];
}

const empty: ReadonlySet<string> = new Set();

/** What is in `these` and not in `those`, in order. */
const without = (these: ReadonlySet<string>, those: ReadonlySet<string>): string[] =>
  [...these].filter((element) => !those.has(element)).sort();

/**
 * Additions and removals of elements. With `removals` false only what has to be there before a port comes up: additions.
 * Removals then follow when the ports are gone.
 */
export const diffSecurity = (
  observed: ObservedSecurity | null,
  wanted: SecurityElements,
  options: { readonly removals: boolean },
): SecurityDiff => {
  const reasons: string[] = [];
  let text = '';
  // An altered table is written anew with all its elements: one transaction, so no frame sees it half done.
  const anew = observed === null || !observed.rulesRight;
  if (anew) {
    reasons.push(`the port security table was ${observed === null ? 'missing' : 'altered'}`);
    text += renderSecurityTable();
  }
  let added = '';
  for (const name of securitySetNames) {
    const there = (anew ? undefined : observed.elements[name]) ?? empty;
    const place = { ...securityTable, name };
    const additions = without(wanted[name], there);
    added += addElementsText(place, additions);
    if (additions.length > 0 && !anew) reasons.push(`${name} lacked ${additions.join(', ')}`);
    if (!options.removals) continue;
    const removals = without(there, wanted[name]);
    text += deleteElementsText(place, removals);
    if (removals.length > 0) reasons.push(`${name} held ${removals.join(', ')}`);
  }
  return { text: text + added, reasons };
};
