import type { Problem } from './problem.ts';
import { formatExamples } from './formats.ts';

/** The slice of a JSON Schema error we read; TypeBox and ajv both report it so. */
export interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: object;
  readonly message?: string | undefined;
}

const escapePointer = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');

const list = (value: unknown): string[] =>
  Array.isArray(value) ? value.map(String) : value === undefined ? [] : [String(value)];

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
};

/** Value that an RFC 6901 pointer leads to, undefined if none. */
export const valueAt = (root: unknown, pointer: string): unknown => {
  let value = root;
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
};

/** Reads a JSON Schema error of TypeBox or ajv as problems in an operator's words; `root` is the checked value. */
export const schemaProblems = (error: SchemaError, root: unknown): Problem[] => {
  const { keyword, instancePath: pointer } = error;
  const params = error.params as Record<string, unknown>;
  const value = shown(valueAt(root, pointer));
  switch (keyword) {
    case 'additionalProperties':
      return list(params['additionalProperties'] ?? params['additionalProperty']).map((name) => ({
        pointer: `${pointer}/${escapePointer(name)}`,
        code: 'unknown-field',
        message: `There is no field ${shown(name)} here`,
        hint: 'Remove it, or correct its spelling; the API description at /docs lists the fields.',
      }));
    case 'required':
      return list(params['requiredProperties'] ?? params['missingProperty']).map((name) => ({
        pointer: `${pointer}/${escapePointer(name)}`,
        code: 'missing-field',
        message: `The field ${shown(name)} is missing`,
        hint: 'Add it.',
      }));
    case 'format': {
      const format = String(params['format']);
      return [
        {
          pointer,
          code: 'bad-format',
          message: `${value} is not ${formatExamples[format]?.split(' such as')[0] ?? format}`,
          hint: `Give ${formatExamples[format] ?? format}.`,
        },
      ];
    }
    case 'type':
      return [
        {
          pointer,
          code: 'wrong-type',
          message: `${value} is not of type ${list(params['type']).join(' or ')}`,
          hint: `Give a value of type ${list(params['type']).join(' or ')}.`,
        },
      ];
    case 'enum':
    case 'const': {
      const allowed = keyword === 'enum' ? list(params['allowedValues']) : list(params['allowedValue']);
      return [
        {
          pointer,
          code: 'not-allowed',
          message: `${value} is not one of: ${allowed.join(', ')}`,
          hint: `Use ${allowed.join(' or ')}.`,
        },
      ];
    }
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return [
        {
          pointer,
          code: 'out-of-bounds',
          message: `${value} is out of bounds`,
          hint: `Give a number ${String(params['comparison'])} ${String(params['limit'])}.`,
        },
      ];
    case 'pattern':
      return [
        {
          pointer,
          code: 'bad-format',
          message: `${value} has characters or a length that are not allowed here`,
          hint: `It has to match ${String(params['pattern'])}.`,
        },
      ];
    case 'minLength':
    case 'minItems':
    case 'minProperties':
      return [
        {
          pointer,
          code: 'too-small',
          message: `${value} is too short`,
          hint: `Give at least ${String(params['limit'])}.`,
        },
      ];
    case 'maxLength':
    case 'maxItems':
    case 'maxProperties':
      return [
        {
          pointer,
          code: 'too-large',
          message: `${value} is too long`,
          hint: `Give at most ${String(params['limit'])}.`,
        },
      ];
    default:
      return [
        {
          pointer,
          code: 'bad-value',
          message: `${value} ${error.message ?? 'is not allowed here'}`,
          hint: 'See the API description at /docs.',
        },
      ];
  }
};
