import type { HostStatus, MachineStatus } from 'documents';
import { Type } from 'typebox';
import { instanceConditions } from '../../model/conditions.ts';
import { type Touch, touchGuestPort } from '../../plan/touched.ts';
import { recordEvent } from '../../store/events.ts';
import { newestWaits, startOperation, type WaitsFor } from '../../store/operations.ts';
import { touchNetwork } from '../../store/routers.ts';
import { deleteRow, rowsById, updateRow } from '../../store/rows.ts';
import { touchHost } from '../../store/touch.ts';
import type { Db, Trx } from '../../store/transaction.ts';
import type { Kind, RowOf, Write } from '../kind.ts';
import type { Register } from '../register.ts';
import { removeRulesOfPort } from '../remove-rules.ts';
import { body, Id, isoTime, Name, oneOf, resourceSchema, textOrNull } from '../schemas.ts';
import { createInstance, hostname, metaData, NewInstance, publicKeys, userData } from './new-instance.ts';

const state = oneOf(['starting', 'running', 'stopped', 'failed']);

const Instance = resourceSchema('Instance', 'A guest: a machine on one network or more.', {
  account: Id,
  zone: Id,
  name: Name,
  hostname,
  state,
  wantedState: oneOf(['running', 'stopped']),
  host: Id,
  network: textOrNull('Network of its first port.'),
  address: textOrNull('Address of its first port.'),
  ports: Type.Array(Type.Object({ id: Id, network: Id, mac: Type.String(), address: Type.String() })),
  userData: Type.String(),
  publicKeys: Type.Array(Type.String()),
  metaData: Type.Record(Type.String(), Type.String()),
});

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
        network: own[0]?.network ?? null,
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
    waitsFor: [...newestWaits(waitsFor), ...(generation === null ? [] : [{ host: row.host_id, generation }])],
    message: 'The host is asked to remove it',
  });
  return { operation };
};

export const instances: Register = (resource) => {
  resource(kind)
    .list({
      lookups: {
        network: {
          column: 'id',
          schema: Id,
          values: async (db, network) =>
            (
              await db
                .selectFrom('port')
                .select('instance_id')
                .where('network_id', '=', network)
                .where('instance_id', 'is not', null)
                .execute()
            ).map((row) => row.instance_id as string),
        },
      },
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
      createInstance,
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
