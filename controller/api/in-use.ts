import type { Problem } from 'documents';
import { problem } from '../model/problem.ts';
import { someRow } from '../store/rows.ts';
import type { Database } from '../store/schema.ts';
import type { Db } from '../store/transaction.ts';

/** Problems of removing what other rows refer to: one for each kind of them, with an example. */
export const inUseProblems = async (
  db: Db,
  what: string,
  id: string,
  users: readonly (readonly [table: keyof Database, column: string, kind: string])[],
): Promise<Problem[]> => {
  const problems: Problem[] = [];
  for (const [table, column, kind] of users) {
    const user = await someRow(db, table, column, id);
    if (user === undefined) continue;
    problems.push(
      problem('', 'in-use', `The ${what} has the ${kind} ${user.id}`, `Remove its ${kind}s first.`),
    );
  }
  return problems;
};
