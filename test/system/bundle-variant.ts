import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleRouter } from '../../scripts/bundle.ts';
import { sealBundle } from 'signed-bundle';

/** The key that agents and routers of this machine trust. */
const signer = async (): Promise<KeyObject> =>
  createPrivateKey(
    readFileSync(process.env['SELVAGE_SIGNING_KEY'] ?? join(await bundleRouter(), '..', 'signing.key')),
  );

/** The daemon as a bundle of its own, with something before its first line. */
export const bundleVariant = async (version: string, before = '', key?: KeyObject): Promise<Buffer> => {
  const built = readFileSync(await bundleRouter());
  const code = Buffer.concat([Buffer.from(before), built.subarray(built.indexOf('\n') + 1)]);
  return sealBundle(code, { version, privateKey: key ?? (await signer()) });
};
