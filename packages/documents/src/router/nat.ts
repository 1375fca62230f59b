import { type Static, Type } from 'typebox';
import { Id, Ipv4, Port, PortRange } from '../scalars.ts';

/** Guests of `leg` leave through `outLeg` with `publicAddress` as their source. */
export const SourceNat = Type.Object(
  {
    id: Id,
    leg: Id,
    outLeg: Id,
    publicAddress: Ipv4,
    ports: Type.Object(
      { first: Port, last: Port },
      {
        additionalProperties: false,
        description:
          'Source ports to translate to. Two routers that may serve at the same time during a replacement have disjoint ranges.',
      },
    ),
  },
  { additionalProperties: false },
);
export type SourceNat = Static<typeof SourceNat>;

/** One public address for one guest address, both ways. The firewall still has to open it. */
export const StaticNat = Type.Object(
  { id: Id, publicAddress: Ipv4, guestAddress: Ipv4 },
  { additionalProperties: false },
);
export type StaticNat = Static<typeof StaticNat>;

/** Ports of a public address to as many ports of a guest. The firewall still has to open them. */
export const PortForward = Type.Object(
  {
    id: Id,
    publicAddress: Ipv4,
    protocol: Type.Union([Type.Literal('tcp'), Type.Literal('udp')]),
    publicPorts: PortRange,
    guestAddress: Ipv4,
    guestPorts: PortRange,
  },
  { additionalProperties: false },
);
export type PortForward = Static<typeof PortForward>;
