import { DnsmasqConfigError } from './dnsmasq-config-error.ts';

// Printable ASCII without " # , and \: quotes, backslashes and '#' mean something to dnsmasq's reader, a comma splits fields.
const SAFE = /^[ !$-+\--[\]-~]*$/;

/** Joins fields to one value. The last line of defence: verified configuration never gets here with unsafe text. */
export function fields(...parts: readonly (string | number | undefined)[]): string {
  const texts = parts.filter((part) => part !== undefined).map(String);
  for (const text of texts) {
    if (!SAFE.test(text))
      throw new DnsmasqConfigError('DNSMASQ_UNSAFE_TEXT', `${JSON.stringify(text)} cannot be part of a line`);
  }
  return texts.join(',');
}

export function line(key: string, ...parts: readonly (string | number | undefined)[]): string {
  return `${key}=${fields(...parts)}`;
}

/** Lines to a file: with a final newline, empty for none. */
export function file(lines: readonly string[]): string {
  return lines.map((text) => `${text}\n`).join('');
}
