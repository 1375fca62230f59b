/**
 * The chain of a network's routers, oldest to newest, while one is being replaced. Every function is one change of the
 * chain in one transaction; what has to be reported before the next may follow is the workflow's affair.
 */
import { touchHandover } from '../plan/touched.ts';
import { defaultBundle } from './router-bundles.ts';
import { addRouterBeside } from './router-beside.ts';
import { deleteRow, getRow, updateRow } from './rows.ts';
import { followActive } from './standby.ts';
import { touchHost, touchRouter } from './touch.ts';
import { pendingOf, type Trx } from './transaction.ts';

/** What a host has to report until a change is in force there. */
export interface HostGeneration {
  readonly host: string;
  readonly generation: number;
}

export type Role = 'active' | 'successor' | 'draining' | 'standby';

/** What a router's document says of the others in the chain; what is not named stays. */
export interface Neighbours {
  readonly older?: string | null;
  readonly newer?: string | null;
  /** A router further on whose packets it takes, without sending it any. */
  readonly heardOlder?: string | null;
  readonly heardNewer?: string | null;
}

/** Sets what a router's document says of its neighbours. Returns the document's generation, the present one if nothing changed. */
export const setNeighbours = async (trx: Trx, routerId: string, neighbours: Neighbours): Promise<number> => {
  const row = await getRow(trx, 'router', routerId);
  const {
    older = row.older_id,
    newer = row.newer_id,
    heardOlder = row.heard_older_id,
    heardNewer = row.heard_newer_id,
  } = neighbours;
  const next = { older_id: older, newer_id: newer, heard_older_id: heardOlder, heard_newer_id: heardNewer };
  if (
    older === row.older_id &&
    newer === row.newer_id &&
    heardOlder === row.heard_older_id &&
    heardNewer === row.heard_newer_id
  )
    return row.generation;
  await trx.updateTable('router').set(next).where('id', '=', routerId).execute();
  return (await touchRouter(trx, routerId, touchHandover)) as number;
};

/**
 * Plugs the wires between two routers that are not neighbours yet, and are to hear each other. Their documents are not told
 * of it: that is for when the wires are there ({@link tellNeighbours}).
 */
export const plugWires = async (trx: Trx, olderId: string, newerId: string): Promise<HostGeneration> => {
  const older = await getRow(trx, 'router', olderId);
  await trx.updateTable('router').set({ heard_newer_id: newerId }).where('id', '=', olderId).execute();
  await trx.updateTable('router').set({ heard_older_id: olderId }).where('id', '=', newerId).execute();
  return { host: older.host_id, generation: (await touchHost(trx, older.host_id)) as number };
};

/** Gives out a router's place in the chain anew. Returns the document's generation. */
export const tellNeighbours = async (trx: Trx, routerId: string): Promise<number> =>
  (await touchRouter(trx, routerId, touchHandover)) as number;

/**
 * A router to take over from another: on the same host, with the same addresses and MACs, and the other half of the source
 * ports. Its document has it ask the old one first from the start, which is without effect until packets reach it. It runs
 * the bundle of that id, or what routers are to run without one.
 */
export const addSuccessor = async (
  trx: Trx,
  oldId: string,
  bundle: string | null = null,
): Promise<string> => {
  const old = await getRow(trx, 'router', oldId);
  return addRouterBeside(trx, old, {
    role: 'successor',
    parity: old.parity === 0 ? 1 : 0,
    older_id: old.id,
    bundle_id: bundle ?? (await defaultBundle(trx)),
  });
};

/** Makes another router the active one: the frames for the network's MACs go to it once its host has the generation returned. */
export const moveTraffic = async (
  trx: Trx,
  from: { readonly router: string; readonly becomes: Role },
  to: string,
): Promise<HostGeneration> => {
  const row = await getRow(trx, 'router', to);
  await updateRow(trx, 'router', from.router, { role: from.becomes });
  await updateRow(trx, 'router', to, { role: 'active' });
  await followActive(trx, row.network_id);
  const generation = (await touchHost(trx, row.host_id)) as number;
  return { host: row.host_id, generation };
};

/**
 * Takes one router away, with its ports. Who still has it for a neighbour is told that it is gone. Returns what its host has
 * to report; null when it is gone already.
 */
export const removeRouter = async (trx: Trx, routerId: string): Promise<HostGeneration | null> => {
  const row = await trx.selectFrom('router').select('host_id').where('id', '=', routerId).executeTakeFirst();
  if (row === undefined) return null;
  const columns = ['older_id', 'newer_id', 'heard_older_id', 'heard_newer_id'] as const;
  const others = await trx
    .selectFrom('router')
    .select(['id', ...columns])
    .where((eb) => eb.or(columns.map((column) => eb(column, '=', routerId))))
    .execute();
  for (const { id, ...names } of others) {
    const gone = Object.fromEntries(
      columns.filter((column) => names[column] === routerId).map((column) => [column, null]),
    );
    await trx.updateTable('router').set(gone).where('id', '=', id).execute();
    await touchRouter(trx, id, touchHandover);
  }
  await trx.deleteFrom('port').where('router_id', '=', routerId).execute();
  await deleteRow(trx, 'router', routerId);
  pendingOf(trx).routers.delete(routerId);
  const generation = (await touchHost(trx, row.host_id)) as number;
  return { host: row.host_id, generation };
};
