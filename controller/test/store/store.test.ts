import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { DatabaseSync } from 'node:sqlite';
import { Kysely, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { recordEvent } from '../../store/events.ts';
import { newId } from '../../store/id.ts';
import { migrate } from '../../store/migrate.ts';
import { initial } from '../../store/migrations/0001-initial.ts';
import { replacementsGoForward } from '../../store/migrations/0006-replacements-go-forward.ts';
import { sqliteDialect } from '../../store/sqlite-dialect.ts';
import { addSuccessor, moveTraffic } from '../../store/router-chain.ts';
import { touchNetwork } from '../../store/routers.ts';
import { advanceOperation, startOperation } from '../../store/operations.ts';
import { insertRow } from '../../store/rows.ts';
import { openSecrets, SecretError, secrets } from '../../store/secret.ts';
import { constraintKind, violatedColumns } from '../../store/store-error.ts';
import { takeOwnership } from '../../store/single-owner.ts';
import { openStore, type Store } from '../../store/store.ts';
import { CHANGES_KEPT, touchHost, touchRouter } from '../../store/touch.ts';
import type { Change, Trx } from '../../store/transaction.ts';

const folder = (t: ExecutionContext): string => {
  const directory = mkdtempSync(join(tmpdir(), 'svt-store-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
};

const open = async (t: ExecutionContext): Promise<Store> => {
  const store = await openStore({ directory: folder(t) });
  t.teardown(() => store.close());
  return store;
};

/** Rows that a router hangs on. */
const seedRouter = async (
  trx: Trx,
): Promise<{
  router: string;
  host: string;
  network: string;
  account: string;
  zone: string;
  offering: string;
}> => {
  const zone = await insertRow(trx, 'zone', 'zone', {
    name: 'z',
    dns: '[]',
    domain: 'cloud.internal',
    guest_prefix: '10.1.1.0/24',
    public_mtu: 1500,
  });
  const host = await insertRow(trx, 'host', 'host', {
    zone_id: zone.id,
    name: 'h',
    token_hash: 'x',
    generation: 1,
    last_seen_at: null,
    agent_version: null,
  });
  const account = await insertRow(trx, 'account', 'acc', { name: 'a', role: 'user' });
  const offering = await insertRow(trx, 'network_offering', 'off', {
    name: 'o',
    services: '[]',
    egress_default: 'deny',
    persistent: 0,
    state: 'enabled',
  });
  const network = await insertRow(trx, 'network', 'net', {
    account_id: account.id,
    zone_id: zone.id,
    offering_id: offering.id,
    name: 'n',
    prefix: '10.1.1.0/24',
    gateway: '10.1.1.1',
    domain: 'cloud.internal',
    mtu: 1450,
    state: 'implementing',
    vni: 1,
    gateway_mac: '02:00:00:00:00:01',
    public_mac: '02:00:00:00:00:02',
    idle_since: null,
  });
  const router = await insertRow(trx, 'router', 'rtr', {
    network_id: network.id,
    host_id: host.id,
    generation: 1,
    parity: 0,
  });
  return {
    router: router.id,
    host: host.id,
    network: network.id,
    account: account.id,
    zone: zone.id,
    offering: offering.id,
  };
};

test('the database is in WAL mode, synced at every commit, with foreign keys, and readable by its owner alone', async (t) => {
  const directory = folder(t);
  const store = await openStore({ directory });
  const pragma = async (name: string) =>
    Object.values(
      (await sql.raw<Record<string, unknown>>(`pragma ${name}`).execute(store.db)).rows[0] ?? {},
    )[0];
  t.is(await pragma('journal_mode'), 'wal');
  t.is(await pragma('synchronous'), 2);
  t.is(await pragma('foreign_keys'), 1);
  t.is(await pragma('busy_timeout'), 5000);
  t.is(statSync(join(directory, 'selvage.sqlite')).mode & 0o777, 0o600);
  await migrate(store.db);
  await store.close();
  const again = await openStore({ directory });
  await again.close();
});

test('every look-up that grows has an index', async (t) => {
  const { db } = await open(t);
  const plans = [
    "select * from firewall_rule where public_ip_id = 'x' and protocol = 'tcp' and first_port is 80",
    "select * from port_forward where public_ip_id = 'x' and protocol = 'tcp' and first_public_port <= 80",
    "select * from firewall_rule where network_id = 'x'",
    "select * from egress_rule where network_id = 'x'",
    "select * from port_forward where port_id = 'x'",
    "select * from static_nat where public_ip_id = 'x'",
    "select * from load_balancer_member where load_balancer_id = 'x'",
    "select * from load_balancer_member where port_id = 'x'",
    "select * from router_change where router_id = 'x' and generation > 5",
    "select address from port where network_id = 'x'",
    "select address from public_ip where range_id = 'x'",
    "select * from port where instance_id = 'x'",
    "select * from port where router_id = 'x'",
    "select * from router where host_id = 'x'",
    "select * from instance where host_id = 'x'",
    "select * from operation where state = 'running'",
    "select * from event where account_id = 'x' and sequence > 5",
    "select * from api_key where key_hash = 'x'",
    "select * from host where token_hash = 'x'",
    "select vni from network where zone_id = 'x' and vni is not null order by vni",
    "select * from firewall_rule where opened_by = 'x'",
    "select * from instance where account_id = 'x' order by created_at, id",
  ];
  for (const query of plans) {
    const { rows } = await sql.raw<{ detail: string }>(`explain query plan ${query}`).execute(db);
    const detail = rows.map((row) => row.detail).join('; ');
    t.regex(detail, /^SEARCH /, query);
    t.notRegex(detail, /SCAN|TEMP B-TREE/, query);
  }
});

test('nothing can be allocated twice, whatever the code above does', async (t) => {
  const store = await open(t);
  const ids = await store.transaction(seedRouter);
  const range = await store.transaction((trx) =>
    insertRow(trx, 'public_ip_range', 'range', {
      zone_id: ids.zone,
      prefix: '203.0.113.0/24',
      gateway: '203.0.113.1',
      first: '203.0.113.2',
      last: '203.0.113.9',
    }),
  );
  let nextMac = 10;
  const port = (values: object) => (trx: Trx) =>
    insertRow(trx, 'port', 'port', {
      network_id: ids.network,
      role: 'guest',
      instance_id: null,
      router_id: null,
      mac: `02:00:00:00:01:${(nextMac += 1)}`,
      address: null,
      ...values,
    });
  const publicIp = (values: object) => (trx: Trx) =>
    insertRow(trx, 'public_ip', 'pip', {
      zone_id: ids.zone,
      range_id: range.id,
      address: '203.0.113.2',
      account_id: ids.account,
      network_id: ids.network,
      source_nat: 0,
      generation: 0,
      ...values,
    });
  const network = (values: object) => (trx: Trx) =>
    insertRow(trx, 'network', 'net', {
      account_id: ids.account,
      zone_id: ids.zone,
      offering_id: ids.offering,
      name: 'other',
      prefix: '10.1.1.0/24',
      gateway: '10.1.1.1',
      domain: 'x',
      mtu: 1450,
      state: 'allocated',
      vni: null,
      gateway_mac: '02:00:00:00:02:01',
      public_mac: '02:00:00:00:02:02',
      idle_since: null,
      ...values,
    });
  const twice: [
    what: string,
    first: (trx: Trx) => Promise<unknown>,
    second: (trx: Trx) => Promise<unknown>,
    columns: string[],
  ][] = [
    [
      'guest address',
      port({ address: '10.1.1.2' }),
      port({ address: '10.1.1.2' }),
      ['port.network_id', 'port.address'],
    ],
    ['guest MAC', port({ mac: '02:00:00:00:00:99' }), port({ mac: '02:00:00:00:00:99' }), ['port.mac']],
    ['public address', publicIp({}), publicIp({}), ['public_ip.zone_id', 'public_ip.address']],
    [
      'source NAT of a network',
      publicIp({ address: '203.0.113.3', source_nat: 1 }),
      publicIp({ address: '203.0.113.4', source_nat: 1 }),
      ['public_ip.network_id'],
    ],
    [
      'name in an account',
      network({}),
      network({ gateway_mac: 'a', public_mac: 'b' }),
      ['network.account_id', 'network.name'],
    ],
    [
      'VNI in a zone',
      network({ name: 'v', vni: 2, gateway_mac: 'c', public_mac: 'd' }),
      network({ name: 'w', vni: 2, gateway_mac: 'e', public_mac: 'f' }),
      ['network.zone_id', 'network.vni'],
    ],
    [
      'MAC of a network',
      network({ name: 'm', gateway_mac: 'g', public_mac: 'h' }),
      network({ name: 'k', gateway_mac: 'g', public_mac: 'i' }),
      ['network.gateway_mac'],
    ],
  ];
  for (const [what, first, second, columns] of twice) {
    await store.transaction(first);
    const error = await t.throwsAsync(store.transaction(second), undefined, what);
    t.is(constraintKind(error), 'unique', what);
    t.deepEqual(violatedColumns(error), columns, what);
  }
  const error = await t.throwsAsync(
    store.transaction(publicIp({ address: '203.0.113.5', network_id: 'net-none' })),
  );
  t.is(constraintKind(error), 'reference');
  t.is(constraintKind(new Error('else')), null);
});

test('a transaction gives a document one generation, tells after the commit, and of a rollback nobody hears', async (t) => {
  const store = await open(t);
  const { router, host, account } = await store.transaction(seedRouter);
  const told: Change[] = [];
  const stop = store.onChange((change) => told.push(change));
  await store.transaction(async (trx) => {
    t.is(await touchRouter(trx, router, [{ collection: 'firewallRules', itemId: 'fw-1' }]), 2);
    t.is(
      await touchRouter(trx, router, [
        { collection: 'portForwards', itemId: 'pf-1' },
        { collection: 'firewallRules', itemId: 'fw-1' },
      ]),
      2,
    );
    t.is(await touchHost(trx, host), 2);
    t.is(await touchHost(trx, host), 2);
    t.is(await touchRouter(trx, 'rtr-none', []), null);
    t.is(await touchHost(trx, 'host-none'), null);
    t.true(await recordEvent(trx, { account, type: 'a.b', resource: 'x', message: 'm', id: 'evt-1' }));
    t.false(await recordEvent(trx, { account, type: 'a.b', resource: 'x', message: 'm', id: 'evt-1' }));
    t.deepEqual(told, []);
  });
  t.deepEqual(told, [
    {
      routers: [{ id: router, generation: 2, host }],
      hosts: [{ id: host, generation: 2 }],
      events: 1,
      operations: [],
      workflows: [],
      reports: [],
    },
  ]);
  await t.throwsAsync(
    store.transaction(async (trx) => {
      await touchRouter(trx, router, []);
      throw new Error('no');
    }),
  );
  await store.transaction(async () => {});
  t.is(told.length, 1);
  const changes = await store.db.selectFrom('router_change').selectAll().orderBy('item_id').execute();
  t.deepEqual(
    changes.map(({ generation, item_id }) => [generation, item_id]),
    [
      [2, 'fw-1'],
      [2, 'pf-1'],
    ],
  );
  stop();
  await store.transaction((trx) => touchHost(trx, host));
  t.is(told.length, 1);
});

test('changes of a router are remembered whole generations at a time, and not without end', async (t) => {
  const store = await open(t);
  const { router } = await store.transaction(seedRouter);
  for (let round = 0; round < 140; round += 1)
    await store.transaction((trx) =>
      touchRouter(
        trx,
        router,
        Array.from({ length: 50 }, (_, item) => ({
          collection: 'firewallRules',
          itemId: `fw-${round}-${item}`,
        })),
      ),
    );
  const rows = await store.db
    .selectFrom('router_change')
    .select(['generation', (eb) => eb.fn.countAll<number>().as('count')])
    .groupBy('generation')
    .orderBy('generation')
    .execute();
  const total = rows.reduce((sum, { count }) => sum + Number(count), 0);
  t.true(total <= CHANGES_KEPT + 64 * 50, String(total));
  t.true(rows.every(({ count }) => Number(count) === 50));
  t.is(rows.at(-1)?.generation, 141);
  t.is(rows.length, 141 - (rows[0]?.generation ?? 0) + 1, 'no generation is missing in between');
});

test('operations go on until they end, once', async (t) => {
  const store = await open(t);
  const { account, host } = await store.transaction(seedRouter);
  const begin = { account, type: 'a.b', resource: 'x', message: 'begun' };
  t.is(await store.transaction((trx) => startOperation(trx, { ...begin, waitsFor: [] })), null);
  const id = await store.transaction((trx) =>
    startOperation(trx, { ...begin, waitsFor: [{ host, generation: 1 }] }),
  );
  const advance = (progress: Parameters<typeof advanceOperation>[2]) =>
    store.transaction((trx) => advanceOperation(trx, String(id), progress));
  t.true(await advance({ message: 'on it' }));
  t.true(await advance({ state: 'succeeded', message: 'done' }));
  t.false(await advance({ state: 'failed' }));
  const row = await store.db.selectFrom('operation').selectAll().executeTakeFirstOrThrow();
  t.is(row.state, 'succeeded');
  t.deepEqual(
    (JSON.parse(row.steps) as { message: string }[]).map(({ message }) => message),
    ['begun', 'on it', 'done'],
  );
});

test('what is encrypted can be read with its key in its place, and nowhere else', (t) => {
  const keep = secrets(Buffer.alloc(32, 1));
  const other = secrets(Buffer.alloc(32, 2));
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string(),
      fc.nat(),
      (plain, context, at) => {
        const text = keep.encrypt(plain, context);
        if (keep.decrypt(text, context) !== Buffer.from(plain).toString()) return false;
        if (text === keep.encrypt(plain, context)) return false;
        const bytes = Buffer.from(text.slice(3), 'base64');
        const index = at % bytes.length;
        bytes[index] = (bytes[index] ?? 0) ^ 1;
        for (const attempt of [
          () => other.decrypt(text, context),
          () => keep.decrypt(text, `${context}.`),
          () => keep.decrypt(`v1:${bytes.toString('base64')}`, context),
          () => keep.decrypt(plain, context),
        ])
          try {
            attempt();
            return false;
          } catch (error) {
            if (!(error instanceof SecretError) || error.code !== 'SECRET_TEXT') return false;
          }
        return true;
      },
    ),
    { numRuns: 100 },
  );
  t.pass();
});

test('the key file is made once, readable by its owner alone, and a broken one is not replaced', (t) => {
  const directory = folder(t);
  const file = join(directory, 'secret.key');
  const text = openSecrets(file).encrypt('x', 'y');
  t.is(statSync(file).mode & 0o777, 0o600);
  t.is(openSecrets(file).decrypt(text, 'y'), 'x');
  writeFileSync(file, 'short');
  t.throws(() => openSecrets(file), { code: 'SECRET_KEY' });
  t.is(readFileSync(file, 'utf8'), 'short');
});

test('ids are a prefix and twelve characters', (t) => {
  const ids = Array.from({ length: 2000 }, () => newId('net'));
  t.is(new Set(ids).size, 2000);
  t.true(ids.every((id) => /^net-[0-9a-z]{12}$/.test(id)));
});

test('a state directory has one owner at a time', (t) => {
  const file = join(folder(t), 'controller', 'owner.lock');
  const release = takeOwnership(file);
  t.throws(() => takeOwnership(file), { code: 'STATE_IN_USE' });
  release();
  takeOwnership(file)();
});

test('a database of the first release keeps its routers, which are active', async (t) => {
  const directory = folder(t);
  const database = new DatabaseSync(join(directory, 'selvage.sqlite'));
  const before = new Kysely<unknown>({ dialect: sqliteDialect(database) });
  const { error } = await new Migrator({
    db: before,
    provider: { getMigrations: async () => ({ '0001-initial': initial }) },
  }).migrateToLatest();
  t.is(error, undefined);
  database.exec(`
    insert into zone (id, created_at, name, dns, domain, guest_prefix, public_mtu) values ('zone-1', 1, 'z', '[]', 'd', '10.0.0.0/24', 1500);
    insert into host (id, created_at, zone_id, name, token_hash, generation) values ('host-1', 1, 'zone-1', 'h', 'x', 1);
    insert into account (id, created_at, name, role) values ('acc-1', 1, 'a', 'user');
    insert into network_offering (id, created_at, name, services, egress_default, state, persistent) values ('off-1', 1, 'o', '[]', 'deny', 'enabled', 0);
    insert into network (id, created_at, account_id, zone_id, offering_id, name, prefix, gateway, domain, state, gateway_mac, public_mac, mtu)
      values ('net-1', 1, 'acc-1', 'zone-1', 'off-1', 'n', '10.0.0.0/24', '10.0.0.1', 'd', 'implemented', '02:00:00:00:00:01', '02:00:00:00:00:02', 1450);
    insert into router (id, created_at, network_id, host_id, generation, parity) values ('rtr-1', 1, 'net-1', 'host-1', 7, 0);
  `);
  await before.destroy();
  const store = await openStore({ directory });
  t.teardown(() => store.close());
  const [router] = await store.db.selectFrom('router').selectAll().execute();
  t.like(router, { id: 'rtr-1', role: 'active', ordinal: 0, older_id: null, newer_id: null, generation: 7 });
});

test('replacements that were under way go on after an update, and know what they began with', async (t) => {
  const database = new DatabaseSync(':memory:');
  const db = new Kysely<unknown>({ dialect: sqliteDialect(database) });
  t.teardown(() => db.destroy());
  const states = [
    ['wf-1', 'running', { router: 'rtr-1', step: 1, silence: null }],
    ['wf-2', 'aborting', { router: 'rtr-gone', silence: { router: 'rtr-2', since: 17 } }],
    ['wf-3', 'succeeded', { router: 'rtr-1', silence: null }],
  ] as const;
  database.exec(`
    create table router (id text, bundle_id text);
    create table workflow (id text, type text, status text, state text);
    insert into router values ('rtr-1', 'bdl-1');
  `);
  for (const [id, status, state] of states)
    database
      .prepare("insert into workflow values (?, 'router.replace', ?, ?)")
      .run(id, status, JSON.stringify(state));
  await replacementsGoForward.up(db);
  const rows = database.prepare('select id, state from workflow order by id').all();
  t.deepEqual(
    rows.map(({ state }) => JSON.parse(String(state)) as unknown),
    [
      { router: 'rtr-1', step: 1, previousBundle: 'bdl-1', forward: null, silences: {} },
      { router: 'rtr-gone', previousBundle: null, forward: null, silences: { 'rtr-2': 17 } },
      states[2][2],
    ],
  );
});

test('a network has one active router, whatever is written', async (t) => {
  const store = await open(t);
  const { router } = await store.transaction(seedRouter);
  const successor = await store.transaction((trx) => addSuccessor(trx, router));
  await t.throwsAsync(
    store.db.updateTable('router').set({ role: 'active' }).where('id', '=', successor).execute(),
    { message: /UNIQUE/ },
  );
  await store.transaction((trx) => moveTraffic(trx, { router, becomes: 'draining' }, successor));
  t.deepEqual(
    await store.db
      .selectFrom('router')
      .select(['id', 'role', 'parity', 'ordinal'])
      .orderBy('ordinal')
      .execute(),
    [
      { id: router, role: 'draining', parity: 0, ordinal: 0 },
      { id: successor, role: 'active', parity: 1, ordinal: 1 },
    ],
  );
});

test('routers that are touched together have one generation, and no gap in what is known of them', async (t) => {
  const store = await open(t);
  const { router, network } = await store.transaction(async (trx) => {
    const seeded = await seedRouter(trx);
    const port = { network_id: seeded.network, instance_id: null, router_id: seeded.router, address: null };
    await insertRow(trx, 'port', 'port', { ...port, role: 'router-guest', mac: '02:00:00:00:00:01' });
    return seeded;
  });
  const successor = await store.transaction((trx) => addSuccessor(trx, router));
  for (let round = 0; round < 5; round += 1)
    await store.transaction((trx) => touchRouter(trx, router, [{ collection: 'handover', itemId: '' }]));
  const { generation } = await store.transaction((trx) =>
    touchNetwork(trx, network, () => [{ collection: 'firewallRules', itemId: 'fw-1' }]),
  );
  const rows = await store.db.selectFrom('router').select(['id', 'generation']).execute();
  t.deepEqual(
    rows.map((row) => row.generation),
    [generation, generation],
  );
  const changes = await store.db
    .selectFrom('router_change')
    .select('generation')
    .where('router_id', '=', successor)
    .orderBy('generation')
    .execute();
  t.deepEqual(
    changes.map((row) => row.generation),
    Array.from({ length: generation }, (_, index) => index + 1),
  );
});
