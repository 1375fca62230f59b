import { type Static, Type } from 'typebox';
import { BundleName } from '../bundle-name.ts';
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
    bundle: Type.Optional(BundleName),
    image: Type.Optional(
      Type.String({
        description: 'What a router machine was made from; see `image` of the host.',
        maxLength: 200,
      }),
    ),
    memory: Type.Optional(Type.Integer({ description: 'As it was made with, bytes.', minimum: 0 })),
    refusedBundle: Type.Optional(
      Type.Object(
        { checksum: Type.String(), message: Type.String() },
        {
          additionalProperties: false,
          description: 'The bundle wanted was tried and taken back; the router runs what `bundle` says.',
        },
      ),
    ),
  },
  { additionalProperties: false },
);
export type MachineStatus = Static<typeof MachineStatus>;

/** A host had a standby take over. Told until the document names the dead router no more. */
export const Failover = Type.Object(
  {
    router: Id,
    promoted: Id,
    at: Type.Integer({ description: 'ms since the epoch', minimum: 0 }),
    reason: Type.String({
      description: 'What was seen: its namespace went, its ports went, its programs ended.',
    }),
    microseconds: Type.Integer({
      description: 'From the first sign to the frames at the standby.',
      minimum: 0,
    }),
  },
  { additionalProperties: false },
);
export type Failover = Static<typeof Failover>;

/** How well a standby knows what its router knows. */
export const StandbyStatus = Type.Object(
  {
    standby: Id,
    router: Id,
    state: Type.Union([Type.Literal('syncing'), Type.Literal('synced'), Type.Literal('broken')]),
    message: Type.String(),
    since: Type.Integer({ description: 'ms since the epoch', minimum: 0 }),
  },
  { additionalProperties: false },
);
export type StandbyStatus = Static<typeof StandbyStatus>;

/** What is truly there on one host. Router status travels on its own. */
export const HostStatus = Type.Object(
  {
    id: Id,
    observedGeneration: Type.Integer({ minimum: 0 }),
    version: Type.String(),
    startedAt: Type.Integer({ minimum: 0 }),
    conditions: Type.Array(Condition),
    machines: Type.Array(MachineStatus),
    image: Type.Optional(
      Type.String({
        description:
          'What a router machine made now is made from: the programs it runs with, apart from the bundle. A router of another image has to be replaced to have this one.',
        maxLength: 200,
      }),
    ),
    failovers: Type.Optional(Type.Array(Failover)),
    standbys: Type.Optional(Type.Array(StandbyStatus)),
  },
  { $id: 'HostStatus', additionalProperties: false },
);
export type HostStatus = Static<typeof HostStatus>;
