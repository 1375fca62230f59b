import { type Static, Type } from 'typebox';
import { BundleName } from '../bundle-name.ts';
import { DeviceName, Generation, Hostname, Id, InterfaceAddress, Ip, Mac, Mtu } from '../scalars.ts';

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

/** A virtual router, a guest, or an end of measurements, as the driver has to run it. */
export const Machine = Type.Object(
  {
    id: Id,
    kind: Type.Union([Type.Literal('router'), Type.Literal('guest'), Type.Literal('probe')]),
    driver: Type.Literal('namespace'),
    hostname: Hostname,
    state: Type.Union([Type.Literal('running'), Type.Literal('stopped')]),
    bundle: Type.Optional(BundleName),
    memory: Type.Optional(
      Type.Integer({
        description:
          "Most memory a router's daemon may use for its heap, bytes. Taken when the machine is made; without it the driver's own.",
        minimum: 32 * 1024 * 1024,
        maximum: 64 * 1024 * 1024 * 1024,
      }),
    ),
    addresses: Type.Optional(
      Type.Array(InterfaceAddress, {
        description: 'Addresses of a probe, one for each of its ports in order of their device.',
        maxItems: 4,
      }),
    ),
    gateway: Type.Optional(Ip),
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

/** Two routers with one document: when the first dies its host cuts it off and has the other take over, by itself. */
export const Standby = Type.Object(
  { id: Id, router: Id, standby: Id },
  { additionalProperties: false, description: 'id: that of the standby.' },
);
export type Standby = Static<typeof Standby>;

/**
 * Something to measure through a router: from a probe inside its network to one outside, and the name service of the router.
 * Datagrams are echoed, connections are opened and closed, names are asked for; see {@link ProbeReading}.
 */
export const Probe = Type.Object(
  {
    id: Id,
    inside: Id,
    outside: Id,
    target: Type.Union([Ip, Type.Null()], {
      description: 'Address of the outside machine that the inside one sends to; null: not measured.',
    }),
    dns: Type.Union([Ip, Type.Null()], { description: 'Name server to ask; null: not measured.' }),
    rate: Type.Integer({ description: 'Datagrams a second.', minimum: 1, maximum: 1000 }),
  },
  { additionalProperties: false },
);
export type Probe = Static<typeof Probe>;

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
    standbys: Type.Optional(Type.Array(Standby, { maxItems: 16_384 })),
    probes: Type.Optional(Type.Array(Probe, { maxItems: 4096 })),
  },
  { $id: 'HostDocument', additionalProperties: false },
);
export type HostDocument = Static<typeof HostDocument>;
