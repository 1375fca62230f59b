import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundleName } from 'documents';
import type { Finding } from './prove.ts';

/** A difference longer than this says no more than its beginning does, characters. */
const LONGEST_TEXT = 32_768;

/** A finding with the name of the program it is about; without one where it runs from its sources. */
export type Proof = Finding & Partial<BundleName>;

const shortened = (text: string): string =>
  text.length <= LONGEST_TEXT
    ? text
    : `${text.slice(0, LONGEST_TEXT)}\n... ${text.length - LONGEST_TEXT} characters more\n`;

export const proofOf = (finding: Finding, bundle: BundleName | null): Proof => ({
  ...bundle,
  outcome: finding.outcome,
  generation: finding.generation,
  kernel: shortened(finding.kernel),
  services: finding.services.map((service) => ({ ...service, text: shortened(service.text) })),
  problems: finding.problems.slice(0, 100),
});

/** Leaves the proof for the host agent: `proof.json`. */
export const writeProof = async (directory: string, proof: Proof): Promise<void> => {
  const path = join(directory, 'proof.json');
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify(proof)}\n`, { mode: 0o600 });
  await rename(draft, path);
};
