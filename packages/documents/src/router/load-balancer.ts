import { type Static, Type } from 'typebox';
import { Id, Ipv4, Port } from '../scalars.ts';

/** A guest that takes part of a load balancer's connections. */
export const LoadBalancerMember = Type.Object(
  {
    id: Id,
    address: Ipv4,
    port: Port,
    draining: Type.Boolean({ description: 'True: keeps the sessions it has and gets no new ones.' }),
  },
  { additionalProperties: false },
);
export type LoadBalancerMember = Static<typeof LoadBalancerMember>;

/** Connections to a port of a public address, spread over members. The firewall still has to open the port. */
export const LoadBalancer = Type.Object(
  {
    id: Id,
    publicAddress: Ipv4,
    port: Port,
    protocol: Type.Union([Type.Literal('tcp'), Type.Literal('http')]),
    algorithm: Type.Union([Type.Literal('roundrobin'), Type.Literal('leastconn'), Type.Literal('source')], {
      description: "haproxy's own names (configuration manual, 4.2 balance).",
    }),
    members: Type.Array(LoadBalancerMember, { maxItems: 1024 }),
  },
  { additionalProperties: false },
);
export type LoadBalancer = Static<typeof LoadBalancer>;
