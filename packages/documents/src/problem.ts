/**
 * Something wrong that was found by checking. Problems are values: a check returns all of them at once,
 * and an empty list means "good".
 */
export interface Problem {
  /** RFC 6901 JSON pointer to the offending value, `""` for the whole. */
  readonly pointer: string;
  /** Stable, kebab-case, for programs: `unknown-field`, `address-outside-prefix`. */
  readonly code: string;
  /** What is wrong, in the operator's words, with the value. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
}
