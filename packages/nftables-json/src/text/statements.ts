/** Reads statements of nft text as {@link renderText} writes it. Pure. */
import { isList } from '../expression-text.ts';
import { comparesFlags } from '../statement-text.ts';
import type {
  Limit,
  Log,
  LogFlag,
  MatchOperator,
  Nat,
  NatFlag,
  PortNat,
  Reject,
  Statement,
} from '../types.ts';
import {
  atom,
  beginsSelector,
  concatenated,
  elementBody,
  mapData,
  rightSide,
  selector,
  valueOf,
  verdictOf,
} from './expressions.ts';
import type { TokenReader } from './tokens.ts';

const natFlags: ReadonlySet<string> = new Set(['random', 'fully-random', 'persistent']);

function one<T>(list: readonly T[]): T | readonly T[] {
  return list.length === 1 ? (list[0] as T) : list;
}

function flags(reader: TokenReader): { readonly flags?: NatFlag | readonly NatFlag[] } {
  if (!natFlags.has(reader.peek().text) || reader.peek().kind !== 'word') return {};
  const list: NatFlag[] = [];
  do list.push(reader.word() as NatFlag);
  while (reader.accept(','));
  return { flags: one(list) };
}

// "1.2.3.4:80-90", "[fd00::1]:80", "[fd00::1]-[fd00::5]:80", ":80", "1.2.3.4-1.2.3.9:80", or either alone.
const targetPattern = /^(?:(\[[^\]]+\](?:-\[[^\]]+\])?|[0-9.]+(?:-[0-9.]+)?)?:([0-9]+(?:-[0-9]+)?)|(.+))$/;

function target(word: string): Pick<Nat, 'addr' | 'port'> {
  const found = targetPattern.exec(word);
  const whole = found?.[3];
  if (found === null || (whole !== undefined && !whole.startsWith('['))) return { addr: valueOf(word) };
  if (whole !== undefined) return { addr: valueOf(whole.replaceAll(/[[\]]/g, '')) };
  const port = { port: valueOf(found[2] as string) };
  return found[1] === undefined ? port : { addr: valueOf(found[1].replaceAll(/[[\]]/g, '')), ...port };
}

function nat(reader: TokenReader): Nat {
  const family = reader.is('ip') || reader.is('ip6') ? { family: reader.word() as 'ip' } : {};
  const netmap = reader.accept('prefix');
  const interval = !netmap && reader.accept('interval');
  reader.expect('to');
  let to: Pick<Nat, 'addr' | 'port'>;
  if (beginsSelector(reader)) {
    to = { addr: selector(reader) };
    // A port follows the map without a blank: "... map @m:80" is one word, "{ ... }:80" two.
    const map = typeof to.addr === 'object' && !isList(to.addr) && 'map' in to.addr ? to.addr.map : undefined;
    const joined = typeof map?.data === 'string' ? /^(@[a-z0-9_]+):(.+)$/.exec(map.data) : null;
    if (map !== undefined && joined !== null) {
      to = { addr: { map: { key: map.key, data: joined[1] as string } }, port: valueOf(joined[2] as string) };
    } else if (reader.peek().kind === 'word' && reader.peek().text.startsWith(':')) {
      to = { ...to, port: valueOf(reader.word().slice(1)) };
    }
  } else to = target(reader.word());
  const given = flags(reader);
  if (netmap) return { ...family, ...to, flags: 'netmap', type_flags: 'prefix' };
  return { ...family, ...to, ...given, ...(interval ? { type_flags: 'interval' } : {}) };
}

function portNat(reader: TokenReader): PortNat | null {
  const port = reader.accept('to') ? { port: valueOf(reader.word().slice(1)) } : {};
  const all = { ...port, ...flags(reader) };
  return Object.keys(all).length === 0 ? null : all;
}

function limit(reader: TokenReader): Limit {
  reader.expect('rate');
  const inv = reader.accept('over') ? { inv: true } : {};
  const first = reader.word();
  const [amount, direct] = first.split('/');
  if (direct !== undefined) {
    const burst = reader.accept('burst') ? { burst: reader.number() } : {};
    if ('burst' in burst) reader.expect('packets');
    return { rate: Number(amount), ...burst, per: direct as Limit['per'], ...inv };
  }
  const [unit, per] = reader.word().split('/');
  const burst = reader.accept('burst')
    ? { burst: reader.number(), burst_unit: reader.word() as 'bytes' }
    : {};
  return { rate: Number(amount), rate_unit: unit as 'bytes', per: per as Limit['per'], ...burst, ...inv };
}

function log(reader: TokenReader): Log | null {
  let result: Log = {};
  const found: LogFlag[] = [];
  for (;;) {
    if (reader.accept('prefix')) result = { ...result, prefix: reader.string() };
    else if (reader.accept('level')) result = { ...result, level: reader.word() as 'warn' };
    else if (reader.accept('group')) result = { ...result, group: reader.number() };
    else if (reader.accept('snaplen')) result = { ...result, snaplen: reader.number() };
    else if (reader.accept('queue-threshold')) result = { ...result, 'queue-threshold': reader.number() };
    else if (reader.accept('flags')) {
      if (reader.accept('tcp')) {
        do found.push(`tcp ${reader.word()}` as LogFlag);
        while (reader.accept(','));
      } else if (reader.accept('ip')) found.push(`ip ${reader.word()}` as LogFlag);
      else found.push(reader.word() as LogFlag);
    } else break;
  }
  if (found.length > 0) result = { ...result, flags: one(found) };
  return Object.keys(result).length === 0 ? null : result;
}

function reject(reader: TokenReader): Reject | null {
  if (!reader.accept('with')) return null;
  if (reader.accept('tcp')) {
    reader.expect('reset');
    return { type: 'tcp reset' };
  }
  return { type: reader.word() as 'icmp', expr: reader.word() };
}

function counter(reader: TokenReader): Statement {
  if (reader.accept('name')) return { counter: reader.string() };
  if (!reader.accept('packets')) return { counter: null };
  const packets = reader.number();
  reader.expect('bytes');
  return { counter: { packets, bytes: reader.number() } };
}

function dynamic(reader: TokenReader, op: 'add' | 'update' | 'delete'): Statement {
  const name = reader.word();
  reader.expect('{');
  const elem = elementBody(reader, selector(reader), false);
  const statements: Statement[] = [];
  while (!reader.is(':') && !reader.is('}')) statements.push(statement(reader));
  const data = reader.accept(':')
    ? beginsSelector(reader)
      ? selector(reader)
      : concatenated(reader)
    : undefined;
  reader.expect('}');
  if (data !== undefined) return { map: { op, elem, data, map: name } };
  return { set: { op, elem, set: name, ...(statements.length === 0 ? {} : { stmt: statements }) } };
}

function device(reader: TokenReader): string {
  return reader.string();
}

/** One statement. */
export function statement(reader: TokenReader): Statement {
  const verdict = verdictOf(reader);
  if (verdict !== undefined) return verdict;
  const { text } = reader.peek();
  if (text === 'ct' && reader.is('count', 1)) {
    reader.take();
    reader.take();
    const inv = reader.accept('over') ? { inv: true } : {};
    return { 'ct count': { val: reader.number(), ...inv } };
  }
  switch (reader.peek().kind === 'word' ? text : '') {
    case 'counter':
      return reader.take() && counter(reader);
    case 'limit':
      return reader.take() && { limit: limit(reader) };
    case 'quota': {
      reader.take();
      const inv = reader.accept('over') ? { inv: true } : {};
      return { quota: { val: reader.number(), val_unit: reader.word(), ...inv } };
    }
    case 'log':
      return reader.take() && { log: log(reader) };
    case 'reject':
      return reader.take() && { reject: reject(reader) };
    case 'notrack':
      return reader.take() && { notrack: null };
    case 'dnat':
      return reader.take() && { dnat: nat(reader) };
    case 'snat':
      return reader.take() && { snat: nat(reader) };
    case 'tproxy':
      return reader.take() && { tproxy: nat(reader) as { readonly addr: string } };
    case 'masquerade':
      return reader.take() && { masquerade: portNat(reader) };
    case 'redirect':
      return reader.take() && { redirect: portNat(reader) };
    case 'dup': {
      reader.take();
      reader.expect('to');
      const addr = beginsSelector(reader) ? selector(reader) : atom(reader);
      return { dup: reader.accept('device') ? { addr, dev: device(reader) } : { addr } };
    }
    case 'fwd': {
      reader.take();
      const family = reader.is('ip') || reader.is('ip6') ? (reader.word() as 'ip') : undefined;
      reader.expect('to');
      if (family === undefined) return { fwd: { dev: device(reader) } };
      const addr = atom(reader);
      reader.expect('device');
      return { fwd: { dev: device(reader), family, addr } };
    }
    case 'add':
    case 'update':
    case 'delete':
      return dynamic(reader, reader.word() as 'add');
    default:
      return relation(reader);
  }
}

function relation(reader: TokenReader): Statement {
  if (!beginsSelector(reader)) reader.fail('expecting a statement');
  const left = selector(reader);
  if (reader.accept('vmap')) return { vmap: { key: left, data: mapData(reader, left) } };
  if (reader.accept('set'))
    return { mangle: { key: left, value: beginsSelector(reader) ? selector(reader) : atom(reader) } };
  const explicit = ['==', '!=', '<', '>', '<=', '>='].includes(reader.peek().text)
    ? (reader.word() as MatchOperator)
    : undefined;
  const right = rightSide(reader, left);
  const lookup =
    (typeof right === 'string' && right.startsWith('@')) || (typeof right === 'object' && 'set' in right);
  const op = explicit ?? (!lookup && comparesFlags(left) ? 'in' : '==');
  return { match: { op, left, right } };
}
