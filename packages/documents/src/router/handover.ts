import { type Static, Type } from 'typebox';
import { DeviceName, Id, InterfaceAddress, Ipv4, Mac } from '../scalars.ts';

/**
 * One way to a neighbour in the chain of routers that serve a network while it is handed over. There is one for each leg,
 * so that the receiver knows on which leg a packet came in.
 */
export const HandoverLink = Type.Object(
  {
    id: Id,
    leg: Type.String({
      description: 'The leg whose packets take this way; what comes in over it counts as come in there.',
    }),
    device: DeviceName,
    mac: Mac,
    address: InterfaceAddress,
    peer: Ipv4,
    peerMac: Mac,
    receiveOnly: Type.Optional(
      Type.Boolean({
        description:
          'True: what comes in over it is taken, nothing is sent. So a chain is joined around a router that leaves from its middle without losing what is on its way. Default false.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type HandoverLink = Static<typeof HandoverLink>;

/**
 * Place of a router in the chain of those that serve one network during a replacement, oldest to newest. A packet that a
 * router has no connection for goes to the older one first ("old first"); the oldest hands what it does not know to the
 * newer, and so it comes back up to the newest, which takes it as its own (docs/handover.md).
 */
export const Handover = Type.Object(
  {
    older: Type.Array(HandoverLink, {
      description: 'Ways to the next older router; empty for the oldest.',
      maxItems: 512,
    }),
    newer: Type.Array(HandoverLink, {
      description:
        'Ways to the next newer router; with one this router drains: it takes no new connections. Empty for the newest.',
      maxItems: 512,
    }),
  },
  { additionalProperties: false },
);
export type Handover = Static<typeof Handover>;
