import type { Kysely } from 'kysely';
import { type ColumnDefinitionBuilder, type CreateTableBuilder, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

type Table = CreateTableBuilder<string, string>;
type Column = (column: ColumnDefinitionBuilder) => ColumnDefinitionBuilder;

const required: Column = (column) => column.notNull();
const to =
  (table: string): Column =>
  (column) =>
    column.notNull().references(`${table}.id`);
const optionalTo =
  (table: string): Column =>
  (column) =>
    column.references(`${table}.id`);
/** What is only a part of another row goes with it. */
const partOf =
  (table: string): Column =>
  (column) =>
    column.notNull().references(`${table}.id`).onDelete('cascade');

const text = (table: Table, ...names: string[]): Table =>
  names.reduce((built, name) => built.addColumn(name, 'text', required), table);
const integers = (table: Table, ...names: string[]): Table =>
  names.reduce((built, name) => built.addColumn(name, 'integer', required), table);
const optionalIntegers = (table: Table, ...names: string[]): Table =>
  names.reduce((built, name) => built.addColumn(name, 'integer'), table);

const up = async (db: Kysely<unknown>): Promise<void> => {
  const resource = (name: string): Table =>
    db.schema
      .createTable(name)
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('created_at', 'integer', required)
      .addColumn('version', 'integer', (column) => column.notNull().defaultTo(1));
  const unique = (table: string, ...columns: string[]) =>
    db.schema
      .createIndex(`${table}_by_${columns.join('_')}`)
      .on(table)
      .columns(columns)
      .unique()
      .execute();
  const index = (table: string, ...columns: string[]) =>
    db.schema
      .createIndex(`${table}_by_${columns.join('_')}`)
      .on(table)
      .columns(columns)
      .execute();

  await integers(text(resource('zone'), 'name', 'dns', 'domain', 'guest_prefix'), 'public_mtu').execute();
  await unique('zone', 'name');

  await integers(
    text(resource('host').addColumn('zone_id', 'text', to('zone')), 'name', 'token_hash'),
    'generation',
  )
    .addColumn('last_seen_at', 'integer')
    .addColumn('agent_version', 'text')
    .execute();
  await unique('host', 'zone_id', 'name');
  await unique('host', 'token_hash');

  await text(resource('account'), 'name', 'role').execute();
  await unique('account', 'name');

  await text(
    resource('api_key').addColumn('account_id', 'text', to('account')),
    'name',
    'key_hash',
  ).execute();
  await unique('api_key', 'account_id', 'name');
  await unique('api_key', 'key_hash');

  await text(
    resource('public_ip_range').addColumn('zone_id', 'text', to('zone')),
    'prefix',
    'gateway',
    'first',
    'last',
  ).execute();
  await index('public_ip_range', 'zone_id');

  await integers(
    text(resource('network_offering'), 'name', 'services', 'egress_default', 'state'),
    'persistent',
  ).execute();
  await unique('network_offering', 'name');

  await integers(
    text(
      resource('network')
        .addColumn('account_id', 'text', to('account'))
        .addColumn('zone_id', 'text', to('zone'))
        .addColumn('offering_id', 'text', to('network_offering')),
      'name',
      'prefix',
      'gateway',
      'domain',
      'state',
      'gateway_mac',
      'public_mac',
    ),
    'mtu',
  )
    .addColumn('vni', 'integer')
    .addColumn('idle_since', 'integer')
    .execute();
  await unique('network', 'account_id', 'name');
  // Null is distinct from null, so networks without a VNI do not meet here.
  await unique('network', 'zone_id', 'vni');
  await unique('network', 'gateway_mac');
  await unique('network', 'public_mac');
  await index('network', 'offering_id');
  await index('network', 'state', 'idle_since');

  await text(
    integers(
      resource('public_ip')
        .addColumn('zone_id', 'text', to('zone'))
        .addColumn('range_id', 'text', to('public_ip_range'))
        .addColumn('account_id', 'text', to('account'))
        .addColumn('network_id', 'text', to('network')),
      'source_nat',
      'generation',
    ),
    'address',
  ).execute();
  await unique('public_ip', 'zone_id', 'address');
  await index('public_ip', 'network_id');
  await index('public_ip', 'account_id');
  await index('public_ip', 'range_id', 'address');
  await db.schema
    .createIndex('public_ip_source_nat')
    .on('public_ip')
    .column('network_id')
    .unique()
    .where(sql.ref('source_nat'), '=', sql.lit(1))
    .execute();

  await integers(
    resource('router')
      .addColumn('network_id', 'text', to('network'))
      .addColumn('host_id', 'text', to('host')),
    'generation',
    'parity',
  ).execute();
  await index('router', 'network_id');
  await index('router', 'host_id');

  await text(
    resource('instance')
      .addColumn('account_id', 'text', to('account'))
      .addColumn('zone_id', 'text', to('zone'))
      .addColumn('host_id', 'text', to('host')),
    'name',
    'hostname',
    'wanted_state',
    'user_data',
    'public_keys',
    'meta_data',
  )
    .addColumn('password', 'text')
    .execute();
  await unique('instance', 'account_id', 'name');
  await index('instance', 'host_id');

  await text(
    resource('port')
      .addColumn('network_id', 'text', to('network'))
      .addColumn('instance_id', 'text', optionalTo('instance'))
      .addColumn('router_id', 'text', optionalTo('router')),
    'role',
    'mac',
  )
    .addColumn('address', 'text')
    .execute();
  await unique('port', 'network_id', 'address');
  await db.schema
    .createIndex('port_guest_mac')
    .on('port')
    .column('mac')
    .unique()
    .where(sql.ref('role'), '=', sql.lit('guest'))
    .execute();
  await index('port', 'network_id', 'role');
  await index('port', 'instance_id');
  await index('port', 'router_id');

  const rule = (name: string): Table =>
    integers(
      resource(name)
        .addColumn('network_id', 'text', to('network'))
        .addColumn('account_id', 'text', to('account')),
      'generation',
    );
  const match = (table: Table): Table =>
    optionalIntegers(text(table, 'protocol'), 'first_port', 'last_port', 'icmp_type', 'icmp_code');

  await text(match(rule('firewall_rule').addColumn('public_ip_id', 'text', to('public_ip'))), 'sources')
    .addColumn('opened_by', 'text')
    .execute();
  await index('firewall_rule', 'opened_by');
  await index('firewall_rule', 'public_ip_id', 'protocol', 'first_port');
  await text(match(rule('egress_rule')), 'sources', 'destinations').execute();
  await index('egress_rule', 'network_id', 'protocol', 'first_port');
  await integers(
    text(
      rule('port_forward')
        .addColumn('public_ip_id', 'text', to('public_ip'))
        .addColumn('port_id', 'text', to('port')),
      'protocol',
    ),
    'first_public_port',
    'last_public_port',
    'first_guest_port',
    'last_guest_port',
  ).execute();
  await index('port_forward', 'public_ip_id', 'protocol', 'first_public_port');
  await index('port_forward', 'port_id');
  await rule('static_nat')
    .addColumn('public_ip_id', 'text', to('public_ip'))
    .addColumn('port_id', 'text', to('port'))
    .execute();
  await unique('static_nat', 'public_ip_id');
  await unique('static_nat', 'port_id');
  await integers(
    text(
      rule('load_balancer').addColumn('public_ip_id', 'text', to('public_ip')),
      'name',
      'protocol',
      'algorithm',
    ),
    'port',
  ).execute();
  await unique('load_balancer', 'public_ip_id', 'port');
  await unique('load_balancer', 'account_id', 'name');
  await db.schema
    .createTable('load_balancer_member')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('load_balancer_id', 'text', partOf('load_balancer'))
    .addColumn('port_id', 'text', to('port'))
    .addColumn('guest_port', 'integer', required)
    .addColumn('draining', 'integer', required)
    .execute();
  await unique('load_balancer_member', 'load_balancer_id', 'port_id', 'guest_port');
  await index('load_balancer_member', 'port_id');

  for (const name of ['firewall_rule', 'port_forward', 'static_nat', 'load_balancer'])
    await index(name, 'network_id');
  for (const name of [
    'instance',
    'firewall_rule',
    'egress_rule',
    'port_forward',
    'static_nat',
    'load_balancer',
    'network',
    'public_ip',
  ])
    await index(name, 'account_id', 'created_at', 'id');

  await db.schema
    .createTable('router_change')
    .addColumn('router_id', 'text', partOf('router'))
    .addColumn('generation', 'integer', required)
    .addColumn('collection', 'text', required)
    .addColumn('item_id', 'text', required)
    .addPrimaryKeyConstraint('router_change_key', ['router_id', 'generation', 'collection', 'item_id'])
    .execute();
  await db.schema
    .createTable('router_status')
    .addColumn('router_id', 'text', (column) => partOf('router')(column).primaryKey())
    .addColumn('observed_generation', 'integer', required)
    .addColumn('applied_generation', 'integer', required)
    .addColumn('reported_at', 'integer', required)
    .addColumn('status', 'text', required)
    .execute();
  await db.schema
    .createTable('host_status')
    .addColumn('host_id', 'text', (column) => partOf('host')(column).primaryKey())
    .addColumn('observed_generation', 'integer', required)
    .addColumn('reported_at', 'integer', required)
    .addColumn('status', 'text', required)
    .execute();

  await text(
    resource('operation').addColumn('account_id', 'text', to('account')),
    'type',
    'resource',
    'state',
    'waits_for',
    'steps',
  )
    .addColumn('problem', 'text')
    .addColumn('ended_at', 'integer')
    .execute();
  await index('operation', 'state');
  await index('operation', 'resource');
  await index('operation', 'account_id', 'created_at', 'id');

  // `integer primary key` is the row number itself; autoincrement never gives one out twice, which cursors rely on.
  await text(
    db.schema
      .createTable('event')
      .addColumn('sequence', 'integer', (column) => column.primaryKey().autoIncrement())
      .addColumn('id', 'text', (column) => column.notNull().unique())
      .addColumn('created_at', 'integer', required)
      .addColumn('version', 'integer', (column) => column.notNull().defaultTo(1))
      .addColumn('account_id', 'text'),
    'type',
    'level',
    'resource',
    'message',
  ).execute();
  await index('event', 'account_id', 'sequence');
  await index('event', 'resource', 'sequence');

  await db.schema
    .createTable('idempotency_key')
    .addColumn('account_id', 'text', partOf('account'))
    .addColumn('key', 'text', required)
    .addColumn('request_hash', 'text', required)
    .addColumn('response', 'text', required)
    .addColumn('created_at', 'integer', required)
    .addPrimaryKeyConstraint('idempotency_key_key', ['account_id', 'key'])
    .execute();
  await index('idempotency_key', 'created_at');
};

/** All tables of the first release. */
export const initial: Migration = { up };
