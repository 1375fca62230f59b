/** A network's standby router: there, gone, and kept like the active one it stands by for. Never in the chain. */
import type { Selectable } from 'kysely';
import { derivedId } from '../plan/ids.ts';
import { touchHandover } from '../plan/touched.ts';
import type { WaitsFor } from './operations.ts';
import { addRouterBeside, nextOrdinal } from './router-beside.ts';
import { deleteRow, getRow, updateRow } from './rows.ts';
import type { RouterTable } from './schema.ts';
import { touchHost, touchRouter } from './touch.ts';
import { type Db, pendingOf, type Trx } from './transaction.ts';

type Router = Selectable<RouterTable>;

/** The network's active router, undefined while it has none. */
export const activeOf = (db: Db, networkId: string): Promise<Router | undefined> =>
  db
    .selectFrom('router')
    .selectAll()
    .where('network_id', '=', networkId)
    .where('role', '=', 'active')
    .executeTakeFirst();

/** The network's standbys, oldest first: one, or two while one is rebuilt. */
export const standbysOf = (db: Db, networkId: string): Promise<Router[]> =>
  db
    .selectFrom('router')
    .selectAll()
    .where('network_id', '=', networkId)
    .where('role', '=', 'standby')
    .orderBy('ordinal')
    .execute();

/**
 * A router that stands by for the active one: on the same host, with the same document. It has the same half of the source
 * ports, too: it carries on what the other one translated, and translates itself only once that one is dead.
 * @throws {TypeError} when the network has no active router.
 */
export const addStandby = async (trx: Trx, networkId: string): Promise<string> => {
  const active = await activeOf(trx, networkId);
  if (active === undefined) throw new TypeError(`${networkId} has no router to stand by for`);
  const { parity, bundle_id } = active;
  return addRouterBeside(trx, active, { role: 'standby', parity, older_id: null, bundle_id });
};

/** Takes all standbys of a network away. Returns what their hosts have to report; nothing when there is none. */
export const removeStandbys = async (trx: Trx, networkId: string): Promise<WaitsFor[]> => {
  const hosts = new Map<string, number>();
  for (const { id, host_id } of await standbysOf(trx, networkId)) {
    await trx.deleteFrom('port').where('router_id', '=', id).execute();
    await deleteRow(trx, 'router', id);
    pendingOf(trx).routers.delete(id);
    hosts.set(host_id, (await touchHost(trx, host_id)) as number);
  }
  return [...hosts].map(([host, generation]) => ({ host, generation }));
};

/** After another router became active: the standbys are to translate as it does, were they to take over. */
export const followActive = async (trx: Trx, networkId: string): Promise<void> => {
  const active = await activeOf(trx, networkId);
  if (active === undefined) return;
  for (const standby of await standbysOf(trx, networkId)) {
    if (standby.parity === active.parity) continue;
    await updateRow(trx, 'router', standby.id, { parity: active.parity });
    const guest = await trx
      .selectFrom('port')
      .select('id')
      .where('router_id', '=', standby.id)
      .where('role', '=', 'router-guest')
      .executeTakeFirstOrThrow();
    await touchRouter(trx, standby.id, [{ collection: 'sourceNats', itemId: derivedId('snt', guest.id) }]);
  }
};

/**
 * A standby takes the place of a router that died: its role and its neighbours in the chain. The dead one is gone
 * afterwards. Returns the documents that speak of it from now on, by router, with their new generations.
 */
export const takePlace = async (
  trx: Trx,
  deadId: string,
  standbyId: string,
): Promise<ReadonlyMap<string, number>> => {
  const dead = await getRow(trx, 'router', deadId);
  const { network_id, role, parity, older_id, newer_id, heard_older_id, heard_newer_id } = dead;
  const columns = ['older_id', 'newer_id', 'heard_older_id', 'heard_newer_id'] as const;
  const neighbours = await trx
    .selectFrom('router')
    .select(['id', ...columns])
    .where((eb) => eb.or(columns.map((column) => eb(column, '=', deadId))))
    .execute();
  await trx.deleteFrom('port').where('router_id', '=', deadId).execute();
  // The newest has the greatest. One amid the chain keeps its own: wires are named by ordinals, so the dead one's is not taken.
  const ordinal = newer_id === null ? await nextOrdinal(trx, network_id) : undefined;
  // References to it become null with it; they are set anew below.
  await deleteRow(trx, 'router', deadId);
  pendingOf(trx).routers.delete(deadId);
  await updateRow(trx, 'router', standbyId, {
    role,
    ...(ordinal === undefined ? {} : { ordinal }),
    parity,
    older_id,
    newer_id,
    heard_older_id,
    heard_newer_id,
  });
  const generations = new Map<string, number>();
  const touch = async (id: string): Promise<void> => {
    generations.set(id, (await touchRouter(trx, id, touchHandover)) as number);
  };
  for (const neighbour of neighbours) {
    const changed = Object.fromEntries(
      columns.filter((column) => neighbour[column] === deadId).map((column) => [column, standbyId]),
    );
    await updateRow(trx, 'router', neighbour.id, changed);
    await touch(neighbour.id);
  }
  // Also where nothing in it changed: so it reports at once, and what waited for the dead one is answered.
  await touch(standbyId);
  await touchHost(trx, dead.host_id);
  return generations;
};
