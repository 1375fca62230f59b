import { ipToBigInt } from './ip-address.ts';
import { IpError } from './ip-error.ts';
import { type Ipv6, ipv6FromBigInt } from './ipv6.ts';
import { type MacAddress, macToNumber } from './mac-address.ts';
import { addressOfPrefix, type Ipv6Prefix, prefixLength } from './prefix.ts';

/**
 * The address a machine with this MAC gives itself by SLAAC in this prefix (RFC 4291, appendix A: modified EUI-64).
 * With `fe80::/64` it is the link-local address. Host bits of the prefix are ignored.
 *
 * @throws {IpError} `IP_PREFIX_LENGTH` when the prefix is not a /64.
 */
export function eui64(prefix: Ipv6Prefix, mac: MacAddress): Ipv6 {
  if (prefixLength(prefix) !== 64) {
    throw new IpError(
      'IP_PREFIX_LENGTH',
      `${prefix} is not a /64: interface identifiers of EUI-64 have 64 bits`,
    );
  }
  const value = BigInt(macToNumber(mac));
  const identifier = ((value >> 24n) << 40n) | (0xfffen << 24n) | (value & 0xff_ffffn);
  const universal = identifier ^ (1n << 57n);
  const network = (ipToBigInt(addressOfPrefix(prefix)) >> 64n) << 64n;
  return ipv6FromBigInt(network | universal);
}
