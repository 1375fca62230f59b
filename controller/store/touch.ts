/** Marks documents as changed: a new generation, and for routers which items it touched. */
import { pendingOf, type TouchedItem, type Trx } from './transaction.ts';

/** How many changed items of a router are remembered; who is further behind fetches the whole document. */
export const CHANGES_KEPT = 5000;
/** Counting is linear, so the list is only trimmed at every so many generations. */
const TRIM_EVERY = 64;

/**
 * Gives the router's document a new generation, one for the whole transaction however often it is touched, and
 * records which items may differ. The generation is `atLeast` that: routers of one network go to the same when a rule
 * changes, so that its row can say with one number from where on it is in force. Returns the generation, null when there
 * is no such router.
 */
export const touchRouter = async (
  trx: Trx,
  routerId: string,
  items: readonly TouchedItem[],
  atLeast = 0,
): Promise<number | null> => {
  const { routers } = pendingOf(trx);
  let touched = routers.get(routerId);
  if (touched === undefined) {
    const row = await trx
      .selectFrom('router')
      .select(['generation', 'host_id'])
      .where('id', '=', routerId)
      .executeTakeFirst();
    if (row === undefined) return null;
    const next = Math.max(row.generation + 1, atLeast);
    await trx
      .updateTable('router')
      .set((eb) => ({ generation: next, version: eb('version', '+', 1) }))
      .where('id', '=', routerId)
      .execute();
    touched = { generation: next, host: row.host_id, items: new Map() };
    routers.set(routerId, touched);
    await noteSkipped(trx, routerId, row.generation + 1, next);
    if (next % TRIM_EVERY < next - row.generation) await trimChanges(trx, routerId);
  }
  const { generation, items: known } = touched;
  const fresh = items.filter(({ collection, itemId }) => !known.has(`${collection}/${itemId}`));
  for (const touch of fresh) known.set(`${touch.collection}/${touch.itemId}`, touch);
  for (let start = 0; start < fresh.length; start += 1000) {
    await trx
      .insertInto('router_change')
      .values(
        fresh.slice(start, start + 1000).map(({ collection, itemId }) => ({
          router_id: routerId,
          generation,
          collection,
          item_id: itemId,
        })),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  return generation;
};

/** Generations that were never there touched nothing; without a row they would count as not known. */
const noteSkipped = async (trx: Trx, routerId: string, from: number, to: number): Promise<void> => {
  for (let generation = from; generation < to; generation += 1)
    await trx
      .insertInto('router_change')
      .values({ router_id: routerId, generation, collection: 'handover', item_id: '' })
      .execute();
};

/** Forgets whole generations, so that the changes of every generation still listed are complete. */
const trimChanges = async (trx: Trx, routerId: string): Promise<void> => {
  const oldest = await trx
    .selectFrom('router_change')
    .select('generation')
    .where('router_id', '=', routerId)
    .orderBy('generation', 'desc')
    .limit(1)
    .offset(CHANGES_KEPT - TRIM_EVERY)
    .executeTakeFirst();
  if (oldest === undefined) return;
  await trx
    .deleteFrom('router_change')
    .where('router_id', '=', routerId)
    .where('generation', '<=', oldest.generation)
    .execute();
};

/** Gives the host's document a new generation, one for the whole transaction. Returns it, null when there is no such host. */
export const touchHost = async (trx: Trx, hostId: string): Promise<number | null> => {
  const { hosts } = pendingOf(trx);
  const before = hosts.get(hostId);
  if (before !== undefined) return before.generation;
  const row = await trx
    .updateTable('host')
    .set((eb) => ({ generation: eb('generation', '+', 1) }))
    .where('id', '=', hostId)
    .returning('generation')
    .executeTakeFirst();
  if (row === undefined) return null;
  hosts.set(hostId, { generation: row.generation });
  return row.generation;
};
