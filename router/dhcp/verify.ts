import type { Problem } from 'documents';
import { addressOfPrefix, type IpAddress, type Prefix, prefixContains, prefixRange } from 'ip';
import type { Scope } from '../feature.ts';
import type { DhcpPart } from './schema.ts';

const subnetProblems = ({ legs, dhcpSubnets }: DhcpPart): Problem[] => {
  const problems: Problem[] = [];
  const owners = new Map<string, string>();
  for (const [index, subnet] of dhcpSubnets.entries()) {
    const pointer = `/dhcpSubnets/${index}`;
    const leg = legs.find(({ id }) => id === subnet.leg);
    if (leg === undefined) continue;
    const owner = owners.get(subnet.leg);
    if (owner !== undefined) {
      problems.push({
        pointer: `${pointer}/leg`,
        code: 'duplicate-subnet',
        message: `${subnet.id} serves leg ${subnet.leg}, as ${owner} does`,
        hint: 'Describe DHCP once for each leg.',
      });
    }
    owners.set(subnet.leg, subnet.id);
    if (leg.role !== 'guest') {
      problems.push({
        pointer: `${pointer}/leg`,
        code: 'not-a-guest-leg',
        message: `Leg ${leg.id} is a ${leg.role} leg; DHCP is for guests only`,
        hint: 'Use a guest leg.',
      });
    }
    if (!prefixContains(subnet.prefix as Prefix, subnet.gateway as IpAddress)) {
      problems.push({
        pointer: `${pointer}/gateway`,
        code: 'address-outside-prefix',
        message: `The gateway ${subnet.gateway} is not in ${subnet.prefix}`,
        hint: `Use an address in ${subnet.prefix}.`,
      });
    }
    if (
      !leg.addresses.some((address) =>
        prefixContains(subnet.prefix as Prefix, addressOfPrefix(address as Prefix)),
      )
    ) {
      problems.push({
        pointer: `${pointer}/prefix`,
        code: 'leg-outside-prefix',
        message: `Leg ${leg.id} has no address in ${subnet.prefix}, so dnsmasq cannot serve it`,
        hint: `Give the leg one of its addresses in ${subnet.prefix}, or correct the prefix.`,
      });
    }
  }
  return problems;
};

/** Why guests cannot have an address; null when they can. */
const addressFault = (
  document: DhcpPart,
  legId: string,
  address: string,
): [code: string, message: string, hint: string] | null => {
  const subnet = document.dhcpSubnets.find(({ leg }) => leg === legId);
  if (subnet === undefined) {
    return [
      'no-subnet',
      `Leg ${legId} has no DHCP subnet`,
      'Describe the subnet in dhcpSubnets, or remove the host.',
    ];
  }
  const prefix = subnet.prefix as Prefix;
  if (!prefixContains(prefix, address as IpAddress)) {
    return ['address-outside-prefix', `${address} is not in ${prefix}`, `Use an address in ${prefix}.`];
  }
  const { network, broadcast } = prefixRange(prefix);
  if (broadcast !== null && (address === network || address === broadcast)) {
    return [
      'address-not-usable',
      `${address} names the network ${prefix} or is its broadcast address`,
      'Use another address.',
    ];
  }
  const leg = document.legs.find(({ id }) => id === legId);
  if (
    address === subnet.gateway ||
    leg?.addresses.some((own) => addressOfPrefix(own as Prefix) === address) === true
  ) {
    return ['address-of-router', `${address} is the router's own`, 'Use another address.'];
  }
  return null;
};

/** Everything wrong with DHCP in a document. */
export const verify = (document: DhcpPart, scope?: Scope): Problem[] => {
  const wide = scope === undefined || scope.legs !== undefined || scope.dhcpSubnets !== undefined;
  if (!wide && scope.dhcpHosts === undefined) return [];
  const problems = wide ? subnetProblems(document) : [];
  const owners = new Map<string, string>();
  for (const [index, host] of document.dhcpHosts.entries()) {
    const inScope = (id: string): boolean => wide || scope.dhcpHosts?.has(id) === true;
    for (const field of ['mac', 'address'] as const) {
      const owner = owners.get(host[field]);
      // One dnsmasq serves all legs and finds a host by its MAC alone, so a MAC is one host's in the whole router.
      if (owner === undefined) owners.set(host[field], host.id);
      else if (inScope(host.id) || inScope(owner)) {
        problems.push({
          pointer: `/dhcpHosts/${index}/${field}`,
          code: `duplicate-${field}`,
          message: `${host.id} has the ${field === 'mac' ? 'MAC' : 'address'} ${host[field]} of ${owner}`,
          hint: `Give every host ${field === 'mac' ? 'a MAC' : 'an address'} of its own.`,
        });
      }
    }
    if (!inScope(host.id)) continue;
    const fault = addressFault(document, host.leg, host.address);
    if (fault === null) continue;
    const [code, message, hint] = fault;
    problems.push({
      pointer: `/dhcpHosts/${index}/${code === 'no-subnet' ? 'leg' : 'address'}`,
      code,
      message,
      hint,
    });
  }
  return problems;
};
