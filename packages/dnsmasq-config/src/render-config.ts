import { addressOfPrefix, netmask, networkOf } from 'ip';
import type {
  DhcpConfig,
  DhcpRange,
  DnsConfig,
  DnsmasqConfig,
  RouterAdvertisement,
} from './dnsmasq-config-types.ts';
import { file, line } from './line.ts';
import { leaseTimeField, renderHost } from './render-hosts.ts';
import { hostOptions, renderOption } from './render-options.ts';

const flag = (isSet: boolean | undefined, name: string): string[] => (isSet ? [name] : []);
const each = (key: string, values: readonly (string | number)[] | undefined): string[] =>
  (values ?? []).map((value) => line(key, value));
const one = (key: string, value: string | number | undefined): string[] =>
  value === undefined ? [] : [line(key, value)];

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', `# ${title}`, ...lines];
}

function range(value: DhcpRange): string {
  const tags = [
    ...(value.tags ?? []).map((tag) => `tag:${tag}`),
    ...(value.setTag === undefined ? [] : [`set:${value.setTag}`]),
  ];
  const leaseTime = leaseTimeField(value.leaseTime);
  switch (value.kind) {
    case 'static4':
      return line(
        'dhcp-range',
        ...tags,
        addressOfPrefix(networkOf(value.prefix)),
        'static',
        netmask(value.prefix),
        leaseTime,
      );
    case 'dynamic4':
      return line('dhcp-range', ...tags, value.first, value.last, netmask(value.prefix), leaseTime);
    case 'range6': {
      const from = value.constructedFrom === undefined ? undefined : `constructor:${value.constructedFrom}`;
      return line(
        'dhcp-range',
        ...tags,
        value.first,
        value.last,
        from,
        ...value.modes,
        value.prefixLength,
        leaseTime,
      );
    }
  }
}

function dnsLines(dns: DnsConfig): string[] {
  return [
    ...one('port', dns.port),
    ...one('domain', dns.domain),
    ...(dns.localDomains ?? []).map((name) => line('local', `/${name}/`)),
    ...flag(dns.expandHosts, 'expand-hosts'),
    ...flag(dns.domainNeeded, 'domain-needed'),
    ...flag(dns.bogusPrivate, 'bogus-priv'),
    'no-hosts',
    ...(dns.resolvFile === undefined ? ['no-resolv'] : [line('resolv-file', dns.resolvFile)]),
    ...(dns.servers ?? []).map(({ address, port, domains = [] }) => {
      const scope = domains.length === 0 ? '' : `/${domains.join('/')}/`;
      // dnsmasq separates the port by '#', which is no comment here as no space is before it; the number comes from us.
      return `${line('server', `${scope}${address}`)}${port === undefined ? '' : `#${Math.trunc(port)}`}`;
    }),
    ...flag(dns.strictOrder, 'strict-order'),
    ...flag(dns.allServers, 'all-servers'),
    ...flag(dns.stopRebind, 'stop-dns-rebind'),
    ...(dns.rebindAllowedDomains ?? []).map((name) => line('rebind-domain-ok', `/${name}/`)),
    ...one('cache-size', dns.cacheSize),
    ...one('local-ttl', dns.localTtl),
    ...one('dns-forward-max', dns.maximumForwards),
    ...(dns.hostRecords ?? []).map(({ address, names }) => line('host-record', ...names, address)),
    ...(dns.aliases ?? []).map(({ alias, target }) => line('cname', alias, target)),
    ...(dns.txtRecords ?? []).map(({ name, text }) => line('txt-record', name, text)),
    ...each('hostsdir', dns.hostsDirectories),
    ...each('addn-hosts', dns.hostsFiles),
  ];
}

function dhcpLines(dhcp: DhcpConfig): string[] {
  const options = [...(dhcp.options ?? []), ...(dhcp.hosts ?? []).flatMap(hostOptions)];
  return [
    ...flag(dhcp.authoritative, 'dhcp-authoritative'),
    ...dhcp.ranges.map(range),
    ...options.map(
      (option) => `${option.force ? 'dhcp-option-force' : 'dhcp-option'}=${renderOption(option)}`,
    ),
    ...(dhcp.hosts ?? []).map((host) => `dhcp-host=${renderHost(host)}`),
    ...each('dhcp-hostsdir', dhcp.hostsDirectories),
    ...each('dhcp-hostsfile', dhcp.hostsFiles),
    ...each('dhcp-optsdir', dhcp.optionsDirectories),
    ...each('dhcp-optsfile', dhcp.optionsFiles),
    line('dhcp-leasefile', dhcp.leaseFile),
    ...one('dhcp-lease-max', dhcp.maximumLeases),
    ...one('dhcp-script', dhcp.script),
    ...one('dhcp-scriptuser', dhcp.scriptUser),
    ...flag(dhcp.sequentialAddresses, 'dhcp-sequential-ip'),
    ...flag(dhcp.noPing, 'no-ping'),
    ...flag(dhcp.rapidCommit, 'dhcp-rapid-commit'),
    ...flag(dhcp.ignoreClientNames, 'dhcp-ignore-names'),
  ];
}

function advertisement({
  interface: name,
  mtu,
  priority,
  interval,
  routerLifetime,
}: RouterAdvertisement): string {
  return line(
    'ra-param',
    name,
    mtu === undefined ? undefined : `mtu:${mtu}`,
    priority,
    interval,
    routerLifetime,
  );
}

/**
 * A configuration file for `dnsmasq --conf-file=`. The same value always gives the same text.
 *
 * @param config verified by `verifyConfig`
 * @throws {DnsmasqConfigError} `DNSMASQ_UNSAFE_TEXT` when it was not and a text would break out of its line
 */
export function renderConfig(config: DnsmasqConfig): string {
  const { bind, log = {} } = config;
  return file([
    '# Rendered whole from one document. Changes made here are lost.',
    ...section('listening', [
      ...each('interface', config.interfaces),
      ...each('except-interface', config.exceptInterfaces),
      ...each('no-dhcp-interface', config.noDhcpInterfaces),
      ...each('listen-address', config.listenAddresses),
      ...(bind === 'wildcard' ? [] : [bind === 'dynamic' ? 'bind-dynamic' : 'bind-interfaces']),
    ]),
    ...section('DNS', dnsLines(config.dns)),
    ...section('DHCP', config.dhcp === undefined ? [] : dhcpLines(config.dhcp)),
    ...section('router advertisements', [
      ...flag(config.enableRouterAdvertisements, 'enable-ra'),
      ...(config.routerAdvertisements ?? []).map(advertisement),
    ]),
    ...section('process', [
      ...one('user', config.user),
      ...one('group', config.group),
      ...one('pid-file', config.pidFile),
      ...one('log-facility', log.facility),
      ...flag(log.dhcp, 'log-dhcp'),
      ...flag(log.queries, 'log-queries'),
      ...flag(log.quietDhcp, 'quiet-dhcp'),
      ...flag(log.quietRa, 'quiet-ra'),
    ]),
  ]);
}
