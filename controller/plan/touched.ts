/**
 * Which items of a router's document a change of intent touches. Whoever writes intent records these as rows of
 * `router_change` with the router's new generation; a delta is planned from them. Naming too much is harmless.
 */
import { type CollectionName, collectionNames } from 'documents';
import { derivedId } from './ids.ts';

/** One row of `router_change`. `*` as collection means: everything, send the whole document. */
export interface Touch {
  readonly collection: CollectionName | 'dns' | 'hostname' | 'handover' | '*';
  /** Id of the item; of no meaning for `dns`, `hostname`, `handover` and `*`. */
  readonly itemId: string;
}

/** Touches gathered over any number of generations. */
export interface Touched {
  readonly items: { readonly [Name in CollectionName]?: ReadonlySet<string> };
  readonly dns: boolean;
  readonly hostname: boolean;
  readonly handover: boolean;
}

/** A firewall rule, egress rule, port forward or load balancer (with its members) was made, changed or removed. */
export const touchRule = (
  collection: 'firewallRules' | 'egressRules' | 'portForwards' | 'loadBalancers',
  id: string,
): Touch[] => [{ collection, itemId: id }];

/** Static NAT was made or removed: the guest is told its public address, too. `port` is the guest's. */
export const touchStaticNat = (id: string, port: string): Touch[] => [
  { collection: 'staticNats', itemId: id },
  { collection: 'metadataGuests', itemId: port },
];

/** A guest port came, went, or something of its instance that guests are told changed. */
export const touchGuestPort = (port: string): Touch[] => [
  { collection: 'dhcpHosts', itemId: port },
  { collection: 'metadataGuests', itemId: port },
];

/** A public address came to the network or left it. `publicPort` and `guestPort` are the router's ports. */
export const touchPublicIp = (publicPort: string, guestPort: string, sourceNat: boolean): Touch[] => [
  { collection: 'legs', itemId: publicPort },
  ...(sourceNat ? ([{ collection: 'sourceNats', itemId: derivedId('snt', guestPort) }] as const) : []),
];

/** The router got or lost a neighbour in the chain. */
export const touchHandover: readonly Touch[] = [{ collection: 'handover', itemId: '' }];

/** Something that everything hangs on changed: prefix, offering, the zone's resolvers. */
export const touchEverything: readonly Touch[] = [{ collection: '*', itemId: '*' }];

const isCollection = (name: string): name is CollectionName =>
  (collectionNames as readonly string[]).includes(name);

/** Touches in one; null when they amount to everything, or name something this version does not know. */
export const gatherTouches = (
  touches: Iterable<{ readonly collection: string; readonly itemId: string }>,
): Touched | null => {
  const items: { [Name in CollectionName]?: Set<string> } = {};
  let dns = false;
  let hostname = false;
  let handover = false;
  for (const { collection, itemId } of touches) {
    if (collection === 'dns') dns = true;
    else if (collection === 'hostname') hostname = true;
    else if (collection === 'handover') handover = true;
    else if (isCollection(collection)) (items[collection] ??= new Set()).add(itemId);
    else return null;
  }
  return { items, dns, hostname, handover };
};
