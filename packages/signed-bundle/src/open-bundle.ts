import { createHash, type KeyObject, verify } from 'node:crypto';
import { BundleError } from './bundle-error.ts';
import { LONGEST_HEADER, readHeader, signedText } from './format.ts';
import { keyId } from './key-id.ts';

export interface SignedBundle {
  readonly version: string;
  /** SHA-256 of the whole file, hexadecimal. */
  readonly checksum: string;
  readonly keyId: string;
}

/** Checks a bundle against the keys that may sign one. @throws {BundleError} */
export const openBundle = (file: Buffer, trusted: readonly KeyObject[]): SignedBundle => {
  const end = file.subarray(0, LONGEST_HEADER).indexOf('\n');
  const header = end < 0 ? null : readHeader(file.toString('utf8', 0, end));
  if (header === null)
    throw new BundleError(
      'NOT_A_BUNDLE',
      'The file does not begin like a bundle; make one with "npm run bundle"',
    );
  const key = trusted.find((candidate) => keyId(candidate) === header.keyId);
  if (key === undefined)
    throw new BundleError(
      'UNKNOWN_KEY',
      `The bundle ${header.version} is signed with the key ${header.keyId}, which is not trusted here`,
    );
  const text = signedText(header.version, file.subarray(end + 1));
  if (!verify(null, text, key, Buffer.from(header.signature, 'base64')))
    throw new BundleError(
      'BAD_SIGNATURE',
      `The bundle ${header.version} is not what the key ${header.keyId} signed`,
    );
  return {
    version: header.version,
    checksum: createHash('sha256').update(file).digest('hex'),
    keyId: header.keyId,
  };
};
