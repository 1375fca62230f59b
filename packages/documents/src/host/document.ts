import { type Static, Type } from 'typebox';
import { DeviceName, Generation, Hostname, Id, Ip, Mac, Mtu } from '../scalars.ts';

/** One layer-2 network on this host: a bridge, and later its tunnel or VLAN to other hosts. */
export const Segment = Type.Object(
  {
    id: Id,
    role: Type.Union([Type.Literal('guest'), Type.Literal('public')]),
    device: DeviceName,
    mtu: Mtu,
    vni: Type.Union([Type.Integer({ minimum: 1, maximum: 16_777_215 }), Type.Null()], {
      description: 'VXLAN network identifier (RFC 7348), null for the public segment.',
    }),
  },
  { additionalProperties: false },
);
export type Segment = Static<typeof Segment>;

/** Where a machine's interface meets a segment. */
export const SegmentPort = Type.Object(
  {
    id: Id,
    segment: Id,
    machine: Id,
    device: DeviceName,
    machineDevice: DeviceName,
    mac: Mac,
    mtu: Mtu,
    role: Type.Union([Type.Literal('guest'), Type.Literal('router')]),
    security: Type.Union(
      [
        Type.Object(
          {
            addresses: Type.Array(Ip, {
              description: 'The only source addresses this port may use.',
              maxItems: 64,
            }),
          },
          { additionalProperties: false },
        ),
        Type.Null(),
      ],
      {
        description:
          'Guests are pinned to their MAC and addresses and may not answer ARP or DHCP for others nor send router advertisements; null for routers.',
      },
    ),
    active: Type.Boolean({
      description: 'False for a standby router: it gets no broadcast and none of its MACs point to it.',
    }),
  },
  { additionalProperties: false },
);
export type SegmentPort = Static<typeof SegmentPort>;

/** Where a MAC of a segment lives. Placed by the controller; ports never learn. */
export const FdbEntry = Type.Object(
  { id: Id, segment: Id, mac: Mac, port: Id },
  { additionalProperties: false },
);
export type FdbEntry = Static<typeof FdbEntry>;

/** A virtual router or a guest, as the driver has to run it. */
export const Machine = Type.Object(
  {
    id: Id,
    kind: Type.Union([Type.Literal('router'), Type.Literal('guest')]),
    driver: Type.Literal('namespace'),
    hostname: Hostname,
    state: Type.Union([Type.Literal('running'), Type.Literal('stopped')]),
  },
  { additionalProperties: false },
);
export type Machine = Static<typeof Machine>;

/** One end of a private wire between two machines. */
const LinkEnd = Type.Object({ machine: Id, device: DeviceName, mac: Mac }, { additionalProperties: false });

/** A private wire between two machines of this host: how two routers pass packets to each other during a hand-over. */
export const MachineLink = Type.Object(
  { id: Id, mtu: Mtu, ends: Type.Tuple([LinkEnd, LinkEnd]) },
  { additionalProperties: false },
);
export type MachineLink = Static<typeof MachineLink>;

/** The whole wanted state of one host. Items of every collection are in ascending order of `id`. */
export const HostDocument = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    id: Id,
    generation: Generation,
    segments: Type.Array(Segment, { maxItems: 16_384 }),
    ports: Type.Array(SegmentPort, { maxItems: 65_536 }),
    fdb: Type.Array(FdbEntry, { maxItems: 262_144 }),
    machines: Type.Array(Machine, { maxItems: 16_384 }),
    links: Type.Optional(Type.Array(MachineLink, { maxItems: 16_384 })),
  },
  { $id: 'HostDocument', additionalProperties: false },
);
export type HostDocument = Static<typeof HostDocument>;
