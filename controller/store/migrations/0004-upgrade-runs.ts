import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

const up = async (db: Kysely<unknown>): Promise<void> => {
  await db.schema
    .createTable('upgrade_run')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('created_at', 'integer', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull().defaultTo(1))
    .addColumn('account_id', 'text', (column) => column.notNull())
    .addColumn('name', 'text')
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('options', 'text', (column) => column.notNull())
    .addColumn('bundle_id', 'text')
    .addColumn('workflow_id', 'text', (column) => column.notNull())
    .addColumn('problem', 'text')
    .addColumn('ended_at', 'integer')
    .execute();
  await db.schema
    .createIndex('upgrade_run_by_created_at_id')
    .on('upgrade_run')
    .columns(['created_at', 'id'])
    .execute();

  // Routers come and go while a run is kept for good, so their ids are texts here and no references.
  await db.schema
    .createTable('upgrade_run_router')
    .addColumn('run_id', 'text', (column) =>
      column.notNull().references('upgrade_run.id').onDelete('cascade'),
    )
    .addColumn('router_id', 'text', (column) => column.notNull())
    .addColumn('position', 'integer', (column) => column.notNull())
    .addColumn('wave', 'integer', (column) => column.notNull())
    .addColumn('network_id', 'text', (column) => column.notNull())
    .addColumn('network_name', 'text', (column) => column.notNull())
    .addColumn('host_id', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('needs', 'text', (column) => column.notNull())
    .addColumn('because', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('detail', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('upgrade_run_router_key', ['run_id', 'router_id'])
    .execute();
  await db.schema
    .createIndex('upgrade_run_router_by_router_id')
    .on('upgrade_run_router')
    .column('router_id')
    .execute();

  await db.schema
    .createTable('probe')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('created_at', 'integer', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull().defaultTo(1))
    .addColumn('run_id', 'text', (column) => column.notNull().references('upgrade_run.id'))
    .addColumn('host_id', 'text', (column) => column.notNull().references('host.id').onDelete('cascade'))
    .addColumn('network_id', 'text', (column) => column.references('network.id').onDelete('cascade'))
    .addColumn('range_id', 'text', (column) => column.references('public_ip_range.id').onDelete('cascade'))
    .addColumn('outside_id', 'text', (column) => column.references('probe.id').onDelete('set null'))
    .addColumn('mac', 'text', (column) => column.notNull().unique())
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('rate', 'integer', (column) => column.notNull())
    .execute();
  await db.schema.createIndex('probe_by_host_id').on('probe').column('host_id').execute();
  await db.schema.createIndex('probe_by_run_id').on('probe').column('run_id').execute();
  await db.schema
    .createIndex('probe_by_network_id_address')
    .on('probe')
    .columns(['network_id', 'address'])
    .unique()
    .execute();
  await db.schema
    .createIndex('probe_by_range_id_address')
    .on('probe')
    .columns(['range_id', 'address'])
    .unique()
    .execute();
};

/** Runs that upgrade many routers, what was measured of each, and the probes that measure it. */
export const upgradeRuns: Migration = { up };
