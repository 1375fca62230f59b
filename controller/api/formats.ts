/** String formats of the API: those of the documents, and a few of its own. */
import type { Problem } from 'documents';
import { formats as documentFormats } from 'documents';
import { NAME_HINT, nameFault } from '../model/names.ts';
import { isCursor } from '../store/rows.ts';

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const DURATION = /^(\d{1,6})(ms|s|m)$/;
const UNITS = { ms: 1, s: 1000, m: 60_000 } as const;

/** Milliseconds of `30s`, `500ms`, `2m`; null for anything else. */
export const durationOf = (text: string): number | null => {
  const match = DURATION.exec(text);
  return match === null ? null : Number(match[1]) * UNITS[match[2] as keyof typeof UNITS];
};

export const formats: Readonly<Record<string, (text: string) => boolean>> = {
  ...documentFormats,
  name: (text) => nameFault(text) === null,
  base64: (text) => BASE64.test(text),
  duration: (text) => (durationOf(text) ?? Number.POSITIVE_INFINITY) <= 300_000,
  cursor: isCursor,
};

const show = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);

/** Problem of a value that fails one of the API's own formats, null for a format of the documents. */
export const formatProblem = (format: string, pointer: string, value: unknown): Problem | null => {
  const text = String(value);
  switch (format) {
    case 'name':
      return {
        pointer,
        code: 'bad-name',
        message: `The name ${show(text)} ${nameFault(text)}`,
        hint: NAME_HINT,
      };
    case 'base64':
      return {
        pointer,
        code: 'bad-format',
        message: `${show(text)} is not base64`,
        hint: 'Encode it as RFC 4648 says, with padding and without line breaks.',
      };
    case 'duration':
      return {
        pointer,
        code: 'bad-format',
        message: `${show(text)} is not a time of at most five minutes`,
        hint: 'Give a number with its unit: 500ms, 30s or 2m.',
      };
    case 'cursor':
      return {
        pointer,
        code: 'bad-format',
        message: `${show(text)} is no cursor`,
        hint: 'Give the text that came as "next" with the page before, or none to begin.',
      };
    default:
      return null;
  }
};
