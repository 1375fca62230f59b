import type { IpAddress, Ipv4, Ipv4Prefix, Ipv6, MacAddress } from 'ip';
import type { DhcpOption } from './dhcp-option.ts';

/** Seconds, at least 120 (dnsmasq raises anything less without a word), or for ever. */
export type LeaseTime = number | 'infinite';

/** What one client is given, found by its MAC address. */
export interface HostReservation {
  readonly mac: MacAddress;
  /** At most one IPv4 address; any number of IPv6 addresses. */
  readonly addresses: readonly IpAddress[];
  /** One label, without the domain. */
  readonly hostname?: string;
  readonly leaseTime?: LeaseTime;
  /**
   * Set for this host (`set:`). With a tag in a dhcp-hostsfile or -hostsdir, dnsmasq 2.90 crashes at SIGHUP: {@link planChange} answers
   * `restart` where it would have answered `reload`. In the configuration file tags are harmless.
   */
  readonly tags?: readonly string[];
  /** Options for this host alone; sets a tag made of its MAC address. */
  readonly options?: readonly DhcpOption[];
}

/** Names of one address, as in hosts(5): the first is the canonical one (PTR). */
export interface HostNames {
  readonly address: IpAddress;
  readonly names: readonly string[];
}

export interface StaticRange4 {
  readonly kind: 'static4';
  /** Only reserved hosts are served. */
  readonly prefix: Ipv4Prefix;
  readonly leaseTime?: LeaseTime;
  readonly setTag?: string;
  readonly tags?: readonly string[];
}

export interface DynamicRange4 {
  readonly kind: 'dynamic4';
  readonly first: Ipv4;
  readonly last: Ipv4;
  readonly prefix: Ipv4Prefix;
  readonly leaseTime?: LeaseTime;
  readonly setTag?: string;
  readonly tags?: readonly string[];
}

/** `static` serves reserved hosts only; the others are dnsmasq(8)'s own words. */
export type Range6Mode =
  | 'static'
  | 'ra-only'
  | 'ra-stateless'
  | 'slaac'
  | 'ra-names'
  | 'ra-advrouter'
  | 'off-link';

export interface Range6 {
  readonly kind: 'range6';
  /** The network (`2001:db8::`), the first address to give out, or with `constructedFrom` the host part alone (`::`, `::100`). */
  readonly first: Ipv6;
  /** Last address to give out. Without it nothing is given out dynamically. */
  readonly last?: Ipv6;
  /** Take the network from the addresses of this interface, and follow them as they change. */
  readonly constructedFrom?: string;
  readonly modes: readonly Range6Mode[];
  /** Bits, 64 to 128. */
  readonly prefixLength: number;
  readonly leaseTime?: LeaseTime;
  readonly setTag?: string;
  readonly tags?: readonly string[];
}

export type DhcpRange = StaticRange4 | DynamicRange4 | Range6;

export interface DhcpConfig {
  readonly ranges: readonly DhcpRange[];
  readonly options?: readonly DhcpOption[];
  /** Reservations in the configuration file itself: a change of one costs a restart. */
  readonly hosts?: readonly HostReservation[];
  /** Directories watched by inotify: one or more reservations a file. */
  readonly hostsDirectories?: readonly string[];
  /** Files (or directories) read at start and SIGHUP. */
  readonly hostsFiles?: readonly string[];
  readonly optionsDirectories?: readonly string[];
  readonly optionsFiles?: readonly string[];
  /** The only DHCP server here: answers NAK to clients with leases it does not know. */
  readonly authoritative?: boolean;
  readonly leaseFile: string;
  /** Default of dnsmasq: 1000. */
  readonly maximumLeases?: number;
  /** Program called with `add|old|del MAC ADDRESS HOSTNAME` on every change of a lease. */
  readonly script?: string;
  readonly scriptUser?: string;
  readonly sequentialAddresses?: boolean;
  /** Do not ping an address before giving it out (saves 3 s; safe where ports are pinned to their addresses). */
  readonly noPing?: boolean;
  readonly rapidCommit?: boolean;
  /** Do not use the name a client calls itself. */
  readonly ignoreClientNames?: boolean;
}

export interface UpstreamServer {
  readonly address: IpAddress;
  readonly port?: number;
  /** Only for names in these domains. */
  readonly domains?: readonly string[];
}

export interface DnsConfig {
  /** 0 turns DNS off. Default 53. */
  readonly port?: number;
  /** Domain of DHCP clients and for `expandHosts`. */
  readonly domain?: string;
  /** Domains answered from here alone, never asked upstream. */
  readonly localDomains?: readonly string[];
  /** Add the domain to names without a dot in hosts files. */
  readonly expandHosts?: boolean;
  readonly domainNeeded?: boolean;
  readonly bogusPrivate?: boolean;
  readonly servers?: readonly UpstreamServer[];
  /** Upstream servers from this file, polled by dnsmasq. Without it none is read. */
  readonly resolvFile?: string;
  readonly strictOrder?: boolean;
  readonly allServers?: boolean;
  readonly stopRebind?: boolean;
  readonly rebindAllowedDomains?: readonly string[];
  /** Entries; 0 turns caching off. Default of dnsmasq: 150. */
  readonly cacheSize?: number;
  /** Seconds for names from here. */
  readonly localTtl?: number;
  readonly maximumForwards?: number;
  readonly hostRecords?: readonly HostNames[];
  readonly aliases?: readonly { readonly alias: string; readonly target: string }[];
  readonly txtRecords?: readonly { readonly name: string; readonly text: string }[];
  /** Watched by inotify. */
  readonly hostsDirectories?: readonly string[];
  /** Read at start and SIGHUP. */
  readonly hostsFiles?: readonly string[];
}

export interface RouterAdvertisement {
  readonly interface: string;
  /** Octets; `off` leaves the option out. */
  readonly mtu?: number | 'off';
  readonly priority?: 'high' | 'low';
  /** Seconds; 0 is dnsmasq's default. */
  readonly interval: number;
  /** Seconds; 0: prefixes are announced, but no route through here. */
  readonly routerLifetime?: number;
}

/** One dnsmasq. Nothing of the machine is read that is not named here: no /etc/hosts, no /etc/resolv.conf. */
export interface DnsmasqConfig {
  readonly interfaces: readonly string[];
  readonly exceptInterfaces?: readonly string[];
  /** DNS only on these. */
  readonly noDhcpInterfaces?: readonly string[];
  readonly listenAddresses?: readonly IpAddress[];
  /** `dynamic` also binds to interfaces and addresses that appear later. */
  readonly bind: 'interfaces' | 'dynamic' | 'wildcard';
  readonly dns: DnsConfig;
  readonly dhcp?: DhcpConfig;
  /** `enable-ra`: advertise on every interface with an IPv6 range. */
  readonly enableRouterAdvertisements?: boolean;
  readonly routerAdvertisements?: readonly RouterAdvertisement[];
  readonly log?: {
    /** Absolute path, `-` for standard error, or a syslog facility in capitals. */
    readonly facility?: string;
    readonly dhcp?: boolean;
    readonly queries?: boolean;
    readonly quietDhcp?: boolean;
    readonly quietRa?: boolean;
  };
  readonly user?: string;
  readonly group?: string;
  readonly pidFile?: string;
}
