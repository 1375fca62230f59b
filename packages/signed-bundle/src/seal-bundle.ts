import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { headerLine, isVersion, signedText } from './format.ts';
import { keyId } from './key-id.ts';

/** Makes a bundle of a program. `privateKey`: Ed25519. @throws {TypeError} when the version is not one. */
export const sealBundle = (
  code: Buffer,
  { version, privateKey }: { readonly version: string; readonly privateKey: KeyObject },
): Buffer => {
  if (!isVersion(version)) throw new TypeError(`${JSON.stringify(version)} is no version of a bundle`);
  const line = headerLine({
    version,
    keyId: keyId(createPublicKey(privateKey)),
    signature: sign(null, signedText(version, code), privateKey).toString('base64'),
  });
  return Buffer.concat([Buffer.from(`${line}\n`), code]);
};
