import { mkdir, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * Replaces a file in a folder that dnsmasq watches. It reads whatever appears there, except names that begin with a dot: so
 * the new text is written under such a name first, and comes into view whole.
 */
export const replaceFile = async (path: string, text: string, mode = 0o644): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const draft = join(dirname(path), `.${basename(path)}.draft`);
  await writeFile(draft, text, { mode });
  await rename(draft, path);
};
