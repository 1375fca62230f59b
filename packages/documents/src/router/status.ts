import { type Static, Type } from 'typebox';
import { BundleName } from '../bundle-name.ts';
import { Condition } from '../condition.ts';
import { Generation, Id } from '../scalars.ts';

/** Packets and bytes since the router came up. */
export const Counter = Type.Object(
  {
    subject: Type.String({ description: 'Id of the rule, or the public address.' }),
    direction: Type.Union([Type.Literal('in'), Type.Literal('out'), Type.Literal('new')], {
      description:
        'in and out: all packets of an address. new: connections a rule let in, counted by their first packet.',
    }),
    packets: Type.Integer({ minimum: 0 }),
    bytes: Type.Integer({ minimum: 0 }),
  },
  { additionalProperties: false },
);
export type Counter = Static<typeof Counter>;

/** Outcome of one health check. */
export const HealthCheck = Type.Object(
  {
    name: Type.String({ description: 'dnsmasq, haproxy, gateway public0, disk, memory, configuration ...' }),
    status: Type.Union([Type.Literal('pass'), Type.Literal('warn'), Type.Literal('fail')]),
    message: Type.String(),
    checkedAt: Type.Integer({ description: 'ms since the epoch', minimum: 0 }),
  },
  { additionalProperties: false },
);
export type HealthCheck = Static<typeof HealthCheck>;

/** What is truly there in one router. */
export const RouterStatus = Type.Object(
  {
    id: Id,
    observedGeneration: Type.Integer({
      description: 'Last generation whose apply ended, well or not.',
      minimum: 0,
    }),
    appliedGeneration: Type.Integer({
      description: 'Generation that is in force in kernel and daemons.',
      minimum: 0,
    }),
    forwardingGeneration: Type.Optional(
      Type.Integer({
        minimum: 0,
        description:
          'Generation whose way for packets (steering, table, legs, routes) is in force, whatever became of its services. Left out by programs that do not tell them apart.',
      }),
    ),
    version: Type.String({ description: 'Version of the daemon.' }),
    bundle: Type.Optional(BundleName),
    startedAt: Type.Integer({ description: 'When the daemon started, ms since the epoch.', minimum: 0 }),
    conditions: Type.Array(Condition),
    health: Type.Array(HealthCheck),
    counters: Type.Array(Counter, { description: 'At most the 1000 busiest rules, all addresses.' }),
    leases: Type.Array(
      Type.Object(
        {
          mac: Type.String(),
          address: Type.String(),
          expiresAt: Type.Integer({ description: 'ms since the epoch, 0 for never' }),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { $id: 'RouterStatus', additionalProperties: false },
);
export type RouterStatus = Static<typeof RouterStatus>;

/** Something that happened and is worth telling: drift healed, a service restarted, a password taken. */
export const RouterEvent = Type.Object(
  {
    id: Type.String({ description: 'Unique; a doubled report is recognised by it.' }),
    time: Type.Integer({ description: 'ms since the epoch', minimum: 0 }),
    type: Type.String({
      description: 'Stable: router.drift-healed, router.service-restarted, guest.password-saved ...',
    }),
    level: Type.Union([Type.Literal('info'), Type.Literal('warning'), Type.Literal('error')]),
    subject: Type.String({ description: 'Id of what it is about: the router, or a guest in it.' }),
    message: Type.String(),
    generation: Generation,
  },
  { additionalProperties: false },
);
export type RouterEvent = Static<typeof RouterEvent>;
