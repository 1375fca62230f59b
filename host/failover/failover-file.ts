/** `failovers.json`: who took over from whom, so that no later agent brings the dead back. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Failover } from 'documents';

const isFailover = (value: unknown): value is Failover => {
  if (typeof value !== 'object' || value === null) return false;
  const { router, promoted, at, reason, microseconds } = value as Partial<Failover>;
  return (
    typeof router === 'string' &&
    typeof promoted === 'string' &&
    Number.isSafeInteger(at) &&
    typeof reason === 'string' &&
    Number.isSafeInteger(microseconds)
  );
};

/** Those on record; none when there is no file or it is of no use. */
export const readFailovers = (path: string): readonly Failover[] => {
  try {
    const { failovers } = JSON.parse(readFileSync(path, 'utf8')) as { readonly failovers?: unknown };
    return Array.isArray(failovers) ? failovers.filter(isFailover) : [];
  } catch {
    return [];
  }
};

/**
 * Replaces the file by rename, before it returns. It need not survive a loss of power, which no namespace survives either:
 * nothing is waited for that a kill of the agent cannot undo.
 */
export const writeFailovers = (path: string, failovers: readonly Failover[]): void => {
  writeFileSync(`${path}.new`, `${JSON.stringify({ failovers })}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
};
