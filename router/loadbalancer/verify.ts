import type { LoadBalancer, Problem } from 'documents';
import { addressOfPrefix, type IpAddress, networkOf, type Prefix, prefixContains } from 'ip';
import type { Scope } from '../feature.ts';
import type { LoadBalancerPart } from './schema.ts';

const listener = ({ publicAddress, port }: LoadBalancer): string => `${publicAddress}:${port}`;

/** Members of one balancer: unique, and guests of this router. */
const memberProblems = (balancer: LoadBalancer, pointer: string, document: LoadBalancerPart): Problem[] => {
  const guestAddresses = document.legs
    .filter(({ role }) => role === 'guest')
    .flatMap(({ addresses }) => addresses as Prefix[]);
  const networks = guestAddresses.map((address) => networkOf(address));
  const own = new Set(guestAddresses.map((address) => String(addressOfPrefix(address))));
  const problems: Problem[] = [];
  const seen = new Map<string, string>();
  for (const [index, member] of balancer.members.entries()) {
    const at = `${pointer}/members/${index}`;
    if (seen.has(member.id)) {
      problems.push({
        pointer: `${at}/id`,
        code: 'duplicate-member',
        message: `Member ${member.id} stands twice in load balancer ${balancer.id}`,
        hint: 'Give every member an id of its own.',
      });
    }
    const target = `${member.address}:${member.port}`;
    const twin = seen.get(target);
    if (twin !== undefined && twin !== member.id) {
      problems.push({
        pointer: at,
        code: 'duplicate-member',
        message: `Members ${twin} and ${member.id} of load balancer ${balancer.id} are the same, ${target}`,
        hint: 'List each address and port once.',
      });
    }
    seen.set(member.id, member.id);
    seen.set(target, member.id);
    if (own.has(member.address)) {
      problems.push({
        pointer: `${at}/address`,
        code: 'member-is-router',
        message: `${member.address} is the router's own address`,
        hint: 'Members are guests; use the address of one.',
      });
    } else if (!networks.some((network) => prefixContains(network, member.address as IpAddress))) {
      problems.push({
        pointer: `${at}/address`,
        code: 'member-outside-network',
        message: `${member.address} is in no guest network of this router`,
        hint: `Use an address in ${networks.join(' or ') || 'a guest network; this router has none'}.`,
      });
    }
  }
  return problems;
};

/** Listeners among each other and on the legs. */
const listenerProblems = (
  document: LoadBalancerPart,
  wanted: (balancer: LoadBalancer) => boolean,
): Problem[] => {
  const publicAddresses = new Set(
    document.legs
      .filter(({ role }) => role === 'public')
      .flatMap(({ addresses }) => (addresses as Prefix[]).map((address) => String(addressOfPrefix(address)))),
  );
  const problems: Problem[] = [];
  const owners = new Map<string, LoadBalancer>();
  for (const [index, balancer] of document.loadBalancers.entries()) {
    const pointer = `/loadBalancers/${index}`;
    const owner = owners.get(listener(balancer));
    if (owner === undefined) owners.set(listener(balancer), balancer);
    else if (wanted(balancer) || wanted(owner)) {
      problems.push({
        pointer: `${pointer}/port`,
        code: 'duplicate-listener',
        message: `Load balancer ${balancer.id} listens on ${listener(balancer)}, as ${owner.id} does`,
        hint: 'Choose another port or public address.',
      });
    }
    if (!wanted(balancer)) continue;
    // This also keeps listeners off the router's own services (DNS, DHCP, metadata), which are on guest legs only.
    if (!publicAddresses.has(balancer.publicAddress)) {
      problems.push({
        pointer: `${pointer}/publicAddress`,
        code: 'address-not-on-leg',
        message: `${balancer.publicAddress} is on no public leg of this router`,
        hint: `Use one of: ${[...publicAddresses].slice(0, 20).join(', ') || '(there is no public address)'}.`,
      });
    }
    problems.push(...memberProblems(balancer, pointer, document));
  }
  return problems;
};

/** Translations happen before a connection could reach a listener, so they must leave its port alone. */
const translationProblems = (
  document: LoadBalancerPart,
  wanted: (balancer: LoadBalancer) => boolean,
  scope: Scope | undefined,
): Problem[] => {
  const byAddress = new Map<string, LoadBalancer[]>();
  for (const balancer of document.loadBalancers) {
    byAddress.set(balancer.publicAddress, [...(byAddress.get(balancer.publicAddress) ?? []), balancer]);
  }
  const problems: Problem[] = [];
  for (const [index, nat] of document.staticNats.entries()) {
    for (const balancer of byAddress.get(nat.publicAddress) ?? []) {
      if (!wanted(balancer) && scope?.staticNats?.has(nat.id) !== true) continue;
      problems.push({
        pointer: `/staticNats/${index}/publicAddress`,
        code: 'translated-listener',
        message: `Static NAT ${nat.id} takes all of ${nat.publicAddress}, where load balancer ${balancer.id} listens`,
        hint: 'Use another public address for one of them.',
      });
    }
  }
  for (const [index, forward] of document.portForwards.entries()) {
    if (forward.protocol !== 'tcp') continue;
    for (const balancer of byAddress.get(forward.publicAddress) ?? []) {
      if (balancer.port < forward.publicPorts.first || balancer.port > forward.publicPorts.last) continue;
      if (!wanted(balancer) && scope?.portForwards?.has(forward.id) !== true) continue;
      problems.push({
        pointer: `/portForwards/${index}/publicPorts`,
        code: 'translated-listener',
        message: `Port forward ${forward.id} takes port ${balancer.port} of ${forward.publicAddress}, where load balancer ${balancer.id} listens`,
        hint: 'Use another port or public address for one of them.',
      });
    }
  }
  return problems;
};

/** Everything wrong with the load balancers of a document. */
export const verify = (document: LoadBalancerPart, scope?: Scope): Problem[] => {
  if (document.loadBalancers.length === 0) return [];
  const all = scope === undefined || scope.legs !== undefined;
  const wanted = ({ id }: LoadBalancer): boolean => all || scope.loadBalancers?.has(id) === true;
  const untouched = ['loadBalancers', 'staticNats', 'portForwards'] as const;
  if (!all && untouched.every((name) => scope[name] === undefined)) return [];
  return [...listenerProblems(document, wanted), ...translationProblems(document, wanted, scope)];
};
