/** Reads what the kernel holds of our table, in the form in which the wanted one is written. Pure. */
import type { NftObject } from 'nftables-json';
import { addressText, prefixInterval } from './key-text.ts';

/** The blocks of a terse text listing of a table: name to text. */
export interface ListedBlocks {
  readonly sets: ReadonlyMap<string, string>;
  readonly chains: ReadonlyMap<string, string>;
}

const BLOCK = /^\t(set|map|chain) (\S+) \{$/;

/** Cuts `nft -t list table` into its blocks. */
export const parseBlocks = (text: string): ListedBlocks => {
  const sets = new Map<string, string>();
  const chains = new Map<string, string>();
  let into = sets;
  let name: string | null = null;
  let lines: string[] = [];
  for (const line of text.split('\n')) {
    const opening = BLOCK.exec(line);
    if (opening !== null) {
      into = opening[1] === 'chain' ? chains : sets;
      name = opening[2] as string;
      lines = [line];
    } else if (name !== null) {
      lines.push(line);
      if (line === '\t}') {
        into.set(name, lines.join('\n'));
        name = null;
      }
    }
  }
  return { sets, chains };
};

/** ICMP types and codes have names in nft's JSON (`nft describe icmp type`); keys have numbers. */
const icmpNumbers: Readonly<Record<string, string>> = {
  'echo-reply': '0',
  'destination-unreachable': '3',
  'source-quench': '4',
  redirect: '5',
  'echo-request': '8',
  'router-advertisement': '9',
  'router-solicitation': '10',
  'time-exceeded': '11',
  'parameter-problem': '12',
  'timestamp-request': '13',
  'timestamp-reply': '14',
  'info-request': '15',
  'info-reply': '16',
  'address-mask-request': '17',
  'address-mask-reply': '18',
  'net-unreachable': '0',
  'host-unreachable': '1',
  'prot-unreachable': '2',
  'port-unreachable': '3',
  'frag-needed': '4',
  'net-prohibited': '9',
  'host-prohibited': '10',
  'admin-prohibited': '13',
};

type Json = string | number | { readonly [key: string]: unknown };

const plain = (value: Json): string => {
  const text = String(value);
  return icmpNumbers[text] ?? text;
};

const part = (value: Json, type: string): string => {
  if (typeof value !== 'object') return type === 'ifname' ? `"${value}"` : plain(value);
  const { range, prefix } = value as {
    readonly range?: readonly [Json, Json];
    readonly prefix?: { readonly addr: string; readonly len: number };
  };
  if (prefix !== undefined) return addressText(prefixInterval(`${prefix.addr}/${prefix.len}`));
  if (range !== undefined) return `${plain(range[0])}-${plain(range[1])}`;
  return JSON.stringify(value);
};

const concatenation = (value: Json, types: readonly string[]): string => {
  const parts =
    typeof value === 'object' && Array.isArray(value['concat'])
      ? (value['concat'] as readonly Json[])
      : [value];
  return parts.map((one, index) => part(one, types[index] ?? '')).join(' . ');
};

const verdict = (value: Json): string => {
  if (typeof value !== 'object') return String(value);
  for (const name of ['goto', 'jump']) {
    const target = value[name] as { readonly target?: string } | undefined;
    if (target?.target !== undefined) return `${name} ${target.target}`;
  }
  return Object.keys(value)[0] ?? '';
};

/** What one element counted. */
export interface ElementCount {
  readonly packets: number;
  readonly bytes: number;
}

const asList = (type: unknown): readonly string[] =>
  Array.isArray(type) ? (type as string[]) : String(type).split(' . ');

interface ListedSet {
  readonly name: string;
  readonly type: unknown;
  readonly map?: unknown;
  readonly elem?: readonly unknown[];
}

/** Calls `visit` for every element of every listed set: its key, its value (`""` in sets) and what it counted. */
export const visitElements = (
  objects: readonly NftObject[],
  visit: (set: string, key: string, value: string, count: ElementCount | null) => void,
): void => {
  for (const object of objects) {
    const { set, map } = object as unknown as { readonly set?: ListedSet; readonly map?: ListedSet };
    const listed = set ?? map;
    if (listed?.elem === undefined) continue;
    const types = asList(listed.type);
    const valueTypes = asList(listed.map);
    for (const element of listed.elem) {
      const [left, right] = map === undefined ? [element, undefined] : (element as readonly unknown[]);
      const body = (left as { readonly elem?: { readonly val: Json; readonly counter?: ElementCount } }).elem;
      const key = concatenation((body?.val ?? left) as Json, types);
      const value =
        right === undefined
          ? ''
          : valueTypes[0] === 'verdict'
            ? verdict(right as Json)
            : concatenation(right as Json, valueTypes);
      visit(listed.name, key, value, body?.counter ?? null);
    }
  }
};
