/** Something wrong that was found by checking; an empty list means "good". */
export interface Problem {
  /** RFC 6901 JSON pointer to the offending value. */
  readonly pointer: string;
  /** Stable, kebab-case, for programs. */
  readonly code: string;
  /** What is wrong, with the value. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
}
