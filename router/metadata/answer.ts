import { Buffer } from 'node:buffer';
import type { RenderedGuest } from './render.ts';

/** What a guest gets; `body` is sent as it is, byte by byte. */
export interface Answer {
  readonly status: 200 | 404;
  readonly type: 'text/plain' | 'application/octet-stream';
  readonly body: Buffer;
}

/** `latest`, and what EC2-minded clients put in its place. */
const VERSION = /^(?:latest|1\.0|\d{4}-\d{2}-\d{2})$/;

const text = (body: string): Answer => ({ status: 200, type: 'text/plain', body: Buffer.from(body) });

/** The same for "no such guest" and "no such key": nobody learns who else there is. */
export const notFound: Answer = { status: 404, type: 'text/plain', body: Buffer.from('not found\n') };

const keyAnswer = (guest: RenderedGuest, [key = '', ...rest]: readonly string[]): Answer => {
  if (key === 'public-keys' && rest.length > 0) {
    // EC2's way of naming a single key, which some clients insist on.
    const found = /^\d{1,3}$/.test(rest[0] ?? '') ? guest.publicKeys[Number(rest[0])] : undefined;
    if (found === undefined || rest.length > 2) return notFound;
    if (rest.length === 1) return text('openssh-key');
    return rest[1] === 'openssh-key' ? text(found) : notFound;
  }
  const value = rest.length === 0 ? guest.keys.get(key) : undefined;
  return value === undefined ? notFound : text(value);
};

/**
 * Answers a guest's question. Paths as on CloudStack's router: `/latest/user-data`, `/latest/meta-data/` (the names, one a
 * line), `/latest/meta-data/<name>`, and `/latest/<name>` as its first versions had it.
 */
export const answer = (guest: RenderedGuest, path: string): Answer => {
  const [version, ...parts] = path
    .replace(/[?#].*$/, '')
    .split('/')
    .filter((part) => part !== '');
  if (version === undefined) return text('latest');
  if (!VERSION.test(version)) return notFound;
  const [first, ...rest] = parts;
  switch (first) {
    case undefined:
      return text('meta-data/\nuser-data');
    case 'user-data':
      if (guest.userData === '' || rest.length > 0) return notFound;
      return { status: 200, type: 'application/octet-stream', body: Buffer.from(guest.userData, 'base64') };
    case 'meta-data':
      return rest.length === 0 ? text([...guest.keys.keys()].join('\n')) : keyAnswer(guest, rest);
    default:
      return keyAnswer(guest, parts);
  }
};
