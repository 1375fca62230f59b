import { IpError } from './ip-error.ts';

/** An IPv4 address as the one text it has: four decimal numbers without leading zeros. */
export type Ipv4 = string & { readonly __ip: 'ipv4' };

const DOT = 46;
const ZERO = 48;

/** The address in the first `length` characters as an unsigned 32-bit number, or -1 when they are not a strict dotted quad. */
export function readIpv4(text: string, length: number): number {
  // '0.0.0.0' to '255.255.255.255'
  if (length < 7 || length > 15) return -1;
  let value = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === DOT) {
      if (digits === 0 || dots === 3) return -1;
      value = value * 256 + octet;
      octet = 0;
      digits = 0;
      dots += 1;
      continue;
    }
    const digit = code - ZERO;
    if (digit < 0 || digit > 9) return -1;
    // A leading zero is octal to some programs and decimal to others: no program shall have to choose.
    if (digits > 0 && octet === 0) return -1;
    octet = octet * 10 + digit;
    if (octet > 255) return -1;
    digits += 1;
  }
  return dots === 3 && digits > 0 ? value * 256 + octet : -1;
}

/**
 * Reads a strict dotted quad. Refuses everything `inet_aton` would also take: `10.1`, `010.0.0.1`, `0x7f.1`,
 * and spaces, signs, ports, prefix lengths and zone ids.
 */
export function parseIpv4(text: string): Ipv4 | null {
  return readIpv4(text, text.length) === -1 ? null : (text as Ipv4);
}

/** @throws {IpError} `IP_NOT_CANONICAL` when the value was never parsed. */
export function ipv4ToNumber(address: Ipv4): number {
  const value = readIpv4(address, address.length);
  if (value === -1)
    throw new IpError('IP_NOT_CANONICAL', `${JSON.stringify(address)} is not an IPv4 address`);
  return value;
}

/**
 * @param value unsigned, 0 to 2^32 - 1
 * @throws {IpError} `IP_OUT_OF_RANGE`
 */
export function ipv4FromNumber(value: number): Ipv4 {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new IpError('IP_OUT_OF_RANGE', `${value} is not an unsigned 32-bit number`);
  }
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}` as Ipv4;
}
