import type { Problem, RouterDocument } from 'documents';
import { type IpAddress, type Prefix, familyOf, prefixContains } from 'ip';
import { itemsInScope } from '../document/checks.ts';
import type { Scope } from '../feature.ts';

/** Problems of static routes: next hops that no leg reaches, two ways to one place. */
export const verifyRoutes = (document: RouterDocument, scope?: Scope): Problem[] => {
  const legs = new Map(document.legs.map((leg) => [leg.id, leg]));
  const byDestination = new Map<string, string>();
  for (const route of document.routes) {
    if (!byDestination.has(route.destination)) byDestination.set(route.destination, route.id);
  }
  return itemsInScope(document, 'routes', scope).flatMap(([index, route]) => {
    const pointer = `/routes/${index}`;
    const problems: Problem[] = [];
    const leg = legs.get(route.leg);
    if (familyOf(route.destination as Prefix) !== familyOf(route.via as IpAddress)) {
      problems.push({
        pointer: `${pointer}/via`,
        code: 'mixed-families',
        message: `The next hop ${route.via} is not of the address family of ${route.destination}`,
        hint: 'Use a next hop of the same family.',
      });
    } else if (
      leg !== undefined &&
      !leg.addresses.some((address) => prefixContains(address as Prefix, route.via as IpAddress))
    ) {
      problems.push({
        pointer: `${pointer}/via`,
        code: 'next-hop-out-of-reach',
        message: `The next hop ${route.via} is in no network of leg ${leg.id}`,
        hint: 'Use an address of a network that the leg is connected to.',
      });
    }
    const other = byDestination.get(route.destination);
    if (other !== undefined && other !== route.id) {
      problems.push({
        pointer: `${pointer}/destination`,
        code: 'duplicate-route',
        message: `The routes ${other} and ${route.id} both lead to ${route.destination}`,
        hint: 'Keep one of the two.',
      });
    }
    return problems;
  });
};
