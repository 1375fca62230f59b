import { IpError } from './ip-error.ts';
import { type Ipv4, ipv4FromNumber, ipv4ToNumber, parseIpv4 } from './ipv4.ts';
import { type Ipv6, ipv6FromBigInt, ipv6ToBigInt, parseIpv6 } from './ipv6.ts';

/** An address of either family, canonical: equal addresses are equal strings. */
export type IpAddress = Ipv4 | Ipv6;

export type IpFamily = 4 | 6;

/** Reads an address of either family; canonical on return, `null` when it is not one. */
export function parseIp(text: string): IpAddress | null {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Whether the text is an address and already in its canonical form. */
export function isCanonicalIp(text: string): text is IpAddress {
  return parseIp(text) === text;
}

/** The family of an address or prefix. */
export function familyOf(value: string): IpFamily {
  return value.includes(':') ? 6 : 4;
}

export function isIpv4(address: IpAddress): address is Ipv4 {
  return familyOf(address) === 4;
}

export function isIpv6(address: IpAddress): address is Ipv6 {
  return familyOf(address) === 6;
}

/** @throws {IpError} `IP_NOT_CANONICAL` when the value was never parsed. */
export function ipToBigInt(address: IpAddress): bigint {
  return isIpv4(address) ? BigInt(ipv4ToNumber(address)) : ipv6ToBigInt(address);
}

export function ipFromBigInt(value: bigint, family: 4): Ipv4;
export function ipFromBigInt(value: bigint, family: 6): Ipv6;
export function ipFromBigInt(value: bigint, family: IpFamily): IpAddress;
/** @throws {IpError} `IP_OUT_OF_RANGE` when the family has no such address. */
export function ipFromBigInt(value: bigint, family: IpFamily): IpAddress {
  if (family === 6) return ipv6FromBigInt(value);
  if (value < 0n || value > 0xffffffffn)
    throw new IpError('IP_OUT_OF_RANGE', `${value} is not an unsigned 32-bit number`);
  return ipv4FromNumber(Number(value));
}

/** Orders by number, every IPv4 address before every IPv6 address; for `Array.prototype.sort`. */
export function compareIp(a: IpAddress, b: IpAddress): number {
  if (a === b) return 0;
  const familyA = familyOf(a);
  if (familyA !== familyOf(b)) return familyA - familyOf(b);
  if (familyA === 4) return ipv4ToNumber(a as Ipv4) - ipv4ToNumber(b as Ipv4);
  return ipv6ToBigInt(a as Ipv6) < ipv6ToBigInt(b as Ipv6) ? -1 : 1;
}
