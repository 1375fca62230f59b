/** How numbers become the keys of set elements. One form only, so that keys can be compared as text. */
import type { Interval } from './fragment.ts';

/** `80` or `80-90`. */
export const numberText = ([first, last]: Interval): string =>
  first === last ? String(first) : `${first}-${last}`;

const quad = (value: number): string =>
  `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;

/** `10.0.0.1` or `10.0.0.0-10.0.0.255`; never a prefix. */
export const addressText = ([first, last]: Interval): string =>
  first === last ? quad(first) : `${quad(first)}-${quad(last)}`;

/** The number a dotted quad stands for. The text was checked when the document was. */
export const addressNumber = (text: string): number => {
  let value = 0;
  let octet = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === 46) {
      value = value * 256 + octet;
      octet = 0;
    } else octet = octet * 10 + code - 48;
  }
  return value * 256 + octet;
};

/** First and last address of an IPv4 prefix; bits behind the length do not matter. */
export const prefixInterval = (prefix: string): Interval => {
  const slash = prefix.indexOf('/');
  const size = 2 ** (32 - Number(prefix.slice(slash + 1)));
  const address = addressNumber(prefix.slice(0, slash));
  const first = address - (address % size);
  return [first, first + size - 1];
};

/** The address of `10.1.1.1/24`. */
export const hostOf = (interfaceAddress: string): string =>
  interfaceAddress.slice(0, interfaceAddress.indexOf('/'));

/** Every IPv4 address. */
export const ANYWHERE: Interval = [0, 0xffff_ffff];

/** Every port, and every ICMP type or code. */
export const ANY_PORT: Interval = [0, 65_535];
export const ANY_OCTET: Interval = [0, 255];
