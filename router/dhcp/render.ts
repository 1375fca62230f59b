import type { DhcpOption, HostReservation, StaticRange4 } from 'dnsmasq-config';
import type { Ipv4, Ipv4Prefix, MacAddress } from 'ip';
import type { DhcpPart } from './schema.ts';

/** dnsmasq's DHCP service: for which networks, with which options, for whom. */
export interface RenderedDhcp {
  /** Id of the router. */
  readonly subject: string;
  /** Devices DHCP is served on. */
  readonly interfaces: readonly string[];
  readonly ranges: readonly StaticRange4[];
  readonly options: readonly DhcpOption[];
  readonly reservations: readonly HostReservation[];
  /** Where a lease in a network is given back: the router's own address there. */
  readonly servers: readonly { readonly prefix: Ipv4Prefix; readonly server: Ipv4 }[];
}

/** dnsmasq raises shorter leases to two minutes without a word; so that what is shown is what is given, we do it here. */
const SHORTEST_LEASE = 120;

/** dnsmasq's DHCP service for a document; pure. */
export const render = ({ id, legs, dhcpSubnets, dhcpHosts }: DhcpPart): RenderedDhcp => {
  const legById = new Map(legs.map((leg) => [leg.id, leg]));
  const served = dhcpSubnets.flatMap((subnet) => {
    const leg = legById.get(subnet.leg);
    return leg === undefined ? [] : [{ ...subnet, device: leg.device, mtu: leg.mtu, tag: leg.device }];
  });
  return {
    subject: id,
    interfaces: [...new Set(served.map(({ device }) => device))],
    ranges: served.map(({ prefix, leaseTime, tag }) => ({
      kind: 'static4',
      prefix: prefix as Ipv4Prefix,
      leaseTime: leaseTime === 0 ? 'infinite' : Math.max(leaseTime, SHORTEST_LEASE),
      setTag: tag,
    })),
    // RFC 2132: 3 router, 6 name servers, 15 domain, 26 interface MTU. dnsmasq itself adds 1 mask, 28 broadcast, 12 host name.
    options: served.flatMap(({ gateway, dnsServers, domain, mtu, tag }): DhcpOption[] => [
      { family: 4, code: 3, tags: [tag], value: { type: 'addresses', addresses: [gateway as Ipv4] } },
      {
        family: 4,
        code: 6,
        tags: [tag],
        value:
          dnsServers.length === 0 ? { type: 'none' } : { type: 'addresses', addresses: dnsServers as Ipv4[] },
      },
      { family: 4, code: 15, tags: [tag], value: { type: 'text', text: domain } },
      // Forced: a guest that does not ask for its MTU would find out by packets that get lost.
      { family: 4, code: 26, tags: [tag], force: true, value: { type: 'number', value: mtu, octets: 2 } },
    ]),
    reservations: dhcpHosts.map(({ mac, address, hostname }) => ({
      mac: mac as MacAddress,
      addresses: [address as Ipv4],
      hostname,
    })),
    servers: served.map(({ prefix, gateway }) => ({ prefix: prefix as Ipv4Prefix, server: gateway as Ipv4 })),
  };
};
