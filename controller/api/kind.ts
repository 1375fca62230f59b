/** What a resource's own file says about it, and what its writes are given. */
import type { Selectable } from 'kysely';
import type { Static, TSchema } from 'typebox';
import type { Caller } from '../auth/caller.ts';
import type { Findings } from '../model/findings.ts';
import type { Database, ResourceTable } from '../store/schema.ts';
import type { Db, Trx } from '../store/transaction.ts';
import type { ApiContext } from './context.ts';

export type RowOf<Table extends ResourceTable> = Selectable<Database[Table]>;

/** What of a resource is common to all its routes. */
export interface Kind<Table extends ResourceTable, Shape extends TSchema> {
  /** For people: `port forward`. */
  readonly name: string;
  /** Path segment, plural and kebab-case. */
  readonly path: string;
  /** For operation ids: `PortForward`. */
  readonly word: string;
  readonly table: Table;
  readonly schema: Shape & { $id?: string };
  /**
   * Who sees one. `everyone`: any account, all of them. `owner`: its account and administrators, by the row's
   * `account_id` or `ownerOf`. `admin`: administrators.
   */
  readonly readers: 'everyone' | 'owner' | 'admin';
  /** Who may write one. */
  readonly writers: 'owner' | 'admin' | 'nobody';
  /** The account of a row that does not say so itself. */
  readonly ownerOf?: (db: Db, row: RowOf<Table>) => Promise<string | null>;
  /** Rows as they are answered, in the same order. */
  readonly render: (db: Db, rows: readonly RowOf<Table>[], now: number) => Promise<Static<Shape>[]>;
}

/** A write under way. */
export interface Write<Body> {
  readonly trx: Trx;
  readonly context: ApiContext;
  readonly caller: Caller;
  readonly body: Body;
  /** Time of the write, ms since the epoch. */
  readonly now: number;
  /** What is wrong with the request; checked when the write returns, and whenever it calls `check`. */
  readonly findings: Findings;
}

export interface Written {
  readonly id: string;
  readonly operation?: string | null;
  /** Fields that are answered this once and never again: keys, tokens, passwords. */
  readonly once?: Readonly<Record<string, string>>;
}

/** A row of any resource table. */
export type Row<Table extends ResourceTable> = RowOf<Table> & { id: string; version: number };

export interface ListOptions {
  /** Query parameters of the list and the columns they compare. */
  readonly filters?: Readonly<Record<string, { readonly column: string; readonly schema: TSchema }>>;
  /** Query parameters that lead by way of another table to values of a column. */
  readonly lookups?: Readonly<
    Record<
      string,
      {
        readonly column: string;
        readonly schema: TSchema;
        readonly values: (db: Db, text: string) => Promise<readonly string[]>;
      }
    >
  >;
  /** Columns that a caller's list is narrowed by, when rows do not carry `account_id`. */
  readonly scope?: (db: Db, caller: Caller) => Promise<Readonly<Record<string, readonly string[]>>>;
}
