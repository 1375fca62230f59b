import { Compile } from 'typebox/compile';
import { Set as setFormat } from 'typebox/format';
import { Settings } from 'typebox/system';
import type { TSchema } from 'typebox';
import { formats } from './formats.ts';
import type { Problem } from './problem.ts';
import { schemaProblems } from './schema-problems.ts';

/** How many schema problems one check reports; a value that is wrong in more places is wrong as a whole. */
const MOST_PROBLEMS = 100;

/**
 * Compiles a schema into a check that returns every problem of a value. Compiling costs milliseconds and happens at
 * the first call; checking 20,000 rules costs tens.
 */
export const checker = (schema: TSchema): ((value: unknown) => Problem[]) => {
  let validator: ReturnType<typeof Compile> | undefined;
  return (value) => {
    if (validator === undefined) {
      for (const [name, check] of Object.entries(formats)) setFormat(name, check);
      // TypeBox stops at 8 errors unless told otherwise; we promise every problem at once.
      Settings.Set({ maxErrors: 4 * MOST_PROBLEMS });
      validator = Compile(schema);
    }
    if (validator.Check(value)) return [];
    const problems = new Map<string, Problem>();
    for (const error of validator.Errors(value)) {
      // Every member of a union and the union itself report; `anyOf` says nothing its members do not.
      if (error.keyword === 'anyOf' || error.keyword === 'boolean' || error.keyword === 'not') continue;
      for (const problem of schemaProblems(error, value)) {
        problems.set(
          `${problem.pointer} ${problem.code}`,
          merge(problems.get(`${problem.pointer} ${problem.code}`), problem),
        );
      }
      if (problems.size >= MOST_PROBLEMS) break;
    }
    return [...problems.values()];
  };
};

/** Two refusals of the same value by the members of a union read as one: "tcp or udp". */
const merge = (before: Problem | undefined, problem: Problem): Problem => {
  if (before === undefined || before.hint === problem.hint) return problem;
  if (problem.code !== 'not-allowed') return before;
  const allowed = problem.message.split('is not one of: ')[1] ?? '';
  return {
    ...before,
    message: `${before.message}, ${allowed}`,
    hint: before.hint.replace(/\.$/, ` or ${allowed}.`),
  };
};
