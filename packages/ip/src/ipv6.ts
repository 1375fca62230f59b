import { Address6 } from 'ip-address';
import { IpError } from './ip-error.ts';

/** An IPv6 address in the form of RFC 5952, section 4: lower case, longest run of zeros elided, no leading zeros. */
export type Ipv6 = string & { readonly __ip: 'ipv6' };

const LARGEST = (1n << 128n) - 1n;

// Only what can stand in an address: keeps zone ids (%), prefix lengths (/), brackets and spaces from the library, which takes the first two.
const ALPHABET = /^[0-9a-fA-F:.]{2,45}$/;

function read(text: string): Address6 | null {
  if (!ALPHABET.test(text) || !text.includes(':')) return null;
  try {
    return new Address6(text);
  } catch {
    return null;
  }
}

/**
 * Reads an IPv6 address and gives it back in canonical form. An embedded IPv4 address (`::ffff:1.2.3.4`) is taken, stays IPv6,
 * and is written in hexadecimal (`::ffff:102:304`), so that there is one text for one address. Zone ids are refused: they mean
 * something on one machine only.
 */
export function parseIpv6(text: string): Ipv6 | null {
  const address = read(text);
  return address === null ? null : (address.correctForm() as Ipv6);
}

/** @throws {IpError} `IP_NOT_CANONICAL` when the value was never parsed. */
export function ipv6ToBigInt(address: Ipv6): bigint {
  const read6 = read(address);
  if (read6 === null)
    throw new IpError('IP_NOT_CANONICAL', `${JSON.stringify(address)} is not an IPv6 address`);
  return read6.bigInt();
}

/**
 * @param value unsigned, 0 to 2^128 - 1
 * @throws {IpError} `IP_OUT_OF_RANGE`
 */
export function ipv6FromBigInt(value: bigint): Ipv6 {
  if (value < 0n || value > LARGEST)
    throw new IpError('IP_OUT_OF_RANGE', `${value} is not an unsigned 128-bit number`);
  return Address6.fromBigInt(value).correctForm() as Ipv6;
}
