import { type Static, Type } from 'typebox';

/** Which program a router runs. */
export const BundleName = Type.Object(
  {
    version: Type.String({ description: 'For people: `0.2.0`.', maxLength: 64 }),
    checksum: Type.String({
      description: 'SHA-256 of the whole bundle file, hexadecimal.',
      pattern: '^[0-9a-f]{64}$',
    }),
  },
  { additionalProperties: false },
);
export type BundleName = Static<typeof BundleName>;
