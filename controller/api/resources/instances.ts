import type { HostStatus, MachineStatus } from 'documents';
import { type Static, Type } from 'typebox';
import { newPassword } from '../../auth/password.ts';
import { guestAddressProblems } from '../../model/address-checks.ts';
import { instanceConditions } from '../../model/conditions.ts';
import { hostnameOf } from '../../model/names.ts';
import { problem } from '../../model/problem.ts';
import { type Touch, touchGuestPort } from '../../plan/touched.ts';
import { recordEvent } from '../../store/events.ts';
import { addGuestPort, guestWith } from '../../store/instances.ts';
import { implementNetwork, type Network, routersOf } from '../../store/networks.ts';
import { startOperation, type WaitsFor } from '../../store/operations.ts';
import { touchNetwork } from '../../store/routers.ts';
import { deleteRow, insertRow, rowsById, updateRow } from '../../store/rows.ts';
import { touchHost } from '../../store/touch.ts';
import type { Db, Trx } from '../../store/transaction.ts';
import { ownedRow } from '../references.ts';
import type { Register } from '../register.ts';
import { removeRulesOfPort } from '../remove-rules.ts';
import type { Kind, RowOf, Write } from '../resource.ts';
import { body, Id, IdOrName, Ipv4, isoTime, Name, oneOf, resourceSchema, textOrNull } from '../schemas.ts';

/** 32 KiB (as documents/router/metadata.ts) in base64. */
const userData = Type.String({
  format: 'base64',
  maxLength: 43_692,
  description: 'Base64, at most 32 KiB decoded.',
});
const publicKeys = Type.Array(Type.String({ pattern: '^[^\\r\\n]{1,8192}$' }), {
  maxItems: 64,
  description: 'SSH public keys, one line each.',
});
const metaData = Type.Unsafe<Record<string, string>>({
  type: 'object',
  patternProperties: {
    '^[a-z0-9][a-z0-9-]{0,62}$': { type: 'string', maxLength: 4096, pattern: '^[^\\r\\n]*$' },
  },
  additionalProperties: false,
  maxProperties: 64,
  description: 'Further keys under /latest/meta-data/.',
});
const hostname = Type.String({ format: 'hostname' });
const state = oneOf(['starting', 'running', 'stopped', 'failed']);

const Instance = resourceSchema('Instance', 'A guest: a machine on one network or more.', {
  account: Id,
  zone: Id,
  name: Name,
  hostname,
  state,
  wantedState: oneOf(['running', 'stopped']),
  host: Id,
  address: textOrNull('Address of its first port.'),
  ports: Type.Array(Type.Object({ id: Id, network: Id, mac: Type.String(), address: Type.String() })),
  userData: Type.String(),
  publicKeys: Type.Array(Type.String()),
  metaData: Type.Record(Type.String(), Type.String()),
});

/** Names the router itself goes by in the network. */
const RESERVED_HOSTNAMES = ['data-server', 'localhost'];

/** What each host reported of these instances. */
const reportedMachines = async (db: Db, hosts: readonly string[]): Promise<Map<string, MachineStatus>> => {
  if (hosts.length === 0) return new Map();
  const rows = await db
    .selectFrom('host_status')
    .select('status')
    .where('host_id', 'in', [...new Set(hosts)])
    .execute();
  return new Map(
    rows.flatMap(({ status }) =>
      (JSON.parse(status) as HostStatus).machines.map((machine) => [machine.id, machine] as const),
    ),
  );
};

const kind: Kind<'instance', typeof Instance> = {
  name: 'instance',
  path: 'instances',
  word: 'Instance',
  table: 'instance',
  schema: Instance,
  readers: 'owner',
  writers: 'owner',
  render: async (db, rows, now) => {
    const ids = rows.map(({ id }) => id);
    const hostIds = rows.map(({ host_id }) => host_id);
    const hosts = await rowsById(db, 'host', hostIds);
    const machines = await reportedMachines(db, hostIds);
    const ports =
      ids.length === 0
        ? []
        : await db
            .selectFrom('port')
            .selectAll()
            .where('instance_id', 'in', ids)
            .orderBy('created_at')
            .orderBy('id')
            .execute();
    return rows.map((row) => {
      const own = ports
        .filter(({ instance_id }) => instance_id === row.id)
        .map((port) => ({
          id: port.id,
          network: port.network_id,
          mac: port.mac,
          address: port.address as string,
        }));
      const host = hosts.get(row.host_id);
      const reported = machines.get(row.id) ?? null;
      return {
        id: row.id,
        account: row.account_id,
        zone: row.zone_id,
        name: row.name,
        hostname: row.hostname,
        state: reported?.state ?? ('starting' as const),
        wantedState: row.wanted_state,
        host: row.host_id,
        address: own[0]?.address ?? null,
        ports: own,
        userData: row.user_data,
        publicKeys: JSON.parse(row.public_keys) as string[],
        metaData: JSON.parse(row.meta_data) as Record<string, string>,
        createdAt: isoTime(row.created_at),
        conditions: instanceConditions(
          { createdAt: row.created_at, wanted: row.wanted_state },
          reported,
          { name: host?.name ?? row.host_id, lastSeenAt: host?.last_seen_at ?? null },
          now,
        ),
      };
    });
  },
};

const NewInstance = body({
  name: Name,
  network: Type.Optional(Id),
  address: Type.Optional(Ipv4),
  networks: Type.Optional(
    Type.Array(Type.Object({ network: Id, address: Type.Optional(Ipv4) }, { additionalProperties: false }), {
      minItems: 1,
      maxItems: 8,
      description: 'Instead of network and address: one port on each.',
    }),
  ),
  hostname: Type.Optional(hostname),
  userData: Type.Optional(userData),
  publicKeys: Type.Optional(publicKeys),
  metaData: Type.Optional(metaData),
  generatePassword: Type.Optional(
    Type.Boolean({ description: 'True: a one-time password, answered once and given to the guest once.' }),
  ),
  zone: Type.Optional(IdOrName),
  account: Type.Optional(IdOrName),
});

interface Place {
  readonly network: Network;
  readonly address: string | undefined;
}

/** The networks a new instance is on, checked: same zone and account, addresses free, host names unique. */
const placesFor = async (
  write: Write<Static<typeof NewInstance>>,
  wantedHostname: string,
): Promise<Place[]> => {
  const { trx, body, findings } = write;
  if ((body.network === undefined) === (body.networks === undefined))
    findings.add([
      problem(
        '/network',
        body.network === undefined ? 'missing-field' : 'too-many-fields',
        body.network === undefined
          ? 'It is not said which network the instance is on'
          : 'Both network and networks are given',
        'Give network (and address), or networks.',
      ),
    ]);
  if (body.networks !== undefined && body.address !== undefined)
    findings.add([
      problem('/address', 'too-many-fields', 'With networks, each has its own address', 'Move it there.'),
    ]);
  const given =
    body.networks?.map((place, index) => ({ ...place, pointer: `/networks/${index}` })) ??
    (body.network === undefined ? [] : [{ network: body.network, address: body.address, pointer: '' }]);
  const places: Place[] = [];
  for (const { network: id, address, pointer } of given) {
    const network = await ownedRow(write, 'network', id, `${pointer}/network`);
    if (network === undefined) continue;
    const [first] = places;
    if (places.some((place) => place.network.id === network.id))
      findings.add([
        problem(`${pointer}/network`, 'duplicate', `${id} stands here twice`, 'List a network once.'),
      ]);
    if (
      first !== undefined &&
      (first.network.zone_id !== network.zone_id || first.network.account_id !== network.account_id)
    )
      findings.add([
        problem(
          `${pointer}/network`,
          'other-zone',
          `${id} is in another zone or account than ${first.network.id}`,
          'All networks of an instance are of one zone and account.',
        ),
      ]);
    if (address !== undefined) {
      findings.add(guestAddressProblems(address, network, `${pointer}/address`));
      const holder = await guestWith(trx, network.id, { address });
      if (holder !== undefined)
        findings.add(
          [
            problem(
              `${pointer}/address`,
              'address-taken',
              `${address} belongs to the instance ${holder.name} (${holder.id})`,
              'Give another address, or none to have one chosen.',
            ),
          ],
          409,
        );
    }
    const namesake = await guestWith(trx, network.id, { hostname: wantedHostname });
    if (namesake !== undefined)
      findings.add(
        [
          problem(
            '/hostname',
            'hostname-taken',
            `The instance ${namesake.name} (${namesake.id}) on ${network.name} is called ${wantedHostname} already`,
            'Give another hostname: guests find each other by it.',
          ),
        ],
        409,
      );
    places.push({ network, address });
  }
  return places;
};

/** Makes sure every network has a router, all on one host. */
const implementAll = async (
  write: Pick<Write<unknown>, 'trx' | 'findings'>,
  places: readonly Place[],
): Promise<{ host: string; waitsFor: WaitsFor[] }> => {
  const { trx, findings } = write;
  const waitsFor: WaitsFor[] = [];
  let host: string | undefined;
  // Networks that run already decide the host; one that starts has to follow.
  const running = new Map<string, string>();
  for (const { network } of places) {
    const [router] = await routersOf(trx, network.id);
    if (router !== undefined) running.set(network.id, router.host_id);
  }
  const ordered = [...places].sort(
    (a, b) => Number(running.has(b.network.id)) - Number(running.has(a.network.id)),
  );
  for (const { network } of ordered) {
    const implementation = await implementNetwork(trx, network.id, host);
    host ??= implementation.host;
    waitsFor.push(...implementation.waitsFor);
    if (implementation.host !== host)
      findings.add(
        [
          problem(
            '/networks',
            'other-host',
            `The network ${network.name} runs on the host ${implementation.host}, the others on ${host}`,
            'Put the instance on networks that run on one host.',
          ),
        ],
        409,
      );
  }
  return { host: host as string, waitsFor };
};

/** Touches what the routers of an instance's networks know of it. */
const touchGuest = async (
  trx: Trx,
  instanceId: string,
  touches: (port: string) => readonly Touch[],
): Promise<WaitsFor[]> => {
  const ports = await trx
    .selectFrom('port')
    .select(['id', 'network_id'])
    .where('instance_id', '=', instanceId)
    .execute();
  const waitsFor: WaitsFor[] = [];
  for (const { id, network_id } of ports)
    waitsFor.push(...(await touchNetwork(trx, network_id, () => touches(id))).waitsFor);
  return waitsFor;
};

/** Gives the instance another wanted state, and waits until it has it. */
const want = async (
  trx: Trx,
  row: RowOf<'instance'>,
  wanted: 'running' | 'stopped',
): Promise<{ operation: string | null }> => {
  await updateRow(trx, 'instance', row.id, { wanted_state: wanted });
  const generation = await touchHost(trx, row.host_id);
  const verb = wanted === 'running' ? 'start' : 'stop';
  await recordEvent(trx, {
    account: row.account_id,
    type: `instance.${verb}`,
    resource: row.id,
    message: `Instance ${row.name} is to be ${wanted}`,
  });
  const operation = await startOperation(trx, {
    account: row.account_id,
    type: `instance.${verb}`,
    resource: row.id,
    waitsFor: [
      ...(generation === null ? [] : [{ host: row.host_id, generation }]),
      { machine: row.id, state: wanted },
    ],
    message: `The host is asked to ${verb} it`,
  });
  return { operation };
};

const create = async (write: Write<Static<typeof NewInstance>>) => {
  const { trx, context, body, findings } = write;
  const wantedHostname = body.hostname ?? hostnameOf(body.name, 'guest');
  if (RESERVED_HOSTNAMES.includes(wantedHostname))
    findings.add([
      problem(
        '/hostname',
        'hostname-reserved',
        `${wantedHostname} is what the router is called in the network`,
        'Give another hostname.',
      ),
    ]);
  const places = await placesFor(write, wantedHostname);
  findings.check();
  const [first] = places;
  if (first === undefined) throw new TypeError('unreachable');
  const { host, waitsFor } = await implementAll(write, places);
  findings.check();
  const password = body.generatePassword === true ? newPassword() : null;
  const row = await insertRow(trx, 'instance', 'ins', {
    account_id: first.network.account_id,
    zone_id: first.network.zone_id,
    host_id: host,
    name: body.name,
    hostname: wantedHostname,
    wanted_state: 'running',
    user_data: body.userData ?? '',
    public_keys: JSON.stringify(body.publicKeys ?? []),
    meta_data: JSON.stringify(body.metaData ?? {}),
    password: null,
  });
  if (password !== null)
    await trx
      .updateTable('instance')
      .set({ password: context.store.secrets.encrypt(password, row.id) })
      .where('id', '=', row.id)
      .execute();
  for (const { network, address } of places) {
    const port = await addGuestPort(trx, network, row.id, address);
    await trx.updateTable('network').set({ idle_since: null }).where('id', '=', network.id).execute();
    waitsFor.push(...(await touchNetwork(trx, network.id, () => touchGuestPort(port.id))).waitsFor);
  }
  const generation = await touchHost(trx, host);
  await recordEvent(trx, {
    account: row.account_id,
    type: 'instance.created',
    resource: row.id,
    message: `Instance ${row.name} was created on ${first.network.name}`,
  });
  const operation = await startOperation(trx, {
    account: row.account_id,
    type: 'instance.create',
    resource: row.id,
    waitsFor: [
      ...newest(waitsFor),
      ...(generation === null ? [] : [{ host, generation }]),
      { machine: row.id, state: 'running' },
    ],
    message: `The host ${host} is asked to start it`,
  });
  return { id: row.id, operation, ...(password === null ? {} : { once: { password } }) };
};

/** One wait for each router: for its newest generation. */
const newest = (waits: readonly WaitsFor[]): WaitsFor[] => {
  const routers = new Map<string, number>();
  for (const wait of waits)
    if ('router' in wait) routers.set(wait.router, Math.max(wait.generation, routers.get(wait.router) ?? 0));
  return [...routers].map(([router, generation]) => ({ router, generation }));
};

const remove = async ({ trx, now }: Pick<Write<undefined>, 'trx' | 'now'>, row: RowOf<'instance'>) => {
  const ports = await trx
    .selectFrom('port')
    .select(['id', 'network_id'])
    .where('instance_id', '=', row.id)
    .execute();
  const waitsFor: WaitsFor[] = [];
  for (const port of ports) {
    const touches = [...(await removeRulesOfPort(trx, port.id, row.account_id)), ...touchGuestPort(port.id)];
    await deleteRow(trx, 'port', port.id);
    waitsFor.push(...(await touchNetwork(trx, port.network_id, () => touches)).waitsFor);
    const left = await trx
      .selectFrom('port')
      .select('id')
      .where('network_id', '=', port.network_id)
      .where('role', '=', 'guest')
      .limit(1)
      .executeTakeFirst();
    if (left === undefined)
      await trx.updateTable('network').set({ idle_since: now }).where('id', '=', port.network_id).execute();
  }
  await deleteRow(trx, 'instance', row.id);
  const generation = await touchHost(trx, row.host_id);
  await recordEvent(trx, {
    account: row.account_id,
    type: 'instance.removed',
    resource: row.id,
    message: `Instance ${row.name} was removed`,
  });
  const operation = await startOperation(trx, {
    account: row.account_id,
    type: 'instance.remove',
    resource: row.id,
    waitsFor: [...newest(waitsFor), ...(generation === null ? [] : [{ host: row.host_id, generation }])],
    message: 'The host is asked to remove it',
  });
  return { operation };
};

export const instances: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        zone: { column: 'zone_id', schema: Id },
        name: { column: 'name', schema: Name },
        host: { column: 'host_id', schema: Id },
        hostname: { column: 'hostname', schema: hostname },
      },
    })
    .show()
    .create(
      NewInstance,
      {
        once: { password: Type.Optional(Type.String({ description: 'Shown this once.' })) },
        description: 'The first guest of a network brings its router up.',
      },
      create,
    )
    .change(
      body({
        name: Type.Optional(Name),
        userData: Type.Optional(userData),
        publicKeys: Type.Optional(publicKeys),
        metaData: Type.Optional(metaData),
      }),
      async ({ trx, body }, row) => {
        await updateRow(trx, 'instance', row.id, {
          name: body.name ?? row.name,
          user_data: body.userData ?? row.user_data,
          public_keys: body.publicKeys === undefined ? row.public_keys : JSON.stringify(body.publicKeys),
          meta_data: body.metaData === undefined ? row.meta_data : JSON.stringify(body.metaData),
        });
        const waitsFor = await touchGuest(trx, row.id, touchGuestPort);
        await recordEvent(trx, {
          account: row.account_id,
          type: 'instance.changed',
          resource: row.id,
          message: `Instance ${body.name ?? row.name} was changed`,
        });
        const operation = await startOperation(trx, {
          account: row.account_id,
          type: 'instance.change',
          resource: row.id,
          waitsFor,
          message: 'The router is told',
        });
        return { operation };
      },
    )
    .action('POST', '/start', { operationId: 'startInstance', summary: 'Starts' }, null, ({ trx }, row) =>
      want(trx, row, 'running'),
    )
    .action('POST', '/stop', { operationId: 'stopInstance', summary: 'Stops' }, null, ({ trx }, row) =>
      want(trx, row, 'stopped'),
    )
    .remove(remove);
};
