/** Errors of applying, and how nft's words are read. */

/** What went wrong: see {@link NftablesError}. */
export type NftablesErrorCode = 'syntax' | 'exists' | 'missing' | 'busy' | 'rejected' | 'helper-exited';

/** Where in the text, and what it said there. */
export type NftablesErrorDetail = {
  readonly statement?: string;
  readonly line?: number;
  readonly column?: number;
  readonly cause?: unknown;
};

/**
 * A text that did not take effect; the ruleset is as before. Codes: `syntax` (nft could not read it), `exists`, `missing`
 * (an object, or one it refers to), `busy` (still referred to), `rejected` (any other refusal of nft or the kernel),
 * `helper-exited` (the process that holds libnftables ended; whether the last text took effect is unknown: list and see).
 */
export class NftablesError extends Error {
  override readonly name = 'NftablesError';
  readonly code: NftablesErrorCode;
  /** The line of the text that nft points at. */
  readonly statement: string | undefined;
  /** Line in the text, from 1. */
  readonly line: number | undefined;
  /** Column in the line, from 1. */
  readonly column: number | undefined;

  constructor(code: NftablesErrorCode, message: string, detail: NftablesErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.statement = detail.statement;
    this.line = detail.line;
    this.column = detail.column;
  }
}

// nft does not translate its messages, and its own process sets no locale: matching them is safe. This is the only place.
function codeOf(words: string): NftablesErrorCode {
  if (/syntax error|unknown identifier|invalid type|Can't parse|unqualified type/.test(words))
    return 'syntax';
  if (words.includes('File exists')) return 'exists';
  if (/No such file or directory|does not exist/.test(words)) return 'missing';
  if (words.includes('Device or resource busy')) return 'busy';
  return 'rejected';
}

/** The line of `text` with the number `line` (from 1), without splitting the whole. */
function lineOf(text: string, line: number): string | undefined {
  let start = 0;
  for (let at = 1; at < line; at += 1) {
    const end = text.indexOf('\n', start);
    if (end < 0) return undefined;
    start = end + 1;
  }
  const end = text.indexOf('\n', start);
  return text.slice(start, end < 0 ? undefined : end).trim();
}

/** The error nft reported for `text`: the first it names that has a place in the text. */
export function nftablesError(text: string, report: string): NftablesError {
  const at = /^[^\n:]*:(\d+):(\d+)-\d+: Error: ([^\n]*)/m.exec(report);
  if (at === null) {
    const words = /Error: ([^\n]*)/.exec(report)?.[1] ?? (report.trim() || 'nft gave no reason');
    return new NftablesError(codeOf(words), words);
  }
  const line = Number(at[1]);
  const words = at[3] as string;
  const statement = lineOf(text, line);
  const detail = { line, column: Number(at[2]), ...(statement === undefined ? {} : { statement }) };
  return new NftablesError(
    codeOf(words),
    statement === undefined ? words : `${words}: ${statement.slice(0, 500)}`,
    detail,
  );
}
