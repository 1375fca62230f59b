import { type Static, Type } from 'typebox';
import { Generation, Hostname, Id } from '../scalars.ts';
import { DhcpHost, DhcpSubnet, Dns } from './dhcp.ts';
import { EgressPolicy, EgressRule, FirewallRule } from './firewall.ts';
import { Handover } from './handover.ts';
import { Leg } from './leg.ts';
import { LoadBalancer } from './load-balancer.ts';
import { MetadataGuest } from './metadata.ts';
import { PortForward, SourceNat, StaticNat } from './nat.ts';
import { Route } from './route.ts';

/** Collections hold items with an `id`, in ascending order of it (by code unit), so that a change can name what it touches. */
const collection = <Item extends Parameters<typeof Type.Array>[0]>(item: Item, maxItems: number) =>
  Type.Array(item, { maxItems });

/**
 * The whole wanted state of one router. Two routers given the same document behave the same, whatever network type it
 * came from and whatever machine they run in.
 */
export const RouterDocument = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    id: Id,
    generation: Generation,
    hostname: Hostname,
    legs: collection(Leg, 512),
    firewallRules: collection(FirewallRule, 200_000),
    egressPolicies: collection(EgressPolicy, 512),
    egressRules: collection(EgressRule, 50_000),
    sourceNats: collection(SourceNat, 512),
    staticNats: collection(StaticNat, 16_384),
    portForwards: collection(PortForward, 200_000),
    loadBalancers: collection(LoadBalancer, 4096),
    dhcpSubnets: collection(DhcpSubnet, 512),
    dhcpHosts: collection(DhcpHost, 65_536),
    dns: Dns,
    metadataGuests: collection(MetadataGuest, 65_536),
    routes: collection(Route, 4096),
    handover: Type.Optional(Handover),
  },
  { $id: 'RouterDocument', additionalProperties: false },
);
export type RouterDocument = Static<typeof RouterDocument>;

/** The parts of a router document that are keyed collections. */
export const collectionNames = [
  'legs',
  'firewallRules',
  'egressPolicies',
  'egressRules',
  'sourceNats',
  'staticNats',
  'portForwards',
  'loadBalancers',
  'dhcpSubnets',
  'dhcpHosts',
  'metadataGuests',
  'routes',
] as const satisfies readonly (keyof RouterDocument)[];
export type CollectionName = (typeof collectionNames)[number];
export type CollectionItem<Name extends CollectionName = CollectionName> = RouterDocument[Name][number];
