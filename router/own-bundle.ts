import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BundleName } from 'documents';
import { readBundle } from 'signed-bundle';

/** The file this program runs from: its bundle, or one of its sources. */
export const ownFile = fileURLToPath(import.meta.url);

/** The bundle this program runs from, by what it says of itself; null when it runs from its sources. */
export const ownBundle = (): BundleName | null => {
  const bundle = readBundle(readFileSync(ownFile));
  return bundle === null ? null : { version: bundle.version, checksum: bundle.checksum };
};
