import { familyOf, type IpAddress, type IpFamily, ipFromBigInt, ipToBigInt, parseIp } from './ip-address.ts';
import { IpError } from './ip-error.ts';
import { type Ipv4, ipv4FromNumber, readIpv4 } from './ipv4.ts';
import type { Ipv6 } from './ipv6.ts';

/**
 * An address with a prefix length, canonical: `10.1.1.0/24`. Host bits are zero unless the caller asked the parser to allow them,
 * as for the address of an interface (`10.1.1.1/24`).
 */
export type Ipv4Prefix = string & { readonly __ip: 'ipv4-prefix' };
export type Ipv6Prefix = string & { readonly __ip: 'ipv6-prefix' };
export type Prefix = Ipv4Prefix | Ipv6Prefix;

/** The address family that belongs to a kind of prefix. */
export type AddressOf<P extends Prefix> = P extends Ipv4Prefix ? Ipv4 : Ipv6;

export interface PrefixOptions {
  /** What to do with bits behind the prefix length: `refuse` (default), `allow` them (an interface's address), or `clear` them. */
  readonly hostBits?: 'refuse' | 'allow' | 'clear';
}

export interface PrefixRange<A extends IpAddress = IpAddress> {
  /** Lowest address a host can have: without the network address (IPv6: the Subnet-Router anycast address, RFC 4291, 2.6.1). */
  readonly first: A;
  /** Highest address a host can have: without the IPv4 broadcast address. */
  readonly last: A;
  /** Prefix length in bits. */
  readonly length: number;
  /** The address with all host bits zero. */
  readonly network: A;
  /** The address with all host bits one where it is a broadcast address: `null` for IPv6 and for /31 and /32 (RFC 3021). */
  readonly broadcast: A | null;
}

interface Parts {
  readonly family: IpFamily;
  readonly bits: number;
  readonly length: number;
  readonly address: IpAddress;
  readonly value: bigint;
  readonly hostMask: bigint;
}

const LENGTH = /^(?:0|[1-9][0-9]{0,2})$/;

function read(text: string): Parts | null {
  const slash = text.indexOf('/');
  if (slash === -1) return null;
  const address = parseIp(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (address === null || !LENGTH.test(lengthText)) return null;
  const family = familyOf(address);
  const bits = family === 4 ? 32 : 128;
  const length = Number(lengthText);
  if (length > bits) return null;
  return {
    family,
    bits,
    length,
    address,
    value: ipToBigInt(address),
    hostMask: (1n << BigInt(bits - length)) - 1n,
  };
}

function parts(prefix: Prefix): Parts {
  const found = read(prefix);
  if (found === null) throw new IpError('IP_NOT_CANONICAL', `${JSON.stringify(prefix)} is not a prefix`);
  return found;
}

/** Reads `address/length`. The length must be there, in decimal, without leading zeros; netmasks (`/255.255.255.0`) are refused. */
export function parsePrefix(text: string, options: PrefixOptions = {}): Prefix | null {
  if (!text.includes(':')) return parseIpv4Prefix(text, options);
  const { hostBits = 'refuse' } = options;
  const found = read(text);
  if (found === null) return null;
  if (hostBits === 'allow') return `${found.address}/${found.length}` as Prefix;
  const network = found.value & ~found.hostMask;
  if (hostBits === 'refuse' && network !== found.value) return null;
  return `${ipFromBigInt(network, found.family)}/${found.length}` as Prefix;
}

/** By numbers and without making a text: rules come by the ten thousand, and each has prefixes. */
export function parseIpv4Prefix(
  text: string,
  { hostBits = 'refuse' }: PrefixOptions = {},
): Ipv4Prefix | null {
  const slash = text.indexOf('/');
  const length = slash === -1 ? -1 : readIpv4Length(text, slash + 1);
  if (length === -1) return null;
  const address = readIpv4(text, slash);
  if (address === -1) return null;
  const host = address % 2 ** (32 - length);
  if (host === 0 || hostBits === 'allow') return text as Ipv4Prefix;
  return hostBits === 'refuse' ? null : (`${ipv4FromNumber(address - host)}/${length}` as Ipv4Prefix);
}

/** The length that begins at `from`: 0 to 32 in decimal without leading zeros, or -1. */
function readIpv4Length(text: string, from: number): number {
  const digits = text.length - from;
  if (digits < 1 || digits > 2) return -1;
  const first = text.charCodeAt(from) - 48;
  if (first < 0 || first > 9) return -1;
  if (digits === 1) return first;
  const second = text.charCodeAt(from + 1) - 48;
  if (first === 0 || second < 0 || second > 9) return -1;
  const length = first * 10 + second;
  return length <= 32 ? length : -1;
}

export function parseIpv6Prefix(text: string, options?: PrefixOptions): Ipv6Prefix | null {
  return text.includes(':') ? (parsePrefix(text, options) as Ipv6Prefix | null) : null;
}

/** Whether the text is a prefix in canonical form with no host bits set. */
export function isCanonicalPrefix(text: string): text is Prefix {
  return parsePrefix(text) === text;
}

/** Prefix length in bits. */
export function prefixLength(prefix: Prefix): number {
  return parts(prefix).length;
}

/** `10.1.1.1/24` to `10.1.1.1`. */
export function addressOfPrefix<P extends Prefix>(prefix: P): AddressOf<P> {
  return parts(prefix).address as AddressOf<P>;
}

/** `10.1.1.1/24` to `10.1.1.0/24`. */
export function networkOf<P extends Prefix>(prefix: P): P {
  const { family, length, value, hostMask } = parts(prefix);
  return `${ipFromBigInt(value & ~hostMask, family)}/${length}` as P;
}

/** `10.1.1.1` and 24 to `10.1.1.1/24`. @throws {IpError} `IP_PREFIX_LENGTH` when the family has no such length. */
export function prefixOf<A extends IpAddress>(
  address: A,
  length: number,
): A extends Ipv4 ? Ipv4Prefix : Ipv6Prefix {
  const prefix = parsePrefix(`${address}/${length}`, { hostBits: 'allow' });
  if (prefix === null) throw new IpError('IP_PREFIX_LENGTH', `${address} has no prefix of length ${length}`);
  return prefix as A extends Ipv4 ? Ipv4Prefix : Ipv6Prefix;
}

/** The netmask: `255.255.255.0` for a /24, `ffff:ffff:ffff:ffff::` for a /64. */
export function netmask<P extends Prefix>(prefix: P): AddressOf<P> {
  const { family, bits, hostMask } = parts(prefix);
  return ipFromBigInt(((1n << BigInt(bits)) - 1n) ^ hostMask, family) as AddressOf<P>;
}

/** The addresses of a prefix that hosts can have, with what stands around them. Host bits are ignored. */
export function prefixRange<P extends Prefix>(prefix: P): PrefixRange<AddressOf<P>> {
  const { family, bits, length, value, hostMask } = parts(prefix);
  const address = (number: bigint): AddressOf<P> => ipFromBigInt(number, family) as AddressOf<P>;
  const lowest = value & ~hostMask;
  const highest = value | hostMask;
  // Point-to-point links (RFC 3021, RFC 6164) and single addresses use every address they have.
  const whole = bits - length <= 1;
  return {
    first: address(whole ? lowest : lowest + 1n),
    last: address(whole || family === 6 ? highest : highest - 1n),
    length,
    network: address(lowest),
    broadcast: whole || family === 6 ? null : address(highest),
  };
}

/** Every address of a prefix, network and broadcast address included. Host bits are ignored. */
export function prefixBlock<P extends Prefix>(
  prefix: P,
): { readonly first: AddressOf<P>; readonly last: AddressOf<P> } {
  const { family, value, hostMask } = parts(prefix);
  return {
    first: ipFromBigInt(value & ~hostMask, family) as AddressOf<P>,
    last: ipFromBigInt(value | hostMask, family) as AddressOf<P>,
  };
}

/** Whether every address of `inner` is in `outer`. Different families contain nothing of each other. Host bits are ignored. */
export function prefixContains(outer: Prefix, inner: IpAddress | Prefix): boolean {
  if (familyOf(outer) !== familyOf(inner)) return false;
  const around = parts(outer);
  const isPrefix = inner.includes('/');
  const within = isPrefix ? parts(inner as Prefix) : null;
  if (within !== null && within.length < around.length) return false;
  const value = within === null ? ipToBigInt(inner as IpAddress) : within.value;
  return (value | around.hostMask) === (around.value | around.hostMask);
}

/** Whether the prefixes have any address in common. Host bits are ignored. */
export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return prefixContains(a, b) || prefixContains(b, a);
}
