import { type Static, Type } from 'typebox';
import { Id, Ip, Prefix } from '../scalars.ts';

/** A static route besides the connected ones and the legs' default gateways. */
export const Route = Type.Object(
  { id: Id, destination: Prefix, via: Ip, leg: Id },
  { additionalProperties: false },
);
export type Route = Static<typeof Route>;
