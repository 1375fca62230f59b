import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sealBundle } from 'signed-bundle';
import { bundleRouter } from '../../../scripts/bundle.ts';

/** The program of the current bundle. */
const code = readFileSync(await bundleRouter(), 'utf8').replace(/^.*\n/, '');
const { privateKey } = generateKeyPairSync('ed25519');

let number = 0;

/** Another version of the router's bundle, in `directory`: the same program with texts replaced. Each must be there. */
export const variant = (
  directory: string,
  ...replacements: readonly (readonly [string, string])[]
): string => {
  number += 1;
  let text = code;
  for (const [from, to] of replacements) {
    if (!text.includes(from)) throw new Error(`The bundle has no ${JSON.stringify(from)}`);
    text = text.replaceAll(from, to);
  }
  const path = join(directory, `variant-${number}.mjs`);
  writeFileSync(path, sealBundle(Buffer.from(text), { version: `0.1.${number}`, privateKey }));
  return path;
};
