import type { ExecutionContext } from 'ava';

/** Tries of something that is to work: a busy machine may take its time for one. */
const TRIES = 6;

/** Asserts that an answer comes and is of this form. What must not work is tried once, and has its own controls. */
export const answers = async (
  t: ExecutionContext,
  ask: () => Promise<string>,
  form: RegExp,
): Promise<void> => {
  let answer = '';
  for (let turn = 0; turn < TRIES; turn += 1) {
    answer = await ask();
    if (form.test(answer)) break;
  }
  t.regex(answer, form);
};
