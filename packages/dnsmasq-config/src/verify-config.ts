import { compareIp, familyOf, parseIp, parseIpv4Prefix, prefixContains, prefixesOverlap } from 'ip';
import type {
  DhcpConfig,
  DhcpRange,
  DnsConfig,
  DnsmasqConfig,
  HostNames,
  HostReservation,
} from './dnsmasq-config-types.ts';
import type { Problem } from './problem.ts';
import {
  isDomainName,
  isFacility,
  isInterfaceName,
  isPath,
  isPlainText,
  isTag,
  isUserName,
} from './syntax.ts';
import { verifyHosts, verifyLeaseTime, verifyNames } from './verify-hosts.ts';
import { verifyOption, verifyTags } from './verify-options.ts';

interface Rule {
  readonly code: string;
  readonly holds: (text: string) => boolean;
  readonly noun: string;
  readonly hint: string;
}

const INTERFACE: Rule = {
  code: 'bad-interface',
  holds: isInterfaceName,
  noun: 'an interface name',
  hint: 'Use 1 to 15 letters, digits, dots, hyphens and underscores.',
};
const DOMAIN: Rule = {
  code: 'bad-domain-name',
  holds: isDomainName,
  noun: 'a domain name',
  hint: 'Use labels of letters, digits and hyphens, without a final dot.',
};
const PATH: Rule = {
  code: 'bad-path',
  holds: isPath,
  noun: 'a path',
  hint: 'Use an absolute path of letters, digits and . _ - @ : + without "..".',
};
const USER: Rule = {
  code: 'bad-user',
  holds: isUserName,
  noun: 'a user or group name',
  hint: 'Use lower-case letters, digits, hyphens and underscores.',
};
const FACILITY: Rule = {
  code: 'bad-log-facility',
  holds: isFacility,
  noun: 'a log facility',
  hint: 'Use an absolute path, "-" or a syslog facility such as DAEMON.',
};
const TAG: Rule = {
  code: 'bad-tag',
  holds: isTag,
  noun: 'a tag',
  hint: 'Use letters, digits, hyphens and underscores.',
};
const ADDRESS: Rule = {
  code: 'bad-address',
  holds: (text) => parseIp(text) === text,
  noun: 'an address in canonical form',
  hint: 'Write it as 10.1.1.1 or 2001:db8::1.',
};
const PLAIN: Rule = {
  code: 'unsafe-text',
  holds: isPlainText,
  noun: 'plain text',
  hint: 'Use printable ASCII without quotes, commas, # and \\.',
};

/** Gathers problems; a field that is not there has none. */
class Findings {
  readonly problems: Problem[] = [];

  text(value: string | undefined, pointer: string, rule: Rule): void {
    if (value === undefined || rule.holds(value)) return;
    this.add(pointer, rule.code, `${JSON.stringify(value)} is not ${rule.noun}`, rule.hint);
  }

  texts(values: readonly string[] | undefined, pointer: string, rule: Rule): void {
    (values ?? []).forEach((value, index) => {
      this.text(value, `${pointer}/${index}`, rule);
      if (values?.indexOf(value) !== index)
        this.add(`${pointer}/${index}`, 'duplicate', `${value} is there twice`, 'Keep one.');
    });
  }

  integer(value: number | undefined, pointer: string, least: number, most: number): void {
    if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) return;
    this.add(
      pointer,
      'bad-number',
      `${value} is not a whole number from ${least} to ${most}`,
      'Use a number in that range.',
    );
  }

  add(pointer: string, code: string, message: string, hint: string): void {
    this.problems.push({ pointer, code, message, hint });
  }
}

function verifyDns(dns: DnsConfig, found: Findings): void {
  found.integer(dns.port, '/dns/port', 0, 65535);
  found.text(dns.domain, '/dns/domain', DOMAIN);
  found.texts(dns.localDomains, '/dns/localDomains', DOMAIN);
  found.texts(dns.rebindAllowedDomains, '/dns/rebindAllowedDomains', DOMAIN);
  found.text(dns.resolvFile, '/dns/resolvFile', PATH);
  found.texts(dns.hostsDirectories, '/dns/hostsDirectories', PATH);
  found.texts(dns.hostsFiles, '/dns/hostsFiles', PATH);
  found.integer(dns.cacheSize, '/dns/cacheSize', 0, 1_000_000);
  found.integer(dns.localTtl, '/dns/localTtl', 0, 2 ** 31 - 1);
  found.integer(dns.maximumForwards, '/dns/maximumForwards', 1, 1_000_000);
  (dns.servers ?? []).forEach(({ address, port, domains }, index) => {
    found.text(address, `/dns/servers/${index}/address`, ADDRESS);
    found.integer(port, `/dns/servers/${index}/port`, 1, 65535);
    found.texts(domains, `/dns/servers/${index}/domains`, DOMAIN);
  });
  found.problems.push(...verifyNames(dns.hostRecords ?? [], '/dns/hostRecords'));
  const aliases = new Set<string>();
  (dns.aliases ?? []).forEach(({ alias, target }, index) => {
    found.text(alias, `/dns/aliases/${index}/alias`, DOMAIN);
    found.text(target, `/dns/aliases/${index}/target`, DOMAIN);
    if (aliases.has(alias.toLowerCase()) || alias.toLowerCase() === target.toLowerCase()) {
      found.add(
        `/dns/aliases/${index}/alias`,
        'duplicate-alias',
        `${alias} has another target or is its own`,
        'An alias has one target.',
      );
    }
    aliases.add(alias.toLowerCase());
  });
  (dns.txtRecords ?? []).forEach(({ name, text }, index) => {
    found.text(name, `/dns/txtRecords/${index}/name`, DOMAIN);
    found.text(text, `/dns/txtRecords/${index}/text`, PLAIN);
  });
}

function verifyRange(range: DhcpRange, at: string, found: Findings): void {
  found.text(range.setTag, `${at}/setTag`, TAG);
  found.problems.push(
    ...verifyTags(range.tags, `${at}/tags`),
    ...verifyLeaseTime(range.leaseTime, `${at}/leaseTime`),
  );
  if (range.kind === 'range6') {
    found.integer(range.prefixLength, `${at}/prefixLength`, 64, 128);
    found.text(range.constructedFrom, `${at}/constructedFrom`, INTERFACE);
    for (const key of ['first', 'last'] as const) {
      const address = range[key];
      found.text(address, `${at}/${key}`, ADDRESS);
      if (address !== undefined && familyOf(address) !== 6)
        found.add(`${at}/${key}`, 'wrong-family', `${address} is not IPv6`, 'Use an IPv6 address.');
    }
    const modes = new Set(range.modes);
    if (range.last !== undefined && parseIp(range.first) !== null && parseIp(range.last) !== null) {
      if (compareIp(range.first, range.last) > 0)
        found.add(`${at}/last`, 'range-reversed', `${range.last} is before ${range.first}`, 'Swap them.');
      // dnsmasq: "bad dhcp-range"
      if (modes.has('static'))
        found.add(
          `${at}/last`,
          'range-static',
          'a static range gives out no addresses of its own',
          'Leave the last address out.',
        );
    }
    if (range.last === undefined && modes.size === 0) {
      found.add(
        `${at}/modes`,
        'range-purpose',
        'the range has neither a last address nor a mode',
        'Name the last address, or a mode such as "static" or "ra-only".',
      );
    }
    if (modes.size !== range.modes.length)
      found.add(`${at}/modes`, 'duplicate', 'a mode is there twice', 'Keep one.');
    if (range.prefixLength !== 64 && range.modes.some((mode) => mode !== 'static')) {
      // dnsmasq: "prefix length must be exactly 64 for RA subnets"
      found.add(`${at}/prefixLength`, 'prefix-length', 'router advertisements need a /64', 'Use 64.');
    }
    return;
  }
  if (parseIpv4Prefix(range.prefix) === null) {
    found.add(
      `${at}/prefix`,
      'bad-prefix',
      `${JSON.stringify(range.prefix)} is not an IPv4 network`,
      'Write it as 10.1.1.0/24, host bits zero.',
    );
    return;
  }
  if (range.kind === 'static4') return;
  for (const key of ['first', 'last'] as const) {
    const address = range[key];
    if (parseIp(address) !== address) found.text(address, `${at}/${key}`, ADDRESS);
    else if (!prefixContains(range.prefix, address)) {
      found.add(
        `${at}/${key}`,
        'address-outside-prefix',
        `${address} is not in ${range.prefix}`,
        'Use an address of the network.',
      );
    }
  }
  if (
    parseIp(range.first) !== null &&
    parseIp(range.last) !== null &&
    compareIp(range.first, range.last) > 0
  ) {
    found.add(`${at}/last`, 'range-reversed', `${range.last} is before ${range.first}`, 'Swap them.');
  }
}

function verifyDhcp(dhcp: DhcpConfig, found: Findings): void {
  dhcp.ranges.forEach((range, index) => {
    verifyRange(range, `/dhcp/ranges/${index}`, found);
  });
  const networks = dhcp.ranges.map((range) =>
    range.kind === 'range6' ? null : parseIpv4Prefix(range.prefix),
  );
  networks.forEach((network, index) => {
    const other = networks.findIndex((candidate, position) => {
      // One network may have several ranges; two networks must not overlap.
      return (
        position < index &&
        candidate !== null &&
        network !== null &&
        candidate !== network &&
        prefixesOverlap(candidate, network)
      );
    });
    if (other !== -1)
      found.add(
        `/dhcp/ranges/${index}/prefix`,
        'prefix-overlap',
        `${network} overlaps ${networks[other]} at /dhcp/ranges/${other}`,
        'Keep networks apart.',
      );
  });
  found.problems.push(
    ...(dhcp.options ?? []).flatMap((option, index) => verifyOption(option, `/dhcp/options/${index}`)),
  );
  found.text(dhcp.leaseFile, '/dhcp/leaseFile', PATH);
  found.text(dhcp.script, '/dhcp/script', PATH);
  found.text(dhcp.scriptUser, '/dhcp/scriptUser', USER);
  for (const key of ['hostsDirectories', 'hostsFiles', 'optionsDirectories', 'optionsFiles'] as const) {
    found.texts(dhcp[key], `/dhcp/${key}`, PATH);
  }
  found.integer(dhcp.maximumLeases, '/dhcp/maximumLeases', 1, 1_000_000);
}

/**
 * Every problem of a configuration and of what goes with it; an empty list means that it renders to lines that say just that.
 *
 * @param reservations of hosts directories and files, pointed to as `/reservations/N`; checked together with those of the configuration
 * @param names of hosts files, pointed to as `/names/N`
 */
export function verifyConfig(
  config: DnsmasqConfig,
  reservations: readonly HostReservation[] = [],
  names: readonly HostNames[] = [],
): Problem[] {
  const found = new Findings();
  found.texts(config.interfaces, '/interfaces', INTERFACE);
  found.texts(config.exceptInterfaces, '/exceptInterfaces', INTERFACE);
  found.texts(config.noDhcpInterfaces, '/noDhcpInterfaces', INTERFACE);
  found.texts(config.listenAddresses, '/listenAddresses', ADDRESS);
  if (config.interfaces.length === 0 && (config.listenAddresses ?? []).length === 0) {
    found.add(
      '/interfaces',
      'listens-everywhere',
      'neither an interface nor an address is named',
      'Name where to listen: without either, dnsmasq answers on every interface.',
    );
  }
  verifyDns(config.dns, found);
  const ranges = config.dhcp?.ranges ?? [];
  if (config.dhcp !== undefined) verifyDhcp(config.dhcp, found);
  const own = config.dhcp?.hosts ?? [];
  // Together, so that one set of rules finds what is there twice; the pointers say which list it was.
  const hosts = verifyHosts([...own, ...reservations], ranges, '/hosts').map((problem) => ({
    ...problem,
    pointer: hostPointer(problem.pointer, own.length),
    message: problem.message.replace(/\/hosts\/[0-9]+\S*/, (pointer) => hostPointer(pointer, own.length)),
  }));
  found.problems.push(...hosts, ...verifyNames(names));
  const maximum = config.dhcp?.maximumLeases ?? 1000;
  if (own.length + reservations.length > maximum) {
    found.add(
      '/dhcp/maximumLeases',
      'too-few-leases',
      `${own.length + reservations.length} hosts and ${maximum} leases`,
      'Raise it: dnsmasq gives out no more leases than that.',
    );
  }
  (config.routerAdvertisements ?? []).forEach((advertisement, index) => {
    const at = `/routerAdvertisements/${index}`;
    found.text(advertisement.interface, `${at}/interface`, INTERFACE);
    if (advertisement.mtu !== 'off') found.integer(advertisement.mtu, `${at}/mtu`, 1280, 65535);
    // RFC 4861, 6.2.1: MaxRtrAdvInterval 4 to 1800, AdvDefaultLifetime 0 or up to 9000
    if (advertisement.interval !== 0) found.integer(advertisement.interval, `${at}/interval`, 4, 1800);
    if (advertisement.routerLifetime !== 0)
      found.integer(
        advertisement.routerLifetime,
        `${at}/routerLifetime`,
        Math.max(1, advertisement.interval),
        9000,
      );
  });
  found.text(config.user, '/user', USER);
  found.text(config.group, '/group', USER);
  found.text(config.pidFile, '/pidFile', PATH);
  found.text(config.log?.facility, '/log/facility', FACILITY);
  return found.problems;
}

function hostPointer(pointer: string, ownCount: number): string {
  return pointer.replace(/^\/hosts\/([0-9]+)/, (_, index: string) => {
    return Number(index) < ownCount ? `/dhcp/hosts/${index}` : `/reservations/${Number(index) - ownCount}`;
  });
}
