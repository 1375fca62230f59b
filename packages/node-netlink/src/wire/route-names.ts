/** Names of scopes, protocols and kinds of routes, as in iproute2's rt_scopes, rt_protos and ip-route(8). */

export type Scope = 'global' | 'site' | 'link' | 'host' | 'nowhere' | number;

const scopes: Readonly<Record<string, number>> = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 };

const nameIn = <T extends string>(table: Readonly<Record<string, number>>, value: number): T | number =>
  (Object.keys(table).find((name) => table[name] === value) as T | undefined) ?? value;

export const scopeNumber = (scope: Scope): number =>
  typeof scope === 'number' ? scope : (scopes[scope] ?? 0);

export const scopeName = (value: number): Scope => nameIn<Extract<Scope, string>>(scopes, value);

export type RouteProtocol =
  | 'unspecified'
  | 'redirect'
  | 'kernel'
  | 'boot'
  | 'static'
  | 'ra'
  | 'dhcp'
  | 'bgp'
  | 'ospf'
  | number;

const protocols: Readonly<Record<string, number>> = {
  unspecified: 0,
  redirect: 1,
  kernel: 2,
  boot: 3,
  static: 4,
  ra: 9,
  dhcp: 16,
  bgp: 186,
  ospf: 188,
};

export const protocolNumber = (protocol: RouteProtocol): number =>
  typeof protocol === 'number' ? protocol : (protocols[protocol] ?? 3);

export const protocolName = (value: number): RouteProtocol =>
  nameIn<Extract<RouteProtocol, string>>(protocols, value);

export type RouteType =
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'anycast'
  | 'multicast'
  | 'blackhole'
  | 'unreachable'
  | 'prohibit'
  | 'throw';

const routeTypes: readonly (RouteType | undefined)[] = [
  undefined,
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
];

export const routeTypeNumber = (type: RouteType): number => routeTypes.indexOf(type);

export const routeTypeName = (value: number): RouteType => routeTypes[value] ?? 'unicast';

/** Tables with names; other tables are numbers. */
export const TABLE_DEFAULT = 253;
export const TABLE_MAIN = 254;
export const TABLE_LOCAL = 255;
