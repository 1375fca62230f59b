import { type Static, Type } from 'typebox';
import { Hostname, Id, Ipv4 } from '../scalars.ts';

/** What one guest is told about itself over HTTP, asked from its own address. */
export const MetadataGuest = Type.Object(
  {
    id: Id,
    leg: Id,
    address: Ipv4,
    instance: Id,
    hostname: Hostname,
    userData: Type.String({
      description: 'Base64 (RFC 4648), at most 32 KiB decoded; empty for none.',
      maxLength: 43_692,
    }),
    publicKeys: Type.Array(Type.String({ pattern: '^[^\\r\\n]{1,8192}$' }), {
      description: 'SSH public keys, one line each.',
      maxItems: 64,
    }),
    metaData: Type.Record(
      Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }),
      Type.String({ pattern: '^[^\\r\\n]*$', maxLength: 4096 }),
      {
        description: 'Further keys under /latest/meta-data/, such as service-offering or availability-zone.',
        maxProperties: 64,
      },
    ),
    password: Type.Optional(
      Type.String({
        description:
          'Secret. Given once on :8080 and erased when the guest says it has saved it. Never returned by a read.',
        pattern: '^[\\x21-\\x7e]{6,128}$',
      }),
    ),
  },
  { additionalProperties: false },
);
export type MetadataGuest = Static<typeof MetadataGuest>;
