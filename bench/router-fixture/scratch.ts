/** Directories of a bench, gone when the process ends, however it does. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made = new Set<string>();
let watched = false;

const remove = (directory: string): void =>
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 });

export const scratch = {
  /** A new, empty directory. */
  make: (): string => {
    if (!watched) process.once('exit', () => made.forEach((directory) => remove(directory)));
    watched = true;
    const directory = mkdtempSync(join(tmpdir(), 'svb-'));
    made.add(directory);
    return directory;
  },
  remove: (directory: string): void => {
    remove(directory);
    made.delete(directory);
  },
};
