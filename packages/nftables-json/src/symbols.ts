/**
 * Names nft prints for numbers: ICMP types and codes, protocols. In ranges 1.0.6 prints names in JSON that its own text cannot
 * read back, so there they become numbers at once. Pure.
 */
import { isList } from './expression-text.ts';
import type { ElementKey, Expression, KeyType, SetItem } from './types.ts';

const numbers: Record<string, Record<string, number>> = {
  icmp_type: {
    'echo-reply': 0,
    'destination-unreachable': 3,
    'source-quench': 4,
    redirect: 5,
    'echo-request': 8,
    'router-advertisement': 9,
    'router-solicitation': 10,
    'time-exceeded': 11,
    'parameter-problem': 12,
    'timestamp-request': 13,
    'timestamp-reply': 14,
    'info-request': 15,
    'info-reply': 16,
    'address-mask-request': 17,
    'address-mask-reply': 18,
  },
  icmp_code: {
    'net-unreachable': 0,
    'host-unreachable': 1,
    'prot-unreachable': 2,
    'port-unreachable': 3,
    'frag-needed': 4,
    'net-prohibited': 9,
    'host-prohibited': 10,
    'admin-prohibited': 13,
  },
  icmpv6_type: {
    'destination-unreachable': 1,
    'packet-too-big': 2,
    'time-exceeded': 3,
    'parameter-problem': 4,
    'echo-request': 128,
    'echo-reply': 129,
    'mld-listener-query': 130,
    'mld-listener-report': 131,
    'mld-listener-done': 132,
    'mld-listener-reduction': 132,
    'nd-router-solicit': 133,
    'nd-router-advert': 134,
    'nd-neighbor-solicit': 135,
    'nd-neighbor-advert': 136,
    'nd-redirect': 137,
    'router-renumbering': 138,
    'ind-neighbor-solicit': 141,
    'ind-neighbor-advert': 142,
    'mld2-listener-report': 143,
  },
  icmpv6_code: {
    'no-route': 0,
    'admin-prohibited': 1,
    'addr-unreachable': 3,
    'port-unreachable': 4,
    'policy-fail': 5,
    'reject-route': 6,
  },
};

/** As in Debian's /etc/protocols, which nft asks. */
const protocols: Record<number, string> = {
  1: 'icmp',
  2: 'igmp',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  47: 'gre',
  50: 'esp',
  51: 'ah',
  58: 'ipv6-icmp',
  89: 'ospf',
  112: 'vrrp',
  132: 'sctp',
  136: 'udplite',
};

type Columns = readonly (string | undefined)[];

/** The types of a set's key, column by column. */
export function columnsOfType(type: KeyType): Columns {
  return typeof type === 'string' ? [type] : type;
}

/** The types of what stands on the left of a comparison, where they matter here. */
export function columnsOf(left: Expression): Columns {
  if (typeof left !== 'object' || isList(left)) return [undefined];
  if ('concat' in left) return left.concat.flatMap(columnsOf);
  if ('meta' in left) return [left.meta.key === 'l4proto' ? 'inet_proto' : undefined];
  if (!('payload' in left) || !('protocol' in left.payload)) return [undefined];
  const { protocol, field } = left.payload;
  if (protocol === 'icmp' || protocol === 'icmpv6') return [`${protocol}_${field}`];
  return [
    (protocol === 'ip' && field === 'protocol') || (protocol === 'ip6' && field === 'nexthdr')
      ? 'inet_proto'
      : undefined,
  ];
}

function numberOf(value: Expression, column: string | undefined): Expression {
  return (typeof value === 'string' && column !== undefined ? numbers[column]?.[value] : undefined) ?? value;
}

function word(value: string | number, column: string | undefined): Expression {
  if (column === 'inet_proto')
    return typeof value === 'number' ? (protocols[value] ?? value) : value === 'icmpv6' ? 'ipv6-icmp' : value;
  return numberOf(value, column);
}

/**
 * `value` with numbers for the names of ICMP and names for the numbers of protocols; with `rangesOnly`, just the ends of ranges
 * become numbers.
 */
export function levelled(value: Expression, columns: Columns, rangesOnly: boolean): Expression {
  if (typeof value === 'string' || typeof value === 'number')
    return rangesOnly ? value : word(value, columns[0]);
  if (typeof value !== 'object') return value;
  if (isList(value))
    return (value as readonly Expression[]).map((each) => levelled(each, columns, rangesOnly));
  if ('concat' in value)
    return { concat: value.concat.map((each, at) => levelled(each, [columns[at]], rangesOnly)) };
  if ('range' in value)
    return { range: [numberOf(value.range[0], columns[0]), numberOf(value.range[1], columns[0])] };
  if ('set' in value) return { set: value.set.map((each) => levelledItem(each, columns, rangesOnly)) };
  return value;
}

function levelledKey(key: ElementKey, columns: Columns, rangesOnly: boolean): ElementKey {
  if (typeof key !== 'object' || isList(key) || !('elem' in key))
    return levelled(key as Expression, columns, rangesOnly);
  return { elem: { ...key.elem, val: levelled(key.elem.val, columns, rangesOnly) } };
}

/** The same for an element: its key. */
export function levelledItem(item: SetItem, columns: Columns, rangesOnly: boolean): SetItem {
  if (isList(item)) return [levelledKey(item[0] as ElementKey, columns, rangesOnly), item[1] as Expression];
  return levelledKey(item as ElementKey, columns, rangesOnly);
}

const levelledTypes: ReadonlySet<string> = new Set(['inet_proto', ...Object.keys(numbers)]);

/** True when a column of the type has names to level: most sets have none, and need not be walked. */
export function hasSymbols(columns: Columns): boolean {
  return columns.some((column) => column !== undefined && levelledTypes.has(column));
}
