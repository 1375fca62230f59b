import {
  type IpAddress,
  ipToBigInt,
  isIpv6,
  isReserved,
  isUnicastMac,
  parseIp,
  parseMac,
  prefixContains,
  prefixOf,
  prefixRange,
  rangeContains,
} from 'ip';
import type { DhcpRange, HostNames, HostReservation, LeaseTime } from './dnsmasq-config-types.ts';
import type { Problem } from './problem.ts';
import { isDomainName, isHostLabel } from './syntax.ts';
import { verifyOption, verifyTags } from './verify-options.ts';

export function verifyLeaseTime(leaseTime: LeaseTime | undefined, pointer: string): Problem[] {
  if (leaseTime === undefined || leaseTime === 'infinite') return [];
  if (Number.isInteger(leaseTime) && leaseTime >= 120 && leaseTime < 2 ** 32 - 1) return [];
  return [
    {
      pointer,
      code: 'bad-lease-time',
      message: `${JSON.stringify(leaseTime)} is not a lease time`,
      hint: 'Use whole seconds from 120 on, or "infinite".',
    },
  ];
}

function isServed(address: IpAddress, ranges: readonly DhcpRange[]): boolean {
  return ranges.some((range) => {
    switch (range.kind) {
      case 'static4':
      case 'dynamic4': {
        // Network and broadcast address are in the prefix, and no host's.
        if (isIpv6(address) || !prefixContains(range.prefix, address)) return false;
        const { first, last } = prefixRange(range.prefix);
        return rangeContains({ first, last }, address);
      }
      case 'range6': {
        if (!isIpv6(address) || range.modes.includes('ra-only') || range.modes.includes('ra-stateless'))
          return false;
        if (range.constructedFrom === undefined)
          return prefixContains(prefixOf(range.first, range.prefixLength), address);
        // A host part alone: the network comes from the interface.
        return ipToBigInt(address) >> BigInt(128 - range.prefixLength) === 0n;
      }
    }
  });
}

/** Every problem of the reservations: their values, what they have twice, and addresses no range serves. */
export function verifyHosts(
  hosts: readonly HostReservation[],
  ranges: readonly DhcpRange[],
  base = '/reservations',
): Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<string, string>();
  const once = (what: string, value: string, pointer: string): void => {
    const key = `${what} ${value.toLowerCase()}`;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, pointer);
    else {
      problems.push({
        pointer,
        code: `duplicate-${what}`,
        message: `${what} ${value} is reserved already at ${first}`,
        hint: 'Give each host its own.',
      });
    }
  };
  hosts.forEach((host, index) => {
    const at = `${base}/${index}`;
    const bad = (pointer: string, code: string, message: string, hint: string): void => {
      problems.push({ pointer: `${at}${pointer}`, code, message, hint });
    };
    if (parseMac(host.mac) !== host.mac || !isUnicastMac(host.mac)) {
      bad(
        '/mac',
        'bad-mac',
        `${JSON.stringify(host.mac)} is no interface's MAC address`,
        'Use a unicast address in lower case with colons.',
      );
    } else once('mac', host.mac, `${at}/mac`);
    if (host.addresses.filter((address) => !isIpv6(address)).length > 1) {
      bad(
        '/addresses',
        'many-addresses',
        'a host can have one IPv4 address from one reservation',
        'Keep one of them.',
      );
    }
    host.addresses.forEach((address, position) => {
      const pointer = `/addresses/${position}`;
      if (parseIp(address) !== address) {
        bad(
          pointer,
          'bad-address',
          `${JSON.stringify(address)} is not an address in canonical form`,
          'Write it as 10.1.1.5 or 2001:db8::5.',
        );
        return;
      }
      // The host part of a constructed range (`::5`) may look like a reserved address; it is none until the network is put before it.
      const constructed = ranges.some(
        (range) => range.kind === 'range6' && range.constructedFrom !== undefined,
      );
      if (isReserved(address) && !(constructed && isIpv6(address))) {
        bad(
          pointer,
          'reserved-address',
          `${address} is not an address of a host`,
          'Use a unicast address of the network.',
        );
      } else if (!isServed(address, ranges)) {
        bad(
          pointer,
          'address-outside-range',
          `${address} is in no range served here`,
          'Use an address of one of the ranges, or add a range.',
        );
      }
      once('address', address, `${at}${pointer}`);
    });
    if (host.hostname !== undefined) {
      if (isHostLabel(host.hostname)) once('hostname', host.hostname, `${at}/hostname`);
      else {
        bad(
          '/hostname',
          'bad-hostname',
          `${JSON.stringify(host.hostname)} is not a host name`,
          'Use one label of letters, digits and hyphens, at most 63, not a number.',
        );
      }
    }
    problems.push(
      ...verifyLeaseTime(host.leaseTime, `${at}/leaseTime`),
      ...verifyTags(host.tags, `${at}/tags`),
      ...(host.options ?? []).flatMap((option, position) =>
        verifyOption(option, `${at}/options/${position}`),
      ),
    );
  });
  return problems;
}

/** Every problem of names for addresses. Several addresses may share a name; one line must not repeat it. */
export function verifyNames(names: readonly HostNames[], base = '/names'): Problem[] {
  return names.flatMap((entry, index) => {
    const problems: Problem[] = [];
    if (parseIp(entry.address) !== entry.address) {
      problems.push({
        pointer: `${base}/${index}/address`,
        code: 'bad-address',
        message: `${JSON.stringify(entry.address)} is not an address in canonical form`,
        hint: 'Write it as 10.1.1.5 or 2001:db8::5.',
      });
    }
    if (entry.names.length === 0) {
      problems.push({
        pointer: `${base}/${index}/names`,
        code: 'no-name',
        message: 'no name',
        hint: 'Name at least one.',
      });
    }
    entry.names.forEach((name, position) => {
      const pointer = `${base}/${index}/names/${position}`;
      if (!isDomainName(name)) {
        problems.push({
          pointer,
          code: 'bad-domain-name',
          message: `${JSON.stringify(name)} is not a domain name`,
          hint: 'Use labels of letters, digits and hyphens, without a final dot.',
        });
      } else if (entry.names.indexOf(name) !== position) {
        problems.push({
          pointer,
          code: 'duplicate-name',
          message: `${name} is there twice`,
          hint: 'Keep one.',
        });
      }
    });
    return problems;
  });
}
