import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const up = async (db: Kysely<unknown>): Promise<void> => {
  await db.schema
    .alterTable('router')
    .addColumn('ordinal', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema
    .alterTable('router')
    .addColumn('role', 'text', (column) => column.notNull().defaultTo('active'))
    .execute();
  for (const neighbour of ['older_id', 'newer_id'])
    await db.schema
      .alterTable('router')
      .addColumn(neighbour, 'text', (column) => column.references('router.id').onDelete('set null'))
      .execute();
  await db.schema
    .createIndex('router_active')
    .on('router')
    .column('network_id')
    .unique()
    .where(sql.ref('role'), '=', sql.lit('active'))
    .execute();

  await db.schema
    .createTable('workflow')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('created_at', 'integer', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull().defaultTo(1))
    .addColumn('account_id', 'text', (column) => column.notNull().references('account.id'))
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('claim', 'text')
    .addColumn('step', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('problem', 'text')
    .addColumn('updated_at', 'integer', (column) => column.notNull())
    .addColumn('next_attempt_at', 'integer')
    .addColumn('ended_at', 'integer')
    .addColumn('operation_id', 'text', (column) => column.notNull())
    .execute();
  // Null is distinct from null: only workflows that hold a claim meet here.
  await db.schema.createIndex('workflow_by_claim').on('workflow').column('claim').unique().execute();
  await db.schema.createIndex('workflow_by_status').on('workflow').column('status').execute();
  await db.schema.createIndex('workflow_by_subject').on('workflow').column('subject').execute();
  await db.schema.createIndex('workflow_by_operation_id').on('workflow').column('operation_id').execute();
  await db.schema
    .createIndex('workflow_by_account_id_created_at_id')
    .on('workflow')
    .columns(['account_id', 'created_at', 'id'])
    .execute();
};

/** Several routers on a network in a chain, and workflows that replace one by another. */
export const routerReplacement: Migration = { up };
