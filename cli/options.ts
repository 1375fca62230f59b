/** How the text of a command line flag becomes the value of an API field. */
import { readFileSync } from 'node:fs';
import { CliError } from './connection.ts';

const refuse = (what: string, text: string, hint: string): never => {
  throw new CliError('bad-option', `${JSON.stringify(text)} is not ${what}`, hint);
};

/** `80` or `8000-8010`. */
export const parsePorts = (text: string): { first: number; last: number } => {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null)
    return refuse(
      'a port or a range of ports',
      text,
      'Write one port (80) or the first and last of a range (8000-8010).',
    );
  const first = Number(match[1]);
  return { first, last: match[2] === undefined ? first : Number(match[2]) };
};

export const parseInteger = (text: string): number =>
  /^-?\d+$/.test(text) ? Number(text) : refuse('a whole number', text, 'Write digits only.');

/** `true` or `false`. */
export const parseBoolean = (text: string): boolean =>
  text === 'true' || text === 'false'
    ? text === 'true'
    : refuse('true or false', text, 'Write one of the two.');

/** `8` (type 8, any code) or `3/1`. */
export const parseIcmp = (text: string): { type: number | null; code: number | null } => {
  const match = /^(\d{1,3}|any)(?:\/(\d{1,3}))?$/.exec(text);
  if (match === null)
    return refuse('an ICMP type', text, 'Write a type (8), a type and a code (3/1), or "any".');
  return {
    type: match[1] === 'any' ? null : Number(match[1]),
    code: match[2] === undefined ? null : Number(match[2]),
  };
};

/** Text as it stands, or the content of a file written as `@path`, in base64. */
export const parseUserData = (text: string): string => {
  if (!text.startsWith('@')) return Buffer.from(text).toString('base64');
  try {
    return readFileSync(text.slice(1)).toString('base64');
  } catch (error) {
    throw new CliError(
      'bad-option',
      `The file ${text.slice(1)} cannot be read`,
      'Give user data as text, or as @path of a file that exists.',
      { cause: error },
    );
  }
};

/** SSH public key as text or as `@path`. */
export const parsePublicKey = (text: string): string =>
  Buffer.from(parseUserData(text), 'base64').toString('utf8').trim();

/** `KEY=VALUE`. */
export const parsePair = (text: string): readonly [string, string] => {
  const at = text.indexOf('=');
  return at < 1
    ? refuse('KEY=VALUE', text, 'Write a key, an equals sign and its value.')
    : [text.slice(0, at), text.slice(at + 1)];
};

/** `INSTANCE:PORT`, by id or name. */
export const parseMember = (text: string): { instance: string; port: number } => {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  return match === null
    ? refuse('INSTANCE:PORT', text, 'Write the id or name of an instance, a colon and its port: web-1:8080.')
    : { instance: match[1] as string, port: Number(match[2]) };
};
