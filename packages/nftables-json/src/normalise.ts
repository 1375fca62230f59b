/** The form in which two rulesets are compared: what was wanted and what is listed. Pure. */
import { elementText, isList, numberRange } from './expression-text.ts';
import { keyOf } from './render-text.ts';
import { columnsOf, columnsOfType, hasSymbols, levelled, levelledItem } from './symbols.ts';
import { withoutUnlisted } from './unlisted.ts';
import type {
  Chain,
  ElementBody,
  ElementKey,
  Expression,
  MatchOperator,
  NftMap,
  NftObject,
  NftSet,
  SetItem,
  Statement,
} from './types.ts';

function body(element: ElementBody): ElementKey {
  const { expires: _left, counter, val, ...kept } = element;
  const rest = counter === undefined ? kept : { ...kept, counter: null };
  return Object.keys(rest).length === 0 ? expression(val) : { elem: { val: expression(val), ...rest } };
}

function key(item: ElementKey): ElementKey {
  return typeof item === 'object' && 'elem' in item ? body(item.elem) : expression(item as Expression);
}

function item(each: SetItem): SetItem {
  return Array.isArray(each) ? [key(each[0]), expression(each[1])] : key(each as ElementKey);
}

function sorted(items: readonly SetItem[]): SetItem[] {
  const keyed = items.map((each) => [elementText(keyOf(each)), item(each)] as const);
  return keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, each]) => each);
}

function expression(value: Expression): Expression {
  if (typeof value !== 'object') return value;
  if (isList(value)) {
    const parts = value.map(expression);
    // Lists of flags have no order of their own.
    return parts.every((part) => typeof part === 'string') ? (parts as string[]).sort() : parts;
  }
  if ('prefix' in value) {
    const { addr, len } = value.prefix;
    return typeof addr === 'number' ? { range: numberRange(addr, len) } : value;
  }
  if ('set' in value) return { set: sorted(value.set) };
  if ('concat' in value) return { concat: value.concat.map(expression) };
  if ('map' in value) {
    const { key: selector, data } = value.map;
    return {
      map: { key: expression(selector), data: expression(levelled(data, columnsOf(selector), false)) },
    };
  }
  if ('|' in value) {
    const [left, right] = value['|'].map(expression);
    // nft folds (x & mask) | bits into x & (mask | bits) | bits.
    if (
      typeof left === 'object' &&
      '&' in left &&
      typeof right === 'number' &&
      typeof left['&'][1] === 'number'
    ) {
      return {
        '|': [{ '&': [left['&'][0] as Expression, Number(BigInt(left['&'][1]) | BigInt(right))] }, right],
      };
    }
    const parts = value['|'].map(expression);
    return parts.every((part) => typeof part === 'string') ? (parts as string[]).sort() : { '|': parts };
  }
  if ('&' in value) return { '&': value['&'].map(expression) };
  return value;
}

function flagList(flags: string | readonly string[] | undefined): readonly string[] {
  return flags === undefined ? [] : typeof flags === 'string' ? [flags] : [...flags].sort();
}

function withFlags<T extends { readonly flags?: unknown }>(value: T): T {
  const { flags, ...rest } = value;
  const list = flagList(flags as string | readonly string[] | undefined);
  return (list.length === 0 ? rest : { ...rest, flags: list.length === 1 ? list[0] : list }) as T;
}

function statement(value: Statement): Statement {
  if ('counter' in value) return typeof value.counter === 'string' ? value : { counter: null };
  if ('match' in value) {
    const { op, left, right } = value.match;
    const level = levelled(right, columnsOf(left), false);
    return { match: contiguous({ op, left: expression(left), right: expression(single(level)) }) };
  }
  if ('vmap' in value) {
    const { key, data } = value.vmap;
    return { vmap: { key: expression(key), data: expression(levelled(data, columnsOf(key), false)) } };
  }
  if ('mangle' in value)
    return { mangle: { key: expression(value.mangle.key), value: expression(value.mangle.value) } };
  if ('limit' in value) {
    const { burst, rate_unit, burst_unit, inv, ...rest } = value.limit;
    const packets = rate_unit === undefined || rate_unit === 'packets';
    // Five packets are the default, and bytes of no burst mean nothing.
    const kept =
      burst && !(packets && burst === 5)
        ? { burst, ...(packets ? {} : { burst_unit: burst_unit ?? 'bytes' }) }
        : {};
    return {
      limit: { ...rest, ...(packets ? {} : { rate_unit }), ...(inv === true ? { inv } : {}), ...kept },
    } as Statement;
  }
  if ('quota' in value) {
    const { used: _used, used_unit: _unit, ...rest } = value.quota;
    return { quota: rest };
  }
  if ('log' in value) {
    if (value.log === null) return value;
    const { level, ...rest } = value.log;
    const log = withFlags(level === undefined || level === 'warn' ? rest : { ...rest, level });
    return { log: Object.keys(log).length === 0 ? null : log };
  }
  if ('masquerade' in value)
    return { masquerade: value.masquerade === null ? null : withFlags(value.masquerade) };
  if ('redirect' in value) return { redirect: value.redirect === null ? null : withFlags(value.redirect) };
  if ('dnat' in value) return { dnat: nat(value.dnat) };
  if ('snat' in value) return { snat: nat(value.snat) };
  return value;
}

type Match = { readonly op: MatchOperator; readonly left: Expression; readonly right: Expression };

/** nft lists a comparison under a mask of leading ones as a prefix, which is a range; under a mask of ones as plain. */
function contiguous(match: Match): Match {
  const { op, left, right } = match;
  if (typeof left !== 'object' || !('&' in left) || typeof right !== 'number') return match;
  const [key, mask] = left['&'];
  if (key === undefined || typeof mask !== 'number' || mask === 0) return match;
  const hosts = 0xffffffff - mask;
  // One less than a power of two: the ones lead. A value outside the mask never matches, and stays as it is.
  if (!Number.isInteger(Math.log2(hosts + 1)) || right % (hosts + 1) !== 0) return match;
  return { op, left: key, right: hosts === 0 ? right : { range: [right, right + hosts] } };
}

/** nft takes a set of one value for the value, unless it is a concatenation. */
function single(right: Expression): Expression {
  if (typeof right !== 'object' || !('set' in right) || right.set.length !== 1) return right;
  const [only] = right.set;
  if (
    only === undefined ||
    isList(only) ||
    (typeof only === 'object' && ('elem' in only || 'concat' in only))
  )
    return right;
  return only as Expression;
}

function nat<T extends { readonly addr?: Expression; readonly flags?: unknown }>(value: T): T {
  const flagged = withFlags(value);
  return flagged.addr === undefined ? flagged : { ...flagged, addr: expression(flagged.addr) };
}

function set<T extends NftSet | NftMap>(value: T): T {
  const { flags, elem, handle: _handle, stmt, ...rest } = value;
  const kept = [...(flags ?? [])].sort();
  const columns = columnsOfType(value.type);
  const items = hasSymbols(columns) ? elem?.map((each) => levelledItem(each, columns, false)) : elem;
  return {
    ...rest,
    ...(kept.length === 0 ? {} : { flags: kept }),
    ...(stmt === undefined ? {} : { stmt: stmt.map(statement) }),
    ...(items === undefined || items.length === 0 ? {} : { elem: sorted(items) }),
  } as unknown as T;
}

function chain(value: Chain): Chain {
  const { handle: _handle, ...rest } = value;
  // The kernel's policy of a base chain is accept unless told.
  return rest.hook === undefined ? rest : { ...rest, policy: rest.policy ?? 'accept' };
}

// What refers comes after what it refers to: in this order a ruleset loads.
const order = ['table', 'counter', 'chain', 'set', 'map', 'rule', 'element'] as const;

/** What {@link normalise} keeps. */
export type NormaliseOptions = {
  /** Keep what 1.0.6 lists as text only; for listings made with `complete`. Default false. */
  readonly complete?: boolean;
};

/**
 * The objects in the form in which wanted and listed rulesets are compared with deep equality. What it levels:
 *
 * - gone, because they are states and not intent: handles, counter values, what is left of timeouts, used quota
 * - gone unless `complete`, because 1.0.6 does not list them in JSON: comments of tables and chains, devices of chains, the set flag
 *   `dynamic`, `auto-merge`
 * - defaults: policy accept, log level warn, burst of five packets
 * - order: kinds (tables, counters, chains, sets, maps, rules), names within a kind, elements, flags. Rules keep theirs.
 * - `(x & mask) | bits` is written as nft folds it
 * - ICMP types and codes are numbers, well-known protocols names
 * - a set of one value is the value; a prefix of numbers is a range, and so is a mask of leading ones
 *
 * Elements given as objects of their own are put into their sets. What it does not level, because only nft's own evaluation
 * knows: matches nft leaves out as implied (`meta nfproto ipv4` before `ip saddr`, `ether type arp` before `arp ...`),
 * ranges that are prefixes, addresses not in canonical text.
 */
export function normalise(given: readonly NftObject[], options: NormaliseOptions = {}): NftObject[] {
  const objects = options.complete === true ? given : given.map(withoutUnlisted);
  const elements = new Map<string, SetItem[]>();
  const place = (at: { readonly family: string; readonly table: string; readonly name: string }) =>
    `${at.family} ${at.table} ${at.name}`;
  for (const object of objects) {
    if (!('element' in object)) continue;
    const at = place(object.element);
    elements.set(at, [...(elements.get(at) ?? []), ...object.element.elem]);
  }
  const merged = <T extends NftSet>(value: T): T => {
    const more = elements.get(place(value));
    if (more === undefined) return set(value);
    elements.delete(place(value));
    return set({ ...value, elem: [...(value.elem ?? []), ...more] });
  };
  const result: NftObject[] = [];
  for (const object of objects) {
    if ('table' in object) {
      const { handle: _handle, ...table } = object.table;
      result.push({ table });
    }
    if ('chain' in object) result.push({ chain: chain(object.chain) });
    else if ('rule' in object) {
      const { handle: _handle, index: _index, expr, ...rest } = object.rule;
      result.push({ rule: { ...rest, expr: expr.map(statement) } });
    } else if ('set' in object) result.push({ set: merged(object.set) });
    else if ('map' in object) result.push({ map: merged(object.map) });
    else if ('counter' in object) {
      const { handle: _handle, packets: _packets, bytes: _bytes, ...rest } = object.counter;
      result.push({ counter: rest });
    }
  }
  for (const object of objects) {
    if ('element' in object && elements.delete(place(object.element))) {
      result.push({ element: { ...object.element, elem: sorted(object.element.elem) } });
    }
  }
  const rank = (object: NftObject): string => {
    const kind = order.findIndex((each) => each in object);
    if ('rule' in object) return `${kind} ${object.rule.family} ${object.rule.table} ${object.rule.chain}`;
    if ('table' in object) return `${kind} ${object.table.family} ${object.table.name}`;
    return `${kind} ${place(Object.values(object)[0] as { family: string; table: string; name: string })}`;
  };
  return result
    .map((object) => [rank(object), object] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, object]) => object);
}
