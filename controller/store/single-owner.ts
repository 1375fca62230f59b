import { chmodSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export class OwnerError extends Error {
  readonly code = 'STATE_IN_USE';
}

/**
 * Takes a state directory for this process alone. Two controllers on one database would not hear of each other's
 * writes. The lock is SQLite's on a file of its own: the kernel lets go of it when the process ends, however it ends,
 * and the database itself stays open to backups. Returns how to release it.
 * @throws {OwnerError} when another process has it.
 */
export const takeOwnership = (file: string): (() => void) => {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(file, { timeout: 0 });
  chmodSync(file, 0o600);
  try {
    lock.exec('begin exclusive');
  } catch (cause) {
    lock.close();
    throw new OwnerError(`Another controller runs on ${dirname(file)}; stop it, or choose another --state`, {
      cause,
    });
  }
  return () => lock.close();
};
