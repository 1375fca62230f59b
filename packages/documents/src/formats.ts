/** The string formats our schemas use, each a strict check. The same functions serve TypeBox here and ajv in the API. */
import { isUnicastMac, parseIp, parseIpv4, parseIpv4Prefix, parseIpv6, parseMac, parsePrefix } from 'ip';

const HOSTNAME = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/;

/** RFC 1123 host label, lower case. */
export const isHostname = (text: string): boolean => HOSTNAME.test(text);

/** RFC 1035 domain of lower-case host labels, at most 253 characters, without the trailing dot. */
export const isDomain = (text: string): boolean =>
  text.length <= 253 && text.split('.').every((label) => HOSTNAME.test(label));

/** Name to check, by format name as written in `Type.String({ format })`. */
export const formats: Readonly<Record<string, (text: string) => boolean>> = {
  /** Canonical dotted quad: `10.1.1.1`; no leading zeros. */
  ipv4: (text) => parseIpv4(text) !== null,
  /** RFC 5952 canonical text, no zone id. */
  ipv6: (text) => parseIpv6(text) === text,
  /** Either family, canonical. */
  ip: (text) => parseIp(text) === text,
  /** Network prefix without host bits: `10.1.1.0/24`. */
  'ipv4-prefix': (text) => parseIpv4Prefix(text) === text,
  /** Network prefix of either family without host bits. */
  prefix: (text) => parsePrefix(text) === text,
  /** Address with the length of its network: `10.1.1.1/24`. */
  'interface-address': (text) => parsePrefix(text, { hostBits: 'allow' }) === text,
  /** Unicast MAC, lower case with colons. */
  mac: (text) => {
    const mac = parseMac(text);
    return mac === text && isUnicastMac(mac);
  },
  hostname: isHostname,
  domain: isDomain,
};

/** What a value of each format looks like, for hints. */
export const formatExamples: Readonly<Record<string, string>> = {
  ipv4: 'an IPv4 address such as 10.1.1.1 (four decimal numbers, no leading zeros)',
  ipv6: 'an IPv6 address in its shortest form, such as 2001:db8::1 (no zone id)',
  ip: 'an IPv4 or IPv6 address such as 10.1.1.1 or 2001:db8::1 (no leading zeros, no zone id)',
  'ipv4-prefix': 'an IPv4 prefix such as 10.1.1.0/24, with no bits set behind its length',
  prefix: 'a prefix such as 10.1.1.0/24 or 2001:db8::/64, with no bits set behind its length',
  'interface-address': 'an address with the length of its network, such as 10.1.1.1/24',
  mac: 'a unicast MAC address such as 02:00:0a:01:01:01 (lower case, colons)',
  hostname:
    'a host name of lower-case letters, digits and inner hyphens, at most 63 characters, such as web-1',
  domain: 'a domain of lower-case labels, such as tenant.example',
};
