import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readBundle } from 'signed-bundle';
import type { BundleStore } from './bundle-store.ts';

/** A program of routers and where it is. */
export interface Program {
  readonly version: string;
  /** SHA-256 of the file, hexadecimal. */
  readonly checksum: string;
  readonly path: string;
}

/**
 * The program this host came with, copied to the others, so that routers go on with it when the file is exchanged, and a
 * path names one program for ever. One that is not signed is copied as well, as only who may write there could have put it
 * there; sources run where they are, with what they import.
 */
export const ownBundle = (path: string, store: BundleStore): Program => {
  const file = readFileSync(path);
  const checksum = createHash('sha256').update(file).digest('hex');
  const version = readBundle(file)?.version ?? 'unsigned';
  if (path.endsWith('.ts')) return { version, checksum, path };
  try {
    return { version, checksum, path: store.keep(file) };
  } catch {
    // A full disk: it runs where it is.
    return { version, checksum, path };
  }
};
