import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { BundleError, readBundle } from 'signed-bundle';
import type { BundleStore } from './bundle-store.ts';

/** A program of routers and where it is. */
export interface Program {
  readonly version: string;
  /** SHA-256 of the file, hexadecimal. */
  readonly checksum: string;
  readonly path: string;
}

/**
 * The program this host came with. One that is signed is copied to the others, so that routers go on with it when the file
 * is exchanged; one that is not runs where it is, as only who may write there could have put it there.
 */
export const ownBundle = (path: string, store: BundleStore): Program => {
  const file = readFileSync(path);
  try {
    const { version, checksum, path: copy } = store.add(file);
    return { version, checksum, path: copy };
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    const checksum = createHash('sha256').update(file).digest('hex');
    return { version: readBundle(file)?.version ?? 'unsigned', checksum, path };
  }
};
