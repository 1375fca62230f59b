import type { Problem } from 'documents';

/** A problem in one line: where, what it is called, what is wrong, what to do. */
export const problem = (pointer: string, code: string, message: string, hint: string): Problem => ({
  pointer,
  code,
  message,
  hint,
});
