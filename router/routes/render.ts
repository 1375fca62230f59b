import { familyOf, type IpAddress } from 'ip';
import { hostOf } from '../ruleset/key-text.ts';
import type { RoutesDocument } from './schema.ts';

/** One route as the kernel is to have it. */
export interface WantedRoute {
  readonly family: 'ipv4' | 'ipv6';
  /** Prefix, or `default`. */
  readonly destination: string;
  readonly via: string;
  readonly device: string;
  /** Source of the router's own packets; null where the kernel may choose. */
  readonly preferredSource: string | null;
}

const family = (address: string): WantedRoute['family'] =>
  familyOf(address as IpAddress) === 4 ? 'ipv4' : 'ipv6';

/** Default routes through the legs' gateways, in order of the legs, then the static ones. */
export const renderRoutes = (document: RoutesDocument): readonly WantedRoute[] => {
  const legs = new Map(document.legs.map((leg) => [leg.id, leg]));
  const defaults = new Map<string, WantedRoute>();
  // A private gateway is the way out only where there is no public one.
  const outward = (['public', 'private'] as const).flatMap((role) =>
    document.legs.filter((leg) => leg.role === role),
  );
  for (const leg of outward) {
    for (const gateway of leg.gateways) {
      const of = family(gateway);
      if (defaults.has(of)) continue;
      defaults.set(of, {
        family: of,
        destination: 'default',
        via: gateway,
        device: leg.device,
        preferredSource: leg.addresses.map(hostOf).find((address) => family(address) === of) ?? null,
      });
    }
  }
  return [
    ...defaults.values(),
    ...document.routes.flatMap(({ destination, via, leg }) => {
      const device = legs.get(leg)?.device;
      return device === undefined
        ? []
        : [
            {
              family: family(via),
              destination: isDefault(destination) ? 'default' : destination,
              via,
              device,
              preferredSource: null,
            },
          ];
    }),
  ];
};

const isDefault = (destination: string): boolean => destination === '0.0.0.0/0' || destination === '::/0';
