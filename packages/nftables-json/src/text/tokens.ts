/** Splits nft text as {@link renderText} writes it. Pure. */

import { isName } from '../words.ts';

/** A word, a quoted string, or one of `{ } ( ) , ;` and the end of a line. Positions from 1. */
export type Token = {
  readonly kind: 'word' | 'string' | 'mark' | 'end';
  readonly text: string;
  readonly line: number;
  readonly column: number;
};

/** What the text has where it should not. Positions from 1. */
export class TextSyntaxError extends Error {
  override readonly name = 'TextSyntaxError';
  readonly code = 'syntax';
  readonly line: number;
  readonly column: number;
  constructor(message: string, line: number, column: number) {
    super(message);
    this.line = line;
    this.column = column;
  }
}

const pattern = /([ \t]+)|(#[^\n]*)|(\n)|"([^"\n]*)"|([{}(),;])|([^\s{}(),;"]+)/y;

/** The tokens of `text`; ends of lines count outside braces only. Comments are words that begin with `#`. */
export function tokens(text: string): Token[] {
  const result: Token[] = [];
  let line = 1;
  let start = 0;
  let depth = 0;
  pattern.lastIndex = 0;
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex;
    const column = at - start + 1;
    const found = pattern.exec(text);
    if (found === null) throw new TextSyntaxError('syntax error, unexpected junk', line, column);
    const [, blank, comment, newline, string, mark, word] = found;
    if (blank !== undefined) continue;
    if (newline !== undefined) {
      if (depth === 0) result.push({ kind: 'end', text: '\n', line, column });
      line += 1;
      start = pattern.lastIndex;
    } else if (string !== undefined) result.push({ kind: 'string', text: string, line, column });
    else if (mark !== undefined) {
      if (mark === '{') depth += 1;
      else if (mark === '}') depth -= 1;
      result.push({ kind: 'mark', text: mark, line, column });
    } else result.push({ kind: 'word', text: (comment ?? word) as string, line, column });
  }
  result.push({ kind: 'end', text: 'end of file', line, column: text.length - start + 1 });
  return result;
}

/** Walks over tokens. */
export class TokenReader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokens(text);
  }

  /** The next token, or one further on. */
  peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)] as Token;
  }

  get done(): boolean {
    return this.#at >= this.#tokens.length - 1 && this.peek().kind === 'end';
  }

  take(): Token {
    const token = this.peek();
    this.#at += 1;
    return token;
  }

  /** True when the next token is this bare word or mark. */
  is(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.text === text && token.kind !== 'string';
  }

  /** Takes the next token if it is this bare word or mark. */
  accept(text: string): boolean {
    if (!this.is(text)) return false;
    this.#at += 1;
    return true;
  }

  expect(text: string): Token {
    if (!this.is(text)) this.fail(`expecting ${text}`);
    return this.take();
  }

  word(): string {
    if (this.peek().kind !== 'word') this.fail('expecting a word');
    return this.take().text;
  }

  /** A word that may name a table, chain, set or counter. */
  name(): string {
    if (!isName(this.peek().text)) this.fail('expecting string');
    return this.word();
  }

  string(): string {
    if (this.peek().kind !== 'string') this.fail('expecting a quoted string');
    return this.take().text;
  }

  number(): number {
    const { kind, text } = this.peek();
    if (kind !== 'word' || !/^(?:-?[0-9]+|0x[0-9a-f]+)$/.test(text)) this.fail('expecting a number');
    this.take();
    return Number(text);
  }

  seconds(): number {
    const { kind, text } = this.peek();
    if (kind !== 'word' || !/^[0-9]+s$/.test(text)) this.fail('expecting seconds');
    this.take();
    return Number(text.slice(0, -1));
  }

  fail(expecting: string): never {
    const token = this.peek();
    throw new TextSyntaxError(
      `syntax error, unexpected ${token.kind === 'end' ? 'end' : token.text}, ${expecting}`,
      token.line,
      token.column,
    );
  }
}
