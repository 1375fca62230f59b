/** The `list` commands of nft for a scope. Pure. */
import type { ListScope } from './nftables.ts';
import { RenderError } from './render-error.ts';
import { checkedName, schemaWord } from './words.ts';

/** `list table inet vr` and the like. Throws {@link RenderError} for a scope that names a chain or set without its table. */
export function listCommand(scope: ListScope = {}): string {
  const { family, table, chain, set, map } = scope;
  if (table === undefined) {
    if (chain ?? set ?? map) throw new RenderError('value', 'a chain, set or map is listed with its table');
    return family === undefined ? 'list ruleset' : `list ruleset ${schemaWord(family)}`;
  }
  if (family === undefined) throw new RenderError('value', 'a table is listed with its family');
  const place = `${schemaWord(family)} ${checkedName(table)}`;
  if (chain !== undefined) return `list chain ${place} ${checkedName(chain)}`;
  if (set !== undefined) return `list set ${place} ${checkedName(set)}`;
  if (map !== undefined) return `list map ${place} ${checkedName(map)}`;
  return `list table ${place}`;
}
