/** What `nft -j list ...` prints, as typed objects. Pure. */
import { columnsOf, columnsOfType, hasSymbols, levelled, levelledItem } from './symbols.ts';
import type { KeyType, MapType, NftMap, NftObject, SetItem, Statement } from './types.ts';

/** What to keep of a listing. */
export type ParseOptions = {
  /** Keep `handle`, which differs with every load. Default false. */
  readonly handles?: boolean;
};

const kinds: ReadonlySet<string> = new Set(['table', 'chain', 'rule', 'set', 'map', 'element', 'counter']);

/** The listing has no such form: not the output of `nft -j list`. */
export class ParseError extends Error {
  override readonly name = 'ParseError';
  readonly code = 'not-a-ruleset';
}

function mapType(type: unknown): MapType {
  // 1.0.6 prints a concatenation as one string, later versions as a list.
  return typeof type === 'string' && type.includes(' . ')
    ? (type.split(' . ') as unknown as MapType)
    : (type as MapType);
}

/** Names in ranges as numbers: text has no names there. */
function readable(statement: Statement): Statement {
  if ('match' in statement) {
    const { op, left, right } = statement.match;
    return { match: { op, left, right: levelled(right, columnsOf(left), true) } };
  }
  if (!('vmap' in statement)) return statement;
  const { key, data } = statement.vmap;
  return { vmap: { key, data: levelled(data, columnsOf(key), true) } };
}

/**
 * The objects of a JSON listing, in its order. Leaves out `metainfo` and kinds this package does not know (flowtables,
 * quotas, limits as objects); map types become lists; handles go unless asked for. Throws {@link ParseError}.
 */
export function parseRuleset(json: string | object, options: ParseOptions = {}): NftObject[] {
  let parsed: unknown;
  try {
    parsed = typeof json === 'string' ? JSON.parse(json) : json;
  } catch (cause) {
    throw new ParseError('not JSON', { cause });
  }
  const list = (parsed as { readonly nftables?: unknown } | null)?.nftables;
  if (!Array.isArray(list)) throw new ParseError('no list "nftables"');
  const objects: NftObject[] = [];
  for (const entry of list as readonly Record<string, Record<string, unknown>>[]) {
    const kind = Object.keys(entry)[0];
    if (kind === undefined || !kinds.has(kind)) continue;
    const body = { ...entry[kind] };
    if (options.handles !== true) delete body['handle'];
    if (kind === 'map') body['map'] = mapType((body as unknown as NftMap).map);
    if ((kind === 'set' || kind === 'map') && body['elem'] !== undefined) {
      const columns = columnsOfType(body['type'] as KeyType);
      if (hasSymbols(columns))
        body['elem'] = (body['elem'] as SetItem[]).map((item) => levelledItem(item, columns, true));
    } else if (kind === 'rule') body['expr'] = (body['expr'] as Statement[]).map(readable);
    // 1.0.6 prints a single flag as a list, later versions as a string.
    if (typeof body['flags'] === 'string') body['flags'] = [body['flags']];
    objects.push({ [kind]: body } as unknown as NftObject);
  }
  return objects;
}
