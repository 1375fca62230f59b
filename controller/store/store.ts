/** The controller's memory: one SQLite file that holds intent, what was reported, and what happened. */
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { migrate } from './migrate.ts';
import type { Database } from './schema.ts';
import { openSecrets, type Secrets } from './secret.ts';
import { sqliteDialect } from './sqlite-dialect.ts';
import { beginPending, type Change, changeOf, type Db, type Trx } from './transaction.ts';

export interface Store {
  /**
   * For reads outside a transaction. There is one connection: inside `transaction` use only its `trx`, or the query
   * waits for the transaction, which waits for the query.
   */
  readonly db: Db;
  readonly secrets: Secrets;
  /** Milliseconds since the epoch, from the clock the store was opened with. */
  now(): number;
  /**
   * Runs `work` in a transaction, one after the other: what it reads cannot change before it writes. Commits when it
   * returns and then tells the listeners; rolls back when it throws, and nobody hears of it.
   */
  transaction<T>(work: (trx: Trx) => Promise<T>): Promise<T>;
  /** Calls `listener` after every commit that touched a document, an event, an operation or a workflow, or took a report. Returns how to stop. */
  onChange(listener: (change: Change) => void): () => void;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Folder of `selvage.sqlite` and `secret.key`; made with mode 0700. */
  readonly directory: string;
  readonly now?: () => number;
  /** Called with what a listener throws: a committed transaction stays committed. */
  readonly onListenerError?: (error: unknown) => void;
}

export const openStore = async (options: StoreOptions): Promise<Store> => {
  const { directory, now = Date.now } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const secrets = openSecrets(join(directory, 'secret.key'));
  const file = join(directory, 'selvage.sqlite');
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: true, timeout: 5000 });
  chmodSync(file, 0o600);
  // WAL: readers such as backups do not stop us. FULL: an address we answered with must not be given out again after a
  // power cut, which NORMAL allows in WAL mode (sqlite.org/pragma.html#pragma_synchronous); it costs one fsync a write.
  database.exec('pragma journal_mode = WAL; pragma synchronous = FULL; pragma foreign_keys = ON');
  const db = new Kysely<Database>({ dialect: sqliteDialect(database) });
  await migrate(db);
  const listeners = new Set<(change: Change) => void>();
  const tell = (change: Change): void => {
    const { routers, hosts, events, operations, workflows, reports } = change;
    if ([routers, hosts, operations, workflows, reports].every(({ length }) => length === 0) && events === 0)
      return;
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (error) {
        options.onListenerError?.(error);
      }
    }
  };
  return {
    db,
    secrets,
    now,
    transaction: async (work) => {
      const [result, change] = await db.transaction().execute(async (trx) => {
        const pending = beginPending(trx, now());
        const value = await work(trx);
        return [value, changeOf(pending)] as const;
      });
      tell(change);
      return result;
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => db.destroy(),
  };
};
