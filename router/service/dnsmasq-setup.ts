import { type DnsmasqSetup, type RenderedFiles, renderFiles } from 'dnsmasq-config';
import type { RenderedDhcp } from '../dhcp/render.ts';
import type { RenderedDns } from '../dns/render.ts';

/** Reservations bound the number of leases; this only has to be more than they can be. */
const MOST_LEASES = 100_000;

/** What one dnsmasq is made of: two features, each with its own part. */
export interface DnsmasqParts {
  readonly dns: RenderedDns;
  readonly dhcp: RenderedDhcp;
}

/** Whether there is anybody to serve, and anything to tell them. */
export const isNeeded = ({ dns, dhcp }: DnsmasqParts): boolean =>
  dns.interfaces.length > 0 &&
  (dhcp.ranges.length > 0 || dns.names.length > 0 || (dns.dns.servers ?? []).length > 0);

/** The one dnsmasq that two parts make, in `directory`; pure. */
export const dnsmasqSetup = (directory: string, { dns, dhcp }: DnsmasqParts): DnsmasqSetup => ({
  directory,
  config: {
    interfaces: dns.interfaces,
    noDhcpInterfaces: dns.interfaces.filter((name) => !dhcp.interfaces.includes(name)),
    // Binds to each address of these devices by itself, also to those that come later, and never to the wildcard address:
    // on a public leg there is no socket that could answer.
    bind: 'dynamic',
    dns: dns.dns,
    ...(dhcp.ranges.length === 0
      ? {}
      : {
          dhcp: {
            ranges: dhcp.ranges,
            options: dhcp.options,
            // There is no other server on these networks: a client with a lease from elsewhere is told so at once.
            authoritative: true,
            leaseFile: `${directory}/leases`,
            maximumLeases: MOST_LEASES,
            // Ports are pinned to their addresses, so nobody else can have one; the ping would cost three seconds.
            noPing: true,
            // A guest is called what its reservation says, never what it calls itself: names are not for the taking.
            ignoreClientNames: true,
          },
        }),
    log: { facility: '-', quietDhcp: true },
    pidFile: `${directory}/pid`,
  },
  reservations: dhcp.reservations,
  names: dns.names,
});

/** All files of that dnsmasq. */
export const dnsmasqFiles = (directory: string, parts: DnsmasqParts): RenderedFiles =>
  renderFiles(dnsmasqSetup(directory, parts));
