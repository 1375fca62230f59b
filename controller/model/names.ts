/** What things may be called, and the host name that follows from it. */

/** Letters of any script, digits, spaces and the marks people use in names; see {@link nameFault}. */
const ALLOWED = /^[\p{L}\p{M}\p{N} ._:@()+#-]+$/u;

/** Why a text is no name, null when it is one: printable, 1 to 63 characters, nothing that has to be quoted anywhere. */
export const nameFault = (text: string): string | null => {
  const length = [...text].length;
  if (length === 0) return 'is empty';
  const faults: string[] = [];
  if (length > 63) faults.push(`has ${length} characters, and 63 is the most`);
  if (/[\r\n]/.test(text)) faults.push('has a line break in it');
  if (/["'`]/.test(text)) faults.push('has a quote in it');
  if (/\p{C}/u.test(text.replace(/[\r\n]/g, ''))) faults.push('has a character in it that cannot be seen');
  if (text !== text.trim()) faults.push('begins or ends with a space');
  if (text !== text.normalize('NFC')) faults.push('has an accent as a character of its own (not NFC)');
  const odd = [...text].find((character) => !ALLOWED.test(character));
  if (faults.length === 0 && odd !== undefined) faults.push(`has ${JSON.stringify(odd)} in it`);
  return faults.length === 0 ? null : faults.join(', ');
};

export const NAME_HINT =
  'Give 1 to 63 letters, digits, spaces or any of . _ : @ ( ) + # - , without quotes and line breaks.';

/** The host name of a machine called `name`: RFC 1123 label, at most 63 characters; `fallback` when nothing is left. */
export const hostnameOf = (name: string, fallback: string): string => {
  const label = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9-]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '');
  return label === '' ? fallback : label;
};
