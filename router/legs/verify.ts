import type { Leg, Problem, RouterDocument } from 'documents';
import { addressOfPrefix, familyOf, type IpAddress, type Prefix, prefixContains } from 'ip';
import type { Scope } from '../feature.ts';
import { ipv4AddressesOf } from './render.ts';

const gatewayProblems = (leg: Leg, pointer: string): Problem[] => {
  const families = new Set<number>();
  return leg.gateways.flatMap((gateway, index) => {
    const family = familyOf(gateway as IpAddress);
    const problems: Problem[] = [];
    if (families.has(family)) {
      problems.push({
        pointer: `${pointer}/gateways/${index}`,
        code: 'duplicate-gateway',
        message: `Leg ${leg.id} has two gateways of one address family`,
        hint: 'Give at most one IPv4 and one IPv6 gateway.',
      });
    }
    families.add(family);
    if (leg.role === 'guest') {
      problems.push({
        pointer: `${pointer}/gateways/${index}`,
        code: 'gateway-on-guest-leg',
        message: `Leg ${leg.id} is a guest leg: the router is the gateway there`,
        hint: 'Leave the gateways of guest legs empty.',
      });
    } else if (!leg.addresses.some((address) => prefixContains(address as Prefix, gateway as IpAddress))) {
      problems.push({
        pointer: `${pointer}/gateways/${index}`,
        code: 'gateway-out-of-reach',
        message: `The gateway ${gateway} is in no network of leg ${leg.id}`,
        hint: 'Use an address of the network that the leg is connected to.',
      });
    }
    return problems;
  });
};

/** Problems of the legs: addresses twice, gateways that cannot be reached. */
export const verifyLegs = (document: RouterDocument, scope?: Scope): Problem[] => {
  if (scope !== undefined && scope.legs === undefined) return [];
  const owners = new Map<string, string>();
  return document.legs.flatMap((leg, index) => {
    const pointer = `/legs/${index}`;
    const problems = gatewayProblems(leg, pointer);
    for (const [at, address] of leg.addresses.entries()) {
      const host = addressOfPrefix(address as Prefix);
      const owner = owners.get(host);
      if (owner !== undefined) {
        problems.push({
          pointer: `${pointer}/addresses/${at}`,
          code: 'duplicate-address',
          message: `${host} is an address of leg ${owner} already`,
          hint: 'Give every address to one leg, once.',
        });
      }
      owners.set(host, leg.id);
    }
    if (leg.role === 'guest' && ipv4AddressesOf(leg).length === 0) {
      problems.push({
        pointer: `${pointer}/addresses`,
        code: 'no-gateway-address',
        message: `Guest leg ${leg.id} has no IPv4 address`,
        hint: 'Give it the gateway address of its network, such as 10.1.1.1/24.',
      });
    }
    return problems;
  });
};
