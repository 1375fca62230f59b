import type { Problem } from 'documents';

/**
 * A request that is not done, and why: thrown inside a transaction, so that everything it had begun is taken back.
 * The API writes it as a problem document (RFC 9457).
 */
export class Refusal extends Error {
  readonly status: number;
  /** Stable, kebab-case. */
  readonly code: string;
  readonly problems: readonly Problem[];

  constructor(status: number, code: string, message: string, problems: readonly Problem[] = []) {
    super(message);
    this.name = 'Refusal';
    this.status = status;
    this.code = code;
    this.problems = problems;
  }
}

/** There is no such thing, or it is another account's: the answer is the same. */
export const notFound = (kind: string, id: string): Refusal =>
  new Refusal(404, 'not-found', `There is no ${kind} ${id}`);
