import type { DhcpSubnet } from 'documents';
import { isIpv4, type IpAddress } from 'ip';
import type { RouterFacts } from './facts.ts';
import { derivedId } from './ids.ts';
import { guestPort } from './router-legs.ts';
import { offers } from './services.ts';

/**
 * A guest's address is its port's for as long as the port lives, so leases are for ever (RFC 2131, 3.3): a guest keeps
 * working however long no router answers. Without our DNS guests are sent to the zone's resolvers themselves.
 */
export const planDhcpSubnets = (facts: RouterFacts): DhcpSubnet[] => {
  const guest = guestPort(facts);
  if (guest === undefined || !offers(facts, 'dhcp')) return [];
  const { prefix, gateway, domain } = facts.network;
  const dnsServers = offers(facts, 'dns')
    ? [gateway]
    : facts.zone.dns.filter((server) => isIpv4(server as IpAddress)).slice(0, 8);
  return [
    { id: derivedId('dhs', guest.id), leg: guest.id, prefix, gateway, dnsServers, domain, leaseTime: 0 },
  ];
};
