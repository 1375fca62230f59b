/** Addresses, prefixes, ranges and MAC addresses: parsed once and strictly, canonical text from then on. */
export { eui64 } from './eui64.ts';
export {
  compareIp,
  familyOf,
  type IpAddress,
  type IpFamily,
  ipFromBigInt,
  ipToBigInt,
  isCanonicalIp,
  isIpv4,
  isIpv6,
  parseIp,
} from './ip-address.ts';
export {
  classifyIp,
  type IpClass,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isPrivate,
  isReserved,
  isUnspecified,
  prefixTouchesReserved,
} from './ip-class.ts';
export { IpError, type IpErrorCode } from './ip-error.ts';
export {
  firstFree,
  type IpRange,
  ipRange,
  mergeRanges,
  rangeContains,
  rangeSize,
  rangesOverlap,
  subtractRanges,
} from './ip-range.ts';
export { type Ipv4, ipv4FromNumber, ipv4ToNumber, parseIpv4 } from './ipv4.ts';
export { type Ipv6, ipv6FromBigInt, ipv6ToBigInt, parseIpv6 } from './ipv6.ts';
export {
  isLocalMac,
  isUnicastMac,
  type MacAddress,
  macFromNumber,
  macToNumber,
  parseMac,
} from './mac-address.ts';
export {
  type AddressOf,
  addressOfPrefix,
  type Ipv4Prefix,
  type Ipv6Prefix,
  isCanonicalPrefix,
  netmask,
  networkOf,
  parseIpv4Prefix,
  parseIpv6Prefix,
  parsePrefix,
  type Prefix,
  type PrefixOptions,
  type PrefixRange,
  prefixBlock,
  prefixContains,
  prefixesOverlap,
  prefixLength,
  prefixOf,
  prefixRange,
} from './prefix.ts';
