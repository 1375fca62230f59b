import { createHash } from 'node:crypto';
import { LONGEST_HEADER, readHeader } from './format.ts';
import type { SignedBundle } from './open-bundle.ts';

/** What a file says of itself, unproved; null when it is no bundle. For a program that runs and wants to know its name. */
export const readBundle = (file: Buffer): SignedBundle | null => {
  const end = file.subarray(0, LONGEST_HEADER).indexOf('\n');
  const header = end < 0 ? null : readHeader(file.toString('utf8', 0, end));
  if (header === null) return null;
  const { version, keyId } = header;
  return { version, checksum: createHash('sha256').update(file).digest('hex'), keyId };
};
