import type { KeyObject } from 'node:crypto';
import { sealBundle } from 'signed-bundle';

/** A bundle that is signed and says its version; nobody runs it. */
export const sealVersion = (privateKey: KeyObject, version: string): Buffer =>
  sealBundle(Buffer.from(`console.log(${JSON.stringify(version)});\n`), { version, privateKey });
