/** Statements of a rule as nft text. */
import {
  binaryOf,
  counterText,
  elementText,
  expressionText,
  kindOf,
  mapText,
  verdictText,
} from './expression-text.ts';
import { RenderError } from './render-error.ts';
import type {
  Expression,
  Limit,
  Log,
  LogFlag,
  MatchOperator,
  Nat,
  NatFlag,
  PortNat,
  Reject,
  Statement,
} from './types.ts';
import { checkedName, decimal, quoted, quotedInterface, schemaWord, valueWord } from './words.ts';

function many<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

/** For these an implicit comparison means "has any of"; nft prints it with the operator `in`. */
export function comparesFlags(left: Expression): boolean {
  if (typeof left !== 'object') return false;
  if ('ct' in left) return ['state', 'status', 'event', 'label'].includes(left.ct.key);
  return (
    'payload' in left &&
    'protocol' in left.payload &&
    left.payload.protocol === 'tcp' &&
    left.payload.field === 'flags'
  );
}

function matchText(op: MatchOperator, left: Expression, right: Expression): string {
  const leftText = expressionText(left);
  const lookup =
    (typeof right === 'string' && right.startsWith('@')) || (typeof right === 'object' && 'set' in right);
  if (typeof right === 'boolean') {
    if (op !== '==') throw new RenderError('value', 'exists and missing are compared with ==');
    return `${leftText} ${right ? 'exists' : 'missing'}`;
  }
  const explicit =
    op === 'in'
      ? ''
      : op !== '==' || (!lookup && (comparesFlags(left) || binaryOf(left) !== undefined))
        ? `${op} `
        : '';
  // After an operator a list of flags is one value: (syn | ack).
  return `${leftText} ${explicit}${expressionText(right, kindOf(left), explicit !== '')}`;
}

function flagsText(flags: NatFlag | readonly NatFlag[] | undefined): string {
  const shown = flags === undefined ? [] : many(flags).filter((flag) => flag !== 'netmap');
  return shown.length === 0 ? '' : ` ${shown.map(schemaWord).join(',')}`;
}

/** An address before a port: IPv6 in brackets. */
function addressText(addr: Expression): string {
  if (typeof addr === 'string')
    return addr.includes(':') ? `[${expressionText(addr)}]` : expressionText(addr);
  if (typeof addr === 'object' && 'range' in addr) return addr.range.map(addressText).join('-');
  return expressionText(addr);
}

function natText(word: 'dnat' | 'snat', nat: Nat): string {
  const { family, addr, port, flags, type_flags } = nat;
  if (addr === undefined && port === undefined)
    throw new RenderError('value', `${word} needs an address or a port`);
  let text = word as string;
  if (family !== undefined) text += ` ${family}`;
  if (type_flags !== undefined) {
    for (const flag of many(type_flags)) if (flag !== 'concat') text += ` ${schemaWord(flag)}`;
  }
  text += ' to ';
  if (addr !== undefined) text += port === undefined ? expressionText(addr) : addressText(addr);
  if (port !== undefined) text += `:${expressionText(port)}`;
  return text + flagsText(flags);
}

function portNatText(word: 'masquerade' | 'redirect', nat: PortNat | null): string {
  const port = nat?.port === undefined ? '' : ` to :${expressionText(nat.port)}`;
  return `${word}${port}${flagsText(nat?.flags)}`;
}

function limitText(limit: Limit): string {
  const { rate, rate_unit, per, burst, burst_unit, inv } = limit;
  const unit = rate_unit === undefined || rate_unit === 'packets' ? '' : ` ${schemaWord(rate_unit)}`;
  const burstText = burst
    ? ` burst ${decimal(burst)} ${unit === '' ? 'packets' : schemaWord(burst_unit ?? 'bytes')}`
    : '';
  return `limit rate ${inv ? 'over ' : ''}${decimal(rate)}${unit}/${schemaWord(per)}${burstText}`;
}

function logFlagsText(flags: readonly LogFlag[]): string {
  const tcp = flags.filter((flag) => flag.startsWith('tcp ')).map((flag) => flag.slice(4));
  const others = flags.filter((flag) => !flag.startsWith('tcp ')).map(schemaWord);
  return [...(tcp.length === 0 ? [] : [`tcp ${tcp.join(',')}`]), ...others]
    .map((flag) => ` flags ${flag}`)
    .join('');
}

function logText(log: Log | null): string {
  if (log === null) return 'log';
  let text = 'log';
  if (log.prefix !== undefined) {
    // nft expands $variables inside a log prefix, and nowhere else.
    if (log.prefix.includes('$'))
      throw new RenderError('string', `a log prefix cannot hold "$": ${JSON.stringify(log.prefix)}`);
    text += ` prefix ${quoted(log.prefix)}`;
  }
  if (log.level !== undefined) text += ` level ${schemaWord(log.level)}`;
  if (log.group !== undefined) text += ` group ${decimal(log.group, 65535)}`;
  if (log.snaplen !== undefined) text += ` snaplen ${decimal(log.snaplen)}`;
  if (log['queue-threshold'] !== undefined)
    text += ` queue-threshold ${decimal(log['queue-threshold'], 65535)}`;
  return log.flags === undefined ? text : text + logFlagsText(many(log.flags));
}

function rejectText(reject: Reject | null): string {
  if (reject === null || reject.type === undefined) return 'reject';
  if (reject.type === 'tcp reset') return 'reject with tcp reset';
  return 'expr' in reject && reject.expr !== undefined
    ? `reject with ${reject.type} ${schemaWord(reject.expr)}`
    : `reject with ${reject.type}`;
}

function setName(reference: string): string {
  if (!reference.startsWith('@'))
    throw new RenderError(
      'value',
      `a set statement names its set as "@name", not ${JSON.stringify(reference)}`,
    );
  return valueWord(reference);
}

/** One statement as text. Throws {@link RenderError}. */
export function statementText(statement: Statement): string {
  if ('match' in statement) return matchText(statement.match.op, statement.match.left, statement.match.right);
  if ('vmap' in statement)
    return `${expressionText(statement.vmap.key)} vmap ${mapText(statement.vmap.key, statement.vmap.data)}`;
  if ('counter' in statement) {
    return typeof statement.counter === 'string'
      ? `counter name ${quoted(checkedName(statement.counter))}`
      : counterText(statement.counter);
  }
  if ('mangle' in statement) {
    const { key, value } = statement.mangle;
    return `${expressionText(key)} set ${expressionText(value, kindOf(key))}`;
  }
  if ('dnat' in statement) return natText('dnat', statement.dnat);
  if ('snat' in statement) return natText('snat', statement.snat);
  if ('masquerade' in statement) return portNatText('masquerade', statement.masquerade);
  if ('redirect' in statement) return portNatText('redirect', statement.redirect);
  if ('limit' in statement) return limitText(statement.limit);
  if ('log' in statement) return logText(statement.log);
  if ('reject' in statement) return rejectText(statement.reject);
  if ('notrack' in statement) return 'notrack';
  if ('quota' in statement) {
    const { val, val_unit, inv } = statement.quota;
    return `quota ${inv ? 'over ' : ''}${decimal(val)} ${schemaWord(val_unit)}`;
  }
  if ('tproxy' in statement) return natText('dnat', statement.tproxy).replace('dnat', 'tproxy');
  if ('dup' in statement) {
    const { addr, dev } = statement.dup;
    // In a netdev table the "address" is a device.
    const target =
      typeof addr === 'string' && !/[.:]/.test(addr) ? quotedInterface(addr) : expressionText(addr);
    return `dup to ${target}${dev === undefined ? '' : ` device ${expressionText(dev, 'interface')}`}`;
  }
  if ('fwd' in statement) {
    const { dev, family, addr } = statement.fwd;
    const device = expressionText(dev, 'interface');
    return addr === undefined
      ? `fwd to ${device}`
      : `fwd ${family ?? 'ip'} to ${expressionText(addr)} device ${device}`;
  }
  if ('set' in statement) {
    const { op, elem, set, stmt } = statement.set;
    const statements = (stmt ?? []).map((each) => ` ${statementText(each)}`).join('');
    return `${op} ${setName(set)} { ${elementText(elem)}${statements} }`;
  }
  if ('map' in statement) {
    const { op, elem, data, map } = statement.map;
    return `${op} ${setName(map)} { ${elementText(elem)} : ${expressionText(data)} }`;
  }
  if ('ct count' in statement)
    return `ct count ${statement['ct count'].inv ? 'over ' : ''}${decimal(statement['ct count'].val)}`;
  return verdictText(statement);
}
