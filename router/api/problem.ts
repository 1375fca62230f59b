import type { Problem } from 'documents';

/** A refusal as RFC 9457 has it. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly problems: readonly Problem[];
}

const titles: Readonly<Record<string, string>> = {
  'not-found': 'There is no such resource',
  'method-not-allowed': 'This resource has no such method',
  'not-json': 'The body is not JSON',
  'too-large': 'The body is too large',
  'not-valid': 'The document does not verify',
  'base-generation': 'The change starts from another generation',
  'no-document': 'The router has no document yet',
  'apply-failed': 'The document could not be put in force',
  unavailable: 'This part of the router is not available',
  internal: 'The router failed',
};

/** The problem document of a refusal. */
export const problemDocument = (
  status: number,
  code: string,
  detail: string,
  problems: readonly Problem[] = [],
): ProblemDocument => ({ type: 'about:blank', title: titles[code] ?? code, status, code, detail, problems });

/** Thrown by handlers to refuse a request. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: string;
  readonly document: ProblemDocument;

  constructor(status: number, code: string, detail: string, problems: readonly Problem[] = []) {
    super(detail);
    this.code = code;
    this.document = problemDocument(status, code, detail, problems);
  }
}
