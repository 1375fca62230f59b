import { randomInt } from 'node:crypto';

/** What an id can be of, by its prefix (docs/contracts.md). */
export type IdPrefix =
  | 'zone'
  | 'host'
  | 'acc'
  | 'key'
  | 'range'
  | 'pip'
  | 'off'
  | 'net'
  | 'rtr'
  | 'ins'
  | 'port'
  | 'fw'
  | 'eg'
  | 'pf'
  | 'sn'
  | 'lb'
  | 'mem'
  | 'op'
  | 'wf'
  | 'evt'
  | 'bdl'
  | 'run'
  | 'prb';

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz';

/** A new opaque id: the prefix and 12 random characters, 62 bits; a primary key refuses the one in 10^18. */
export const newId = (prefix: IdPrefix): string => {
  let text = '';
  for (let index = 0; index < 12; index += 1) text += ALPHABET[randomInt(ALPHABET.length)];
  return `${prefix}-${text}`;
};
