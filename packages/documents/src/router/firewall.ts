import { type Static, Type } from 'typebox';
import { Icmp, Id, Ipv4, Ipv4Prefix, PortRange } from '../scalars.ts';

/** What a packet is matched by besides addresses. `all` takes neither ports nor ICMP. */
export const Protocol = Type.Union([
  Type.Literal('tcp'),
  Type.Literal('udp'),
  Type.Literal('icmp'),
  Type.Literal('all'),
]);
export type Protocol = Static<typeof Protocol>;

/** Opens a public address to the outside. Everything is closed until a rule opens it. */
export const FirewallRule = Type.Object(
  {
    id: Id,
    publicAddress: Ipv4,
    protocol: Protocol,
    ports: Type.Optional(PortRange),
    icmp: Type.Optional(Icmp),
    sources: Type.Array(Ipv4Prefix, {
      description: 'Who may connect; `0.0.0.0/0` for anyone.',
      minItems: 1,
      maxItems: 256,
    }),
  },
  { additionalProperties: false },
);
export type FirewallRule = Static<typeof FirewallRule>;

/** What guests of a leg may do where no egress rule matches. */
export const EgressPolicy = Type.Object(
  { id: Id, leg: Id, default: Type.Union([Type.Literal('allow'), Type.Literal('deny')]) },
  { additionalProperties: false },
);
export type EgressPolicy = Static<typeof EgressPolicy>;

/** An exception to the leg's egress policy: accepts where the policy denies, drops where it allows. */
export const EgressRule = Type.Object(
  {
    id: Id,
    leg: Id,
    protocol: Protocol,
    ports: Type.Optional(PortRange),
    icmp: Type.Optional(Icmp),
    sources: Type.Array(Ipv4Prefix, {
      description: "Within the leg's own prefix; `0.0.0.0/0` for all of it.",
      minItems: 1,
      maxItems: 256,
    }),
    destinations: Type.Array(Ipv4Prefix, { minItems: 1, maxItems: 256 }),
  },
  { additionalProperties: false },
);
export type EgressRule = Static<typeof EgressRule>;
