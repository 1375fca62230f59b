/** Expressions and set elements as nft text. */
import { RenderError } from './render-error.ts';
import type { CounterValue, ElementBody, ElementKey, Expression, Payload, SetItem } from './types.ts';
import {
  checkedName,
  decimal,
  elementWord,
  quoted,
  quotedInterface,
  schemaWord,
  valueWord,
} from './words.ts';

/** Array.isArray narrows no readonly arrays; and every array has a "concat" and a "map", which the schema uses as keys. */
export function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

/** What the left side says about how the values on the right are written. */
export type ValueKind = 'plain' | 'mixed' | 'interface' | 'mark' | 'seconds' | 'quoted';

const operators = ['&', '|', '^', '<<', '>>'] as const;
type Operator = (typeof operators)[number];

/** Operator and operands of a binary expression, or undefined. */
export function binaryOf(expression: Expression): readonly [Operator, readonly Expression[]] | undefined {
  if (typeof expression !== 'object') return undefined;
  for (const operator of operators) {
    if (operator in expression)
      return [operator, (expression as Record<Operator, readonly Expression[]>)[operator]];
  }
  return undefined;
}

const interfaceKeys: ReadonlySet<string> = new Set([
  'iifname',
  'oifname',
  'iif',
  'oif',
  'ibrname',
  'obrname',
  'sdifname',
  'sdif',
]);
const bareKeys: ReadonlySet<string> = new Set(['iifname', 'oifname', 'iif', 'oif', 'ibrname', 'obrname']);

/** How values compared with `left` are written. */
export function kindOf(left: Expression): ValueKind {
  if (typeof left !== 'object') return 'plain';
  if ('meta' in left) {
    const { key } = left.meta;
    if (interfaceKeys.has(key)) return 'interface';
    if (key === 'mark') return 'mark';
    return key === 'hour' || key === 'time' || key === 'day' ? 'quoted' : 'plain';
  }
  if ('ct' in left) {
    if (left.ct.key === 'mark') return 'mark';
    return left.ct.key === 'expiration' ? 'seconds' : 'plain';
  }
  if ('concat' in left) return 'mixed';
  if ('fib' in left) return left.fib.result === 'type' ? 'plain' : 'interface';
  const operation = binaryOf(left);
  return operation?.[1][0] === undefined ? 'plain' : kindOf(operation[1][0]);
}

/**
 * First and last of a prefix of 32-bit numbers. 1.0.6 lists ranges of marks as prefixes, and reads its own text of them back
 * with the bytes of the address the other way round: they are written as ranges.
 */
export function numberRange(addr: number, len: number): readonly [number, number] {
  return [addr, addr + 2 ** (32 - Math.min(len, 32)) - 1];
}

function payloadText(payload: Payload): string {
  if ('base' in payload)
    return `@${schemaWord(payload.base)},${decimal(payload.offset)},${decimal(payload.len)}`;
  return `${schemaWord(payload.protocol)} ${schemaWord(payload.field)}`;
}

function numberText(value: number, kind: ValueKind): string {
  const text = decimal(value);
  if (kind === 'mark') return `0x${value.toString(16)}`;
  return kind === 'seconds' ? `${text}s` : text;
}

function stringText(value: string, kind: ValueKind): string {
  if (kind === 'interface') return value.startsWith('@') ? valueWord(value) : quotedInterface(value);
  return kind === 'quoted' ? quoted(value) : valueWord(value);
}

/** `expression` as text; operations inside others get parentheses. */
export function expressionText(expression: Expression, kind: ValueKind = 'plain', nested = false): string {
  if (typeof expression === 'string') return stringText(expression, kind);
  if (typeof expression === 'number') return numberText(expression, kind);
  if (typeof expression === 'boolean') return expression ? 'exists' : 'missing';
  if (Array.isArray(expression)) {
    const items = (expression as readonly Expression[]).map((item) => expressionText(item, kind, true));
    return nested ? `(${items.join(' | ')})` : items.join(',');
  }
  const operation = binaryOf(expression);
  if (operation !== undefined) {
    const [operator, operands] = operation;
    if (operands.length < 2) throw new RenderError('value', `operator ${operator} needs two operands`);
    // Numbers beside an operator are masks: hexadecimal reads better.
    const inner: ValueKind = kind === 'plain' ? 'mark' : kind;
    const text = operands.map((operand) => expressionText(operand, inner, true)).join(` ${operator} `);
    return nested ? `(${text})` : text;
  }
  return objectText(
    expression as Exclude<Expression, readonly Expression[] | string | number | boolean>,
    kind,
  );
}

function objectText(
  expression: Exclude<Expression, readonly Expression[] | string | number | boolean>,
  kind: ValueKind,
): string {
  if ('payload' in expression) return payloadText(expression.payload);
  if ('meta' in expression) {
    const key = schemaWord(expression.meta.key);
    return bareKeys.has(key) ? key : `meta ${key}`;
  }
  if ('ct' in expression) {
    const { dir, key } = expression.ct;
    return dir === undefined ? `ct ${schemaWord(key)}` : `ct ${schemaWord(dir)} ${schemaWord(key)}`;
  }
  if ('concat' in expression)
    return expression.concat.map((part) => expressionText(part, kind, true)).join(' . ');
  if ('set' in expression) return `{ ${expression.set.map((item) => anonymousItem(item, kind)).join(', ')} }`;
  if ('map' in expression) {
    const { key, data } = expression.map;
    return `${expressionText(key)} map ${mapText(key, data)}`;
  }
  if ('prefix' in expression) {
    const { addr, len } = expression.prefix;
    if (typeof addr === 'string') return `${elementWord(addr)}/${decimal(len, 128)}`;
    const [from, to] = numberRange(addr, len);
    return `${decimal(from)}-${decimal(to)}`;
  }
  if ('range' in expression) {
    return `${expressionText(expression.range[0], kind)}-${expressionText(expression.range[1], kind)}`;
  }
  if ('fib' in expression)
    return `fib ${expression.fib.flags.map(schemaWord).join(' . ')} ${schemaWord(expression.fib.result)}`;
  if ('exthdr' in expression) return withField('exthdr', expression.exthdr);
  if ('tcp option' in expression) return withField('tcp option', expression['tcp option']);
  if ('rt' in expression) {
    const { family, key } = expression.rt;
    return family === undefined ? `rt ${schemaWord(key)}` : `rt ${family} ${schemaWord(key)}`;
  }
  if ('socket' in expression) return `socket ${schemaWord(expression.socket.key)}`;
  if ('jhash' in expression) {
    const { expr, mod, seed, offset } = expression.jhash;
    const seedText = seed === undefined ? '' : ` seed 0x${seed.toString(16)}`;
    return `jhash ${expressionText(expr)} mod ${decimal(mod)}${seedText}${offset ? ` offset ${decimal(offset)}` : ''}`;
  }
  if ('numgen' in expression) {
    const { mode, mod, offset } = expression.numgen;
    return `numgen ${schemaWord(mode)} mod ${decimal(mod)}${offset ? ` offset ${decimal(offset)}` : ''}`;
  }
  return verdictText(expression);
}

function withField(word: string, header: { readonly name: string; readonly field?: string }): string {
  const name = schemaWord(header.name);
  // Fields of IPv6 extension headers are written without the word itself ("frag frag-off").
  if (header.field !== undefined)
    return word === 'exthdr'
      ? `${name} ${schemaWord(header.field)}`
      : `${word} ${name} ${schemaWord(header.field)}`;
  return `${word} ${name}`;
}

/** A verdict as text; throws {@link RenderError} `unsupported` for anything that is none. */
export function verdictText(verdict: object): string {
  if ('accept' in verdict) return 'accept';
  if ('drop' in verdict) return 'drop';
  if ('return' in verdict) return 'return';
  if ('continue' in verdict) return 'continue';
  if ('jump' in verdict) return `jump ${checkedName((verdict.jump as { readonly target: string }).target)}`;
  if ('goto' in verdict) return `goto ${checkedName((verdict.goto as { readonly target: string }).target)}`;
  throw new RenderError('unsupported', `no nft text for ${JSON.stringify(verdict).slice(0, 120)}`);
}

/** The data of `map` and `vmap`: a named map, or an anonymous one. */
export function mapText(key: Expression, data: Expression): string {
  return expressionText(data, kindOf(key));
}

// Inside the braces of a rule the left side says what the words are; a concatenation says it of none of its columns.
function anonymousItem(item: SetItem, kind: ValueKind): string {
  if (kind === 'mixed') return elementText(item);
  if (isList(item))
    return `${anonymousKey(item[0] as ElementKey, kind)} : ${elementValue(item[1] as Expression)}`;
  return anonymousKey(item as ElementKey, kind);
}

function anonymousKey(key: ElementKey, kind: ValueKind): string {
  return typeof key === 'object' && !isList(key) && ('elem' in key || 'concat' in key)
    ? elementText(key)
    : expressionText(key as Expression, kind);
}

/** Value of an element or of a map's data, written for a set whose type is not known here. */
function elementValue(value: Expression): string {
  if (typeof value === 'string') return elementWord(value);
  if (typeof value === 'number') return decimal(value);
  if (typeof value === 'object' && !isList(value)) {
    if ('concat' in value) {
      let text = '';
      for (const part of value.concat)
        text = text === '' ? elementValue(part) : `${text} . ${elementValue(part)}`;
      return text;
    }
    if ('range' in value) return `${elementValue(value.range[0])}-${elementValue(value.range[1])}`;
  }
  return expressionText(value);
}

/** `counter`, with its values when it has any. */
export function counterText(counter: CounterValue | null): string {
  if (counter === null || (counter.packets === 0 && counter.bytes === 0)) return 'counter';
  return `counter packets ${decimal(counter.packets)} bytes ${decimal(counter.bytes)}`;
}

function bodyText(body: ElementBody): string {
  let text = elementValue(body.val);
  if (body.counter !== undefined) text += ` ${counterText(body.counter)}`;
  if (body.timeout !== undefined) text += ` timeout ${decimal(body.timeout)}s`;
  if (body.expires !== undefined) text += ` expires ${decimal(body.expires)}s`;
  if (body.comment !== undefined) text += ` comment ${quoted(body.comment)}`;
  return text;
}

function keyText(key: Expression | { readonly elem: ElementBody }): string {
  return typeof key === 'object' && 'elem' in key ? bodyText(key.elem) : elementValue(key as Expression);
}

/**
 * Text of one element of a set or map, as it stands between the braces of `add element` (`198.51.100.1 . tcp . 80 :
 * 10.1.1.2 . 8080`). Hot paths may keep it and join it themselves, see {@link addElementsText}.
 */
export function elementText(item: SetItem): string {
  if (Array.isArray(item)) return `${keyText(item[0])} : ${elementValue(item[1])}`;
  return keyText(item as Expression | { readonly elem: ElementBody });
}
