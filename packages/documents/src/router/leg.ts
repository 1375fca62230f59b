import { type Static, Type } from 'typebox';
import { DeviceName, Id, InterfaceAddress, Ip, Mac, Mtu } from '../scalars.ts';

/** One network interface of a router and what it is for. */
export const Leg = Type.Object(
  {
    id: Id,
    role: Type.Union(
      [
        Type.Literal('guest'),
        Type.Literal('public'),
        Type.Literal('private'),
        Type.Literal('control'),
        Type.Literal('handover'),
      ],
      {
        description:
          'guest: a tenant network, the router is its gateway. public: the outside. private: a private gateway. control: the host. handover: the other router during a replacement.',
      },
    ),
    device: DeviceName,
    mac: Mac,
    mtu: Mtu,
    addresses: Type.Array(InterfaceAddress, {
      description:
        'All addresses, the first of each family being the primary: `10.1.1.1/24`. A public leg lists every public address it answers for.',
      maxItems: 4096,
    }),
    gateways: Type.Array(Ip, {
      description: 'Next hop of the default route, at most one of each family. Empty on guest legs.',
      maxItems: 2,
    }),
  },
  { additionalProperties: false },
);
export type Leg = Static<typeof Leg>;
