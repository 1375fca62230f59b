/** What all repositories share: one row by id, new rows, changed rows, pages of them. */
import type { Insertable, Kysely, Selectable, Updateable } from 'kysely';
import { newId, type IdPrefix } from './id.ts';
import type { Database, ResourceTable, Row } from './schema.ts';
import { type Db, pendingOf, type Trx } from './transaction.ts';

type Rows<Table extends ResourceTable> = Selectable<Database[Table]>;

/** Kysely types a query by its table's name, which here is a parameter; every resource table has these columns. */
interface AnyRow extends Row {
  account_id: string;
}
const untyped = (db: Db): Kysely<Record<string, AnyRow>> => db as unknown as Kysely<Record<string, AnyRow>>;

/** The row with this id, undefined when there is none. */
export const findRow = async <Table extends ResourceTable>(
  db: Db,
  table: Table,
  id: string,
): Promise<Rows<Table> | undefined> =>
  (await untyped(db)
    .selectFrom(table as string)
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst()) as Rows<Table> | undefined;

/** The row with this id. @throws {TypeError} when a reference the database enforces leads nowhere. */
export const getRow = async <Table extends ResourceTable>(
  db: Db,
  table: Table,
  id: string,
): Promise<Rows<Table>> => {
  const row = await findRow(db, table, id);
  if (row === undefined) throw new TypeError(`There is no ${table} ${id}`);
  return row;
};

/** Rows with these ids, by id. */
export const rowsById = async <Table extends ResourceTable>(
  db: Db,
  table: Table,
  ids: Iterable<string>,
): Promise<Map<string, Rows<Table>>> => {
  const found = new Map<string, Rows<Table>>();
  const wanted = [...new Set(ids)];
  for (let start = 0; start < wanted.length; start += 1000) {
    const rows = (await untyped(db)
      .selectFrom(table as string)
      .selectAll()
      .where('id', 'in', wanted.slice(start, start + 1000))
      .execute()) as unknown as Rows<Table>[];
    for (const row of rows) found.set((row as { id: string }).id, row);
  }
  return found;
};

/** A new row with an id of its own, made at the time of the transaction. */
export const insertRow = async <Table extends ResourceTable>(
  trx: Trx,
  table: Table,
  prefix: IdPrefix,
  values: Omit<Insertable<Database[Table]>, 'id' | 'created_at' | 'version'>,
): Promise<Rows<Table>> =>
  (await untyped(trx)
    .insertInto(table as string)
    .values({ ...(values as object), id: newId(prefix), created_at: pendingOf(trx).now } as never)
    .returningAll()
    .executeTakeFirstOrThrow()) as unknown as Rows<Table>;

/** Changes a row; its version goes up. */
export const updateRow = async <Table extends ResourceTable>(
  trx: Trx,
  table: Table,
  id: string,
  values: Updateable<Database[Table]>,
): Promise<void> => {
  await untyped(trx)
    .updateTable(table as string)
    .set((eb) => ({ ...(values as object), version: eb('version', '+', 1) }) as never)
    .where('id', '=', id)
    .execute();
};

export const deleteRow = async (trx: Trx, table: ResourceTable, id: string): Promise<void> => {
  await untyped(trx)
    .deleteFrom(table as string)
    .where('id', '=', id)
    .execute();
};

/** Whether any row has this value in this column. */
export const someRow = async (
  db: Db,
  table: keyof Database,
  column: string,
  value: string | number,
): Promise<{ id: string } | undefined> =>
  untyped(db)
    .selectFrom(table as string)
    .select('id')
    .where(column as 'id', '=', value as string)
    .limit(1)
    .executeTakeFirst();

export interface PageOptions {
  readonly limit: number;
  /** `next` of the page before. */
  readonly cursor?: string | undefined;
  /** Columns and the value they must have; undefined means any. */
  readonly where: Readonly<Record<string, string | number | readonly string[] | undefined>>;
}

export interface Page<Item> {
  readonly items: Item[];
  readonly next: string | null;
}

const CURSOR = /^(\d{1,16}):([a-z]+-[0-9a-z]{12})$/;

const readCursor = (cursor: string): { time: number; id: string } | null => {
  const match = CURSOR.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  return match === null ? null : { time: Number(match[1]), id: match[2] as string };
};

/** Whether a text is a cursor of `pageRows`. */
export const isCursor = (text: string): boolean => readCursor(text) !== null;

/** Rows in the order they were made, from behind `cursor` on. */
export const pageRows = async <Table extends ResourceTable>(
  db: Db,
  table: Table,
  { limit, cursor, where }: PageOptions,
): Promise<Page<Rows<Table>>> => {
  let query = untyped(db)
    .selectFrom(table as string)
    .selectAll();
  for (const [column, value] of Object.entries(where)) {
    if (value === undefined) continue;
    query = Array.isArray(value)
      ? query.where(column as 'id', 'in', value as string[])
      : query.where(column as 'id', '=', value as string);
  }
  const from = cursor === undefined ? null : readCursor(cursor);
  if (from !== null)
    query = query.where((eb) =>
      eb.or([
        eb('created_at', '>', from.time),
        eb.and([eb('created_at', '=', from.time), eb('id', '>', from.id)]),
      ]),
    );
  const rows = await query
    .orderBy('created_at')
    .orderBy('id')
    .limit(limit + 1)
    .execute();
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return {
    items: items as unknown as Rows<Table>[],
    next:
      rows.length > limit && last !== undefined
        ? Buffer.from(`${last.created_at}:${last.id}`, 'latin1').toString('base64url')
        : null,
  };
};
