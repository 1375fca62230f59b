import { type Static, Type } from 'typebox';
import { Condition } from '../condition.ts';
import { Id } from '../scalars.ts';

/** What became of one machine of the host document. */
export const MachineStatus = Type.Object(
  {
    id: Id,
    state: Type.Union([
      Type.Literal('starting'),
      Type.Literal('running'),
      Type.Literal('stopped'),
      Type.Literal('failed'),
    ]),
    message: Type.String(),
    address: Type.Optional(
      Type.String({ description: 'Address the guest really has, where the driver can tell.' }),
    ),
  },
  { additionalProperties: false },
);
export type MachineStatus = Static<typeof MachineStatus>;

/** What is truly there on one host. Router status travels on its own. */
export const HostStatus = Type.Object(
  {
    id: Id,
    observedGeneration: Type.Integer({ minimum: 0 }),
    version: Type.String(),
    startedAt: Type.Integer({ minimum: 0 }),
    conditions: Type.Array(Condition),
    machines: Type.Array(MachineStatus),
  },
  { $id: 'HostStatus', additionalProperties: false },
);
export type HostStatus = Static<typeof HostStatus>;
