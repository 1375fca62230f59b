/**
 * The chain of a network's routers, oldest to newest, while one is being replaced. Every function is one change of the
 * chain in one transaction; what has to be reported before the next may follow is the workflow's affair.
 */
import { touchHandover } from '../plan/touched.ts';
import { insertRouterPorts } from './networks.ts';
import { deleteRow, getRow, insertRow, updateRow } from './rows.ts';
import { touchHost, touchRouter } from './touch.ts';
import { pendingOf, type Trx } from './transaction.ts';

/** What a host has to report until a change is in force there. */
export interface HostGeneration {
  readonly host: string;
  readonly generation: number;
}

export type Role = 'active' | 'successor' | 'draining' | 'standby';

/** Sets what a router's document says of its neighbours. Returns the document's generation, the present one if nothing changed. */
export const setNeighbours = async (
  trx: Trx,
  routerId: string,
  neighbours: { readonly older?: string | null; readonly newer?: string | null },
): Promise<number> => {
  const row = await getRow(trx, 'router', routerId);
  const { older = row.older_id, newer = row.newer_id } = neighbours;
  if (older === row.older_id && newer === row.newer_id) return row.generation;
  await trx
    .updateTable('router')
    .set({ older_id: older, newer_id: newer })
    .where('id', '=', routerId)
    .execute();
  return (await touchRouter(trx, routerId, touchHandover)) as number;
};

/**
 * A router to take over from another: on the same host, with the same addresses and MACs, and the other half of the source
 * ports. Its document has it ask the old one first from the start, which is without effect until packets reach it.
 */
export const addSuccessor = async (trx: Trx, oldId: string): Promise<string> => {
  const old = await getRow(trx, 'router', oldId);
  const network = await getRow(trx, 'network', old.network_id);
  const offering = await getRow(trx, 'network_offering', network.offering_id);
  const newest = await trx
    .selectFrom('router')
    .select((eb) => eb.fn.max('ordinal').as('ordinal'))
    .where('network_id', '=', network.id)
    .executeTakeFirstOrThrow();
  const router = await insertRow(trx, 'router', 'rtr', {
    network_id: network.id,
    host_id: old.host_id,
    // Rules say with one number from which generation on they are in force, whichever router is active.
    generation: old.generation,
    parity: old.parity === 0 ? 1 : 0,
    ordinal: (newest.ordinal ?? 0) + 1,
    role: 'successor',
    older_id: old.id,
    newer_id: null,
  });
  await trx
    .insertInto('router_change')
    .values({ router_id: router.id, generation: router.generation, collection: '*', item_id: '*' })
    .execute();
  pendingOf(trx).routers.set(router.id, {
    generation: router.generation,
    host: old.host_id,
    items: new Map(),
  });
  await insertRouterPorts(trx, network, JSON.parse(offering.services) as string[], router.id);
  await touchHost(trx, old.host_id);
  return router.id;
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
  const generation = (await touchHost(trx, row.host_id)) as number;
  return { host: row.host_id, generation };
};

/** Exchanges the places of two neighbours in the chain. Their documents are the caller's affair. */
export const exchangePlaces = async (trx: Trx, a: string, b: string): Promise<void> => {
  const [one, other] = [await getRow(trx, 'router', a), await getRow(trx, 'router', b)];
  await updateRow(trx, 'router', a, { ordinal: other.ordinal });
  await updateRow(trx, 'router', b, { ordinal: one.ordinal });
};

/** Takes one router away, with its ports. Returns what its host has to report; null when it is gone already. */
export const removeRouter = async (trx: Trx, routerId: string): Promise<HostGeneration | null> => {
  const row = await trx.selectFrom('router').select('host_id').where('id', '=', routerId).executeTakeFirst();
  if (row === undefined) return null;
  await trx.deleteFrom('port').where('router_id', '=', routerId).execute();
  await deleteRow(trx, 'router', routerId);
  pendingOf(trx).routers.delete(routerId);
  const generation = (await touchHost(trx, row.host_id)) as number;
  return { host: row.host_id, generation };
};
