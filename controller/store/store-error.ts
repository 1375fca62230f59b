/** What the databases say when a constraint refuses, in one form. The only file that knows their codes. */

/** SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY, _ROWID (sqlite.org/rescode.html) and PostgreSQL's unique_violation. */
const UNIQUE = new Set<unknown>([2067, 1555, 2579, '23505']);
/** SQLITE_CONSTRAINT_FOREIGNKEY, _TRIGGER and PostgreSQL's foreign_key_violation. */
const REFERENCE = new Set<unknown>([787, 1811, '23503']);
/** SQLITE_FULL, SQLITE_IOERR: nothing the caller can mend. */
const FULL = new Set<unknown>([13, '53100']);

export type ConstraintKind = 'unique' | 'reference' | 'full';

/** Which kind of refusal a thrown database error is, null when it is none. */
export const constraintKind = (error: unknown): ConstraintKind | null => {
  if (typeof error !== 'object' || error === null) return null;
  const { errcode, code } = error as { errcode?: unknown; code?: unknown };
  const number = errcode ?? code;
  if (UNIQUE.has(number)) return 'unique';
  if (REFERENCE.has(number)) return 'reference';
  return FULL.has(number) ? 'full' : null;
};

/** `network.account_id, network.name` of a unique violation, empty when the database does not say. */
export const violatedColumns = (error: unknown): readonly string[] => {
  const { message, detail } = error as { message?: string; detail?: string };
  const sqlite = /UNIQUE constraint failed: (.+)$/.exec(message ?? '')?.[1];
  if (sqlite !== undefined) return sqlite.split(', ');
  return /^Key \(([^)]+)\)/.exec(detail ?? '')?.[1]?.split(', ') ?? [];
};
