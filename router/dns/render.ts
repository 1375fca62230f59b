import type { DnsConfig, HostNames } from 'dnsmasq-config';
import type { IpAddress } from 'ip';
import type { DnsPart } from './schema.ts';

/** dnsmasq's name service: on which devices, how, and the names it answers for itself. */
export interface RenderedDns {
  /** Id of the router. */
  readonly subject: string;
  /** Devices of the guest legs; dnsmasq answers on no other. */
  readonly interfaces: readonly string[];
  readonly dns: DnsConfig;
  readonly names: readonly HostNames[];
}

/** A name with and without the domain; the long one first, as that is what a reverse lookup shall give. */
const both = (name: string, domain: string): string[] =>
  name.endsWith(`.${domain}`) || name === domain ? [name] : [`${name}.${domain}`, name];

/** dnsmasq's name service for a document; pure. */
export const render = ({ id, legs, dhcpSubnets, dhcpHosts, dns }: DnsPart): RenderedDns => {
  const domainOf = new Map(dhcpSubnets.map(({ leg, domain }) => [leg, domain]));
  const domains = new Set([dns.domain, ...domainOf.values()]);
  const names: HostNames[] = dhcpHosts.map(({ leg, address, hostname }) => ({
    address: address as IpAddress,
    names: both(hostname, domainOf.get(leg) ?? dns.domain),
  }));
  for (const { name, address } of dns.records) {
    // A name of several labels is meant as it is; a single one also lives in the domain.
    names.push({
      address: address as IpAddress,
      names: name.includes('.') ? [name] : both(name, dns.domain),
    });
  }
  return {
    subject: id,
    interfaces: legs.filter(({ role }) => role === 'guest').map(({ device }) => device),
    dns: {
      port: 53,
      domain: dns.domain,
      // Names in our domains, and names of private addresses, are known here or not at all.
      localDomains: [...domains].toSorted(),
      domainNeeded: true,
      bogusPrivate: true,
      servers: dns.upstreams.map((address) => ({ address: address as IpAddress })),
      strictOrder: true,
      cacheSize: 1000,
      // A guest that is gone shall not live on in the caches of others.
      localTtl: 5,
    },
    names,
  };
};
