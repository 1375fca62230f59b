import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const up = async (db: Kysely<unknown>): Promise<void> => {
  await db.schema
    .createTable('router_bundle')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('created_at', 'integer', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull().defaultTo(1))
    .addColumn('bundle_version', 'text', (column) => column.notNull())
    .addColumn('checksum', 'text', (column) => column.notNull().unique())
    .addColumn('key_id', 'text', (column) => column.notNull())
    .addColumn('size', 'integer', (column) => column.notNull())
    .addColumn('is_default', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema
    .createIndex('router_bundle_default')
    .on('router_bundle')
    .column('is_default')
    .unique()
    .where(sql.ref('is_default'), '=', sql.lit(1))
    .execute();
  // Apart: whoever reads a bundle's row does not want its megabytes.
  await db.schema
    .createTable('router_bundle_content')
    .addColumn('bundle_id', 'text', (column) =>
      column.primaryKey().notNull().references('router_bundle.id').onDelete('cascade'),
    )
    .addColumn('content', 'blob', (column) => column.notNull())
    .execute();

  for (const neighbour of ['heard_older_id', 'heard_newer_id'])
    await db.schema
      .alterTable('router')
      .addColumn(neighbour, 'text', (column) => column.references('router.id').onDelete('set null'))
      .execute();
  await db.schema
    .alterTable('router')
    .addColumn('bundle_id', 'text', (column) => column.references('router_bundle.id'))
    .execute();
  await db.schema.alterTable('router').addColumn('memory', 'integer').execute();
  await db.schema.alterTable('network_offering').addColumn('router_memory', 'integer').execute();
  await db.schema
    .alterTable('network')
    .addColumn('redundant', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema
    .createIndex('router_standby')
    .on('router')
    .column('network_id')
    .where(sql.ref('role'), '=', sql.lit('standby'))
    .execute();
};

/** Programs of routers that are patched while they run, and routers that stand by. */
export const routerBundlesAndStandbys: Migration = { up };
