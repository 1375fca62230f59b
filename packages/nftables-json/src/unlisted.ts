/** What nft 1.0.6 leaves out of its JSON listing and prints as text: comments, devices, two properties of sets. Pure. */
import type { NftObject, SetFlag } from './types.ts';

type Unlisted = { comment?: string; dev?: string | readonly string[]; dynamic?: true; merge?: true };

const heading = /^(?:\t(chain|set|map) (\S+)|table (\S+) (\S+)) \{$/;

function quotedWords(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"/g)].map(([, word]) => word as string);
}

/** The unlisted properties of each object, by "family table kind name". */
function unlisted(text: string): Map<string, Unlisted> {
  const found = new Map<string, Unlisted>();
  let table = '';
  let current: Unlisted | undefined;
  for (const line of text.split('\n')) {
    const head = heading.exec(line);
    if (head !== null) {
      const [, kind, name, family, tableName] = head;
      if (family !== undefined) table = `${family} ${tableName}`;
      current = {};
      found.set(kind === undefined ? table : `${table} ${kind} ${name}`, current);
    } else if (current !== undefined) {
      const own = line.trimStart();
      // A rule is never a comment alone.
      if (own.startsWith('comment "')) current.comment = quotedWords(own)[0] as string;
      else if (/^type \S+ hook \S+ devices? /.test(own)) {
        const devices = quotedWords(own);
        current.dev = devices.length === 1 ? (devices[0] as string) : devices;
      } else if (/^flags [a-z,]*\bdynamic\b[a-z,]*$/.test(own)) current.dynamic = true;
      else if (own === 'auto-merge') current.merge = true;
    }
  }
  return found;
}

function completed(object: NftObject, found: Map<string, Unlisted>): NftObject {
  if ('table' in object) {
    const { comment } = found.get(`${object.table.family} ${object.table.name}`) ?? {};
    return comment === undefined ? object : { table: { ...object.table, comment } };
  }
  if ('chain' in object) {
    const { comment, dev } =
      found.get(`${object.chain.family} ${object.chain.table} chain ${object.chain.name}`) ?? {};
    return {
      chain: {
        ...object.chain,
        ...(dev === undefined ? {} : { dev }),
        ...(comment === undefined ? {} : { comment }),
      },
    };
  }
  if (!('set' in object || 'map' in object)) return object;
  const kind = 'map' in object ? 'map' : 'set';
  const set = 'map' in object ? object.map : object.set;
  const { dynamic, merge } = found.get(`${set.family} ${set.table} ${kind} ${set.name}`) ?? {};
  const flags: readonly SetFlag[] = [
    ...(set.flags ?? []),
    ...(dynamic === true && set.flags?.includes('dynamic') !== true ? (['dynamic'] as const) : []),
  ];
  const whole = {
    ...set,
    ...(flags.length === 0 ? {} : { flags }),
    ...(merge === true ? { 'auto-merge': true } : {}),
  };
  return { [kind]: whole } as unknown as NftObject;
}

/** `objects` of a JSON listing, with what only the text listing of the same scope tells. */
export function withUnlisted(objects: readonly NftObject[], text: string): NftObject[] {
  const found = unlisted(text);
  return objects.map((object) => completed(object, found));
}

/** `objects` without what 1.0.6 would not list in JSON. */
export function withoutUnlisted(object: NftObject): NftObject {
  if ('table' in object) {
    const { comment: _comment, ...table } = object.table;
    return { table };
  }
  if ('chain' in object) {
    const { comment: _comment, dev: _dev, ...chain } = object.chain;
    return { chain };
  }
  if ('set' in object) return { set: listedSet(object.set) };
  return 'map' in object ? { map: listedSet(object.map) } : object;
}

function listedSet<T extends { readonly flags?: readonly SetFlag[]; readonly 'auto-merge'?: boolean }>(
  set: T,
): T {
  const { flags, 'auto-merge': _merge, ...rest } = set;
  const kept = (flags ?? []).filter((flag) => flag !== 'dynamic');
  return (kept.length === 0 ? rest : { ...rest, flags: kept }) as T;
}
