/** Request validation by ajv, strictly and completely, with its findings in an operator's words. */
import AjvCompiler from '@fastify/ajv-compiler';
import { type Problem, type SchemaError, schemaProblems, valueAt } from 'documents';
import type { FastifyServerOptions } from 'fastify';
import { formatProblem, formats } from './formats.ts';

/** How many problems one answer lists. */
const MOST_PROBLEMS = 100;

type ValidatorFactory = NonNullable<
  NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>['buildValidator']
>;
type Compile = (route: { readonly httpPart?: string }) => unknown;

const factory = AjvCompiler() as unknown as (externalSchemas: unknown, options: object) => Compile;

interface Formats {
  addFormat(name: string, check: (text: string) => boolean): unknown;
}

/**
 * Our formats and no others. The compiler would add those of ajv-formats over ours (its `ipv4` and `duration` mean
 * something else), but leaves that to a plugin of this very name where there is one.
 */
function formatsPlugin(ajv: Formats): void {
  for (const [name, check] of Object.entries(formats)) ajv.addFormat(name, check);
}

/**
 * Two compilers: bodies are JSON and say what they mean, so nothing is coerced or dropped; query strings and
 * parameters are text, so `?limit=5` is a number.
 */
const buildCompilers = (externalSchemas: unknown): Compile => {
  const compile = (coerceTypes: boolean) =>
    factory(externalSchemas, {
      customOptions: {
        allErrors: true,
        coerceTypes,
        removeAdditional: false,
        useDefaults: true,
        allowUnionTypes: true,
        discriminator: true,
      },
      plugins: [formatsPlugin],
    });
  const strict = compile(false);
  const coercing = compile(true);
  return (route) => (route.httpPart === 'body' ? strict : coercing)(route);
};

export const buildValidator = buildCompilers as unknown as ValidatorFactory;

interface AjvError extends SchemaError {
  readonly schemaPath: string;
}

const typesOf = (error: AjvError): string[] => {
  const { type } = error.params as { type?: string | string[] };
  return type === undefined ? [] : [type].flat();
};

/**
 * Errors without the noise of unions: of a union's members only the one the value was meant for speaks, which is the
 * one whose type it has; when it has the type of none, one error names all types.
 */
const withoutUnionNoise = (errors: readonly AjvError[]): AjvError[] => {
  let left = [...errors];
  for (const union of errors.filter(({ keyword }) => keyword === 'anyOf' || keyword === 'oneOf')) {
    const within = (error: AjvError) =>
      error !== union &&
      error.schemaPath.startsWith(`${union.schemaPath}/`) &&
      error.instancePath.startsWith(union.instancePath);
    const inside = left.filter(within);
    if (inside.length === 0) continue;
    const branch = (error: AjvError) => error.schemaPath.slice(union.schemaPath.length + 1).split('/')[0];
    const mismatch = inside.filter(
      ({ keyword, instancePath }) => keyword === 'type' && instancePath === union.instancePath,
    );
    const wrong = new Set(mismatch.map(branch));
    const meant = inside.filter((error) => !wrong.has(branch(error)));
    const types = mismatch.flatMap(typesOf);
    left = left.filter((error) => error !== union && !within(error));
    if (meant.length > 0) left.push(...meant);
    else left.push({ ...union, keyword: 'type', params: { type: types } });
  }
  return left;
};

/** Every problem ajv found in one part of a request. Pointers into query strings start with `?`. */
export const validationProblems = (
  errors: readonly SchemaError[],
  root: unknown,
  part: string | undefined,
): Problem[] => {
  const problems = new Map<string, Problem>();
  for (const error of withoutUnionNoise(errors as readonly AjvError[])) {
    const own =
      error.keyword === 'format'
        ? formatProblem(
            String((error.params as { format?: unknown }).format),
            error.instancePath,
            valueAt(root, error.instancePath),
          )
        : null;
    for (const problem of own === null ? schemaProblems(error, root) : [own]) {
      const pointer = part === 'querystring' ? problem.pointer.replace(/^\//, '?') : problem.pointer;
      problems.set(`${pointer} ${problem.code}`, { ...problem, pointer });
    }
    if (problems.size >= MOST_PROBLEMS) break;
  }
  return [...problems.values()];
};
