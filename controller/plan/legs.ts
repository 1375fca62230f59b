import type { Leg } from 'documents';
import { compareIp, type IpAddress, type Prefix, prefixLength } from 'ip';
import { byId } from './by-id.ts';
import type { PublicIpFact, RouterFacts } from './facts.ts';
import { guestPort, publicPort } from './router-legs.ts';

/**
 * Guest leg and public leg. MAC addresses are the network's, not the router's, so that a successor has the same.
 * Addresses of ranges with another gateway stand on the same public leg; the default route is that of the first.
 */
export const planLegs = (facts: RouterFacts): Leg[] => {
  const legs: Leg[] = [];
  const guest = guestPort(facts);
  const outside = publicPort(facts);
  const { network } = facts;
  if (guest !== undefined) {
    legs.push({
      id: guest.id,
      role: 'guest',
      device: 'guest0',
      mac: network.gatewayMac,
      mtu: network.mtu,
      addresses: [`${network.gateway}/${prefixLength(network.prefix as Prefix)}`],
      gateways: [],
    });
  }
  if (outside !== undefined) {
    const ips = [...facts.publicIps].sort(sourceNatFirst);
    legs.push({
      id: outside.id,
      role: 'public',
      device: 'public0',
      mac: network.publicMac,
      mtu: facts.zone.publicMtu,
      addresses: ips.map((ip) => `${ip.address}/${prefixLength(ip.prefix as Prefix)}`),
      gateways: ips[0] === undefined ? [] : [ips[0].gateway],
    });
  }
  return byId(legs);
};

const sourceNatFirst = (a: PublicIpFact, b: PublicIpFact): number =>
  Number(b.sourceNat) - Number(a.sourceNat) || compareIp(a.address as IpAddress, b.address as IpAddress);
