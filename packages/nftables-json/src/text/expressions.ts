/** Reads expressions and elements of nft text as {@link renderText} writes it. Pure. */
import { kindOf } from '../expression-text.ts';
import type { Ct, ElementBody, ElementKey, Expression, Fib, SetItem, Verdict } from '../types.ts';
import type { TokenReader } from './tokens.ts';

const interfaceWords: ReadonlySet<string> = new Set([
  'iifname',
  'oifname',
  'iif',
  'oif',
  'ibrname',
  'obrname',
]);
const headers: ReadonlySet<string> = new Set(
  'ip ip6 tcp udp th icmp icmpv6 ether arp vlan sctp udplite dccp esp ah comp igmp'.split(' '),
);
const extensionHeaders: ReadonlySet<string> = new Set(['frag', 'hbh', 'rt0', 'rt2', 'mh', 'dst', 'srh']);
const operators: ReadonlySet<string> = new Set(['&', '|', '^', '<<', '>>']);

/** True when an expression over the packet (and not a value) begins here. */
export function beginsSelector(reader: TokenReader): boolean {
  const { kind, text } = reader.peek();
  if (kind !== 'word') return kind === 'mark' && text === '(';
  if (
    interfaceWords.has(text) ||
    ['meta', 'ct', 'fib', 'exthdr', 'jhash', 'numgen', 'socket', 'rt'].includes(text)
  )
    return true;
  if (/^@(?:ll|nh|th)$/.test(text) && reader.is(',', 1)) return true;
  return (
    (headers.has(text) || extensionHeaders.has(text)) &&
    reader.peek(1).kind === 'word' &&
    /^[a-z]/.test(reader.peek(1).text)
  );
}

/** Selectors joined by `.`, operators and `map`. */
export function selector(reader: TokenReader): Expression {
  let left = operation(reader);
  if (reader.is('.')) {
    const parts = [left];
    while (reader.accept('.')) parts.push(operation(reader));
    left = { concat: parts };
  }
  if (reader.accept('map')) return { map: { key: left, data: mapData(reader, left) } };
  return left;
}

function operation(reader: TokenReader): Expression {
  let left = operand(reader);
  while (reader.peek().kind === 'word' && operators.has(reader.peek().text)) {
    const operator = reader.take().text as '&';
    left = { [operator]: [left, operand(reader)] } as Expression;
  }
  return left;
}

function operand(reader: TokenReader): Expression {
  if (reader.accept('(')) {
    const inner = operation(reader);
    reader.expect(')');
    return flagsOf(inner);
  }
  return beginsSelector(reader) ? simpleSelector(reader) : atom(reader);
}

/** `syn | ack` in parentheses is a list of flags. */
function flagsOf(expression: Expression): Expression {
  const words: string[] = [];
  const walk = (each: Expression): boolean => {
    if (typeof each === 'string') return words.push(each) > 0;
    return typeof each === 'object' && '|' in each && each['|'].every(walk);
  };
  return typeof expression === 'object' && walk(expression) ? words : expression;
}

function simpleSelector(reader: TokenReader): Expression {
  const word = reader.word();
  if (interfaceWords.has(word)) return { meta: { key: word } };
  if (word.startsWith('@')) {
    reader.expect(',');
    const offset = reader.number();
    reader.expect(',');
    return { payload: { base: word.slice(1) as 'th', offset, len: reader.number() } };
  }
  switch (word) {
    case 'meta':
      return { meta: { key: reader.word() } };
    case 'ct': {
      const dir = reader.is('original') || reader.is('reply') ? (reader.word() as 'original') : undefined;
      let key = reader.word();
      if (dir !== undefined && (key === 'ip' || key === 'ip6')) key = `${key} ${reader.word()}`;
      return { ct: (dir === undefined ? { key } : { key, dir }) satisfies Ct };
    }
    case 'fib': {
      const flags = [reader.word()];
      while (reader.accept('.')) flags.push(reader.word());
      return { fib: { result: reader.word() as Fib['result'], flags: flags as unknown as Fib['flags'] } };
    }
    case 'exthdr':
      return { exthdr: { name: reader.word() } };
    case 'socket':
      return { socket: { key: reader.word() } };
    case 'rt': {
      const family = reader.is('ip') || reader.is('ip6') ? (reader.word() as 'ip') : undefined;
      const key = reader.word();
      return { rt: family === undefined ? { key } : { key, family } };
    }
    case 'numgen': {
      const mode = reader.word() as 'inc';
      reader.expect('mod');
      const mod = reader.number();
      return { numgen: { mode, mod, offset: reader.accept('offset') ? reader.number() : 0 } };
    }
    case 'jhash': {
      const expr = selector(reader);
      reader.expect('mod');
      const mod = reader.number();
      const seed = reader.accept('seed') ? { seed: reader.number() } : {};
      return {
        jhash: { mod, ...seed, expr, ...(reader.accept('offset') ? { offset: reader.number() } : {}) },
      };
    }
    default:
      return header(reader, word);
  }
}

function header(reader: TokenReader, protocol: string): Expression {
  const field = reader.word();
  if (extensionHeaders.has(protocol)) return { exthdr: { name: protocol, field } };
  if (protocol === 'tcp' && field === 'option') {
    const name = reader.word();
    const next = reader.peek();
    return {
      'tcp option':
        next.kind === 'word' && /^(?:size|kind|length|count|left|right|tsval|tsecr)$/.test(next.text)
          ? { name, field: reader.word() }
          : { name },
    };
  }
  const second = protocol === 'arp' && (field === 'saddr' || field === 'daddr') ? ` ${reader.word()}` : '';
  return { payload: { protocol, field: field + second } };
}

const rangePattern =
  /^([0-9][0-9.]*|[0-9a-fA-F]*:[0-9a-fA-F:.]*|0x[0-9a-f]+)-([0-9][0-9.]*|[0-9a-fA-F]*:[0-9a-fA-F:.]*|0x[0-9a-f]+)$/;

/** A value from a word: number, prefix, range, or the word itself. */
export function valueOf(word: string): Expression {
  if (/^(?:[0-9]+|0x[0-9a-f]+)$/.test(word)) return Number(word);
  const slash = /^([0-9a-fA-F.:]+)\/([0-9]+)$/.exec(word);
  if (slash !== null) return { prefix: { addr: slash[1] as string, len: Number(slash[2]) } };
  const range = rangePattern.exec(word);
  if (range !== null) return { range: [valueOf(range[1] as string), valueOf(range[2] as string)] };
  return word;
}

/** One value: quoted, bare, or a verdict. */
export function atom(reader: TokenReader): Expression {
  const { kind, text } = reader.peek();
  if (kind === 'string') return reader.string();
  if (kind !== 'word') reader.fail('expecting a value');
  const verdict = verdictOf(reader);
  if (verdict !== undefined) return verdict;
  reader.take();
  return valueOf(text);
}

/** A verdict, when one is next. */
export function verdictOf(reader: TokenReader): Verdict | undefined {
  const { kind, text } = reader.peek();
  if (kind !== 'word') return undefined;
  switch (text) {
    case 'accept':
    case 'drop':
    case 'return':
    case 'continue':
      reader.take();
      return { [text]: null } as unknown as Verdict;
    case 'jump':
    case 'goto':
      reader.take();
      return { [text]: { target: reader.name() } } as unknown as Verdict;
    default:
      return undefined;
  }
}

/** Values joined by `.`. */
export function concatenated(reader: TokenReader): Expression {
  const first = atom(reader);
  if (!reader.is('.')) return first;
  const parts = [first];
  while (reader.accept('.')) parts.push(atom(reader));
  return { concat: parts };
}

/** The right side of a match: values, lists, sets, names of sets. */
export function rightSide(reader: TokenReader, left: Expression): Expression {
  if (reader.is('{')) return { set: elements(reader) };
  if (reader.is('(')) return operand(reader);
  if (kindOf(left) === 'seconds' && /^[0-9]+s$/.test(reader.peek().text)) return reader.seconds();
  if (reader.accept('missing')) return false;
  if (reader.accept('exists')) return true;
  const first = concatenated(reader);
  if (!reader.is(',')) return first;
  const list = [first];
  while (reader.accept(',')) list.push(atom(reader));
  return list;
}

/** `@name` or `{ key : value, ... }` after `map` and `vmap`. */
export function mapData(reader: TokenReader, key: Expression): Expression {
  return rightSide(reader, key);
}

/** Options behind the key of an element. In a rule, a counter there is a statement and not the element's. */
export function elementBody(reader: TokenReader, val: Expression, counters = true): ElementKey {
  let body: ElementBody = { val };
  for (;;) {
    if (counters && reader.accept('counter')) {
      const counter = reader.accept('packets')
        ? { packets: reader.number(), bytes: (reader.expect('bytes'), reader.number()) }
        : null;
      body = { ...body, counter };
    } else if (reader.accept('timeout')) body = { ...body, timeout: reader.seconds() };
    else if (reader.accept('expires')) body = { ...body, expires: reader.seconds() };
    else if (reader.accept('comment')) body = { ...body, comment: reader.string() };
    else return Object.keys(body).length === 1 ? val : { elem: body };
  }
}

/** `{ a, b comment "c", d : e }` */
export function elements(reader: TokenReader): SetItem[] {
  reader.expect('{');
  const items: SetItem[] = [];
  do {
    const left = elementBody(reader, concatenated(reader));
    items.push(reader.accept(':') ? [left, concatenated(reader)] : left);
  } while (reader.accept(','));
  reader.expect('}');
  return items;
}
