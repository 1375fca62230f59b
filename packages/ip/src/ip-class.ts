import { familyOf, type IpAddress, isIpv4 } from './ip-address.ts';
import { type Ipv4, ipv4ToNumber } from './ipv4.ts';
import { type Ipv6, ipv6ToBigInt } from './ipv6.ts';
import { type Prefix, prefixBlock, prefixesOverlap } from './prefix.ts';

/**
 * What the IANA special-purpose registries (RFC 6890 and its updates) say an address is for. `shared` is the carrier's
 * 100.64.0.0/10 (RFC 6598), `private` is RFC 1918 and RFC 4193, `reserved` has no use yet (240.0.0.0/4) or none on a link.
 */
export type IpClass =
  | 'unspecified'
  | 'loopback'
  | 'link-local'
  | 'multicast'
  | 'broadcast'
  | 'private'
  | 'shared'
  | 'documentation'
  | 'benchmarking'
  | 'ipv4-mapped'
  | 'reserved'
  | 'global';

type Row = readonly [network: string, ipClass: IpClass];

// More specific rows first: the first that holds the address names it.
const IPV4_ROWS: readonly Row[] = [
  ['0.0.0.0/32', 'unspecified'],
  ['0.0.0.0/8', 'reserved'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'shared'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'reserved'],
  ['192.0.2.0/24', 'documentation'],
  ['192.168.0.0/16', 'private'],
  ['198.18.0.0/15', 'benchmarking'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['240.0.0.0/4', 'reserved'],
];

const IPV6_ROWS: readonly Row[] = [
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['::ffff:0:0/96', 'ipv4-mapped'],
  ['100::/64', 'reserved'],
  ['2001:2::/48', 'benchmarking'],
  ['2001:db8::/32', 'documentation'],
  ['3fff::/20', 'documentation'],
  ['fc00::/7', 'private'],
  ['fe80::/10', 'link-local'],
  ['ff00::/8', 'multicast'],
];

const ipv4Table = IPV4_ROWS.map(([network, ipClass]) => {
  const { first, last } = prefixBlock(network as Prefix);
  return { first: ipv4ToNumber(first as Ipv4), last: ipv4ToNumber(last as Ipv4), ipClass };
});

const ipv6Table = IPV6_ROWS.map(([network, ipClass]) => {
  const { first, last } = prefixBlock(network as Prefix);
  return { first: ipv6ToBigInt(first as Ipv6), last: ipv6ToBigInt(last as Ipv6), ipClass };
});

/** What the address is for. */
export function classifyIp(address: IpAddress): IpClass {
  if (isIpv4(address)) {
    const value = ipv4ToNumber(address);
    return ipv4Table.find(({ first, last }) => first <= value && value <= last)?.ipClass ?? 'global';
  }
  const value = ipv6ToBigInt(address);
  return ipv6Table.find(({ first, last }) => first <= value && value <= last)?.ipClass ?? 'global';
}

export function isLoopback(address: IpAddress): boolean {
  return classifyIp(address) === 'loopback';
}

export function isMulticast(address: IpAddress): boolean {
  return classifyIp(address) === 'multicast';
}

export function isLinkLocal(address: IpAddress): boolean {
  return classifyIp(address) === 'link-local';
}

export function isUnspecified(address: IpAddress): boolean {
  return classifyIp(address) === 'unspecified';
}

/** RFC 1918 and RFC 4193 only: neither shared nor link-local. */
export function isPrivate(address: IpAddress): boolean {
  return classifyIp(address) === 'private';
}

/**
 * Whether no host can have it as its unicast address: unspecified, 0.0.0.0/8, loopback, multicast, broadcast, 240.0.0.0/4, IPv4-mapped
 * and the discard prefix. Link-local, private, shared, documentation and benchmarking addresses work on a link and are not reserved here.
 */
export function isReserved(address: IpAddress): boolean {
  switch (classifyIp(address)) {
    case 'unspecified':
    case 'loopback':
    case 'multicast':
    case 'broadcast':
    case 'ipv4-mapped':
    case 'reserved':
      return true;
    case 'link-local':
    case 'private':
    case 'shared':
    case 'documentation':
    case 'benchmarking':
    case 'global':
      return false;
  }
}

/** Whether any address of the prefix is {@link isReserved}, so that no network can be made of the whole of it. */
export function prefixTouchesReserved(prefix: Prefix): boolean {
  const rows = familyOf(prefix) === 4 ? IPV4_ROWS : IPV6_ROWS;
  return rows.some(([network]) => {
    return isReserved(prefixBlock(network as Prefix).first) && prefixesOverlap(prefix, network as Prefix);
  });
}
