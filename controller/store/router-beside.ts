import type { Selectable } from 'kysely';
import { insertRouterPorts } from './router-ports.ts';
import { getRow, insertRow } from './rows.ts';
import type { RouterTable } from './schema.ts';
import { touchHost } from './touch.ts';
import { pendingOf, type Trx } from './transaction.ts';

type Router = Selectable<RouterTable>;

/** Place of a router that comes to a network now: after all that are there. */
export const nextOrdinal = async (trx: Trx, networkId: string): Promise<number> => {
  const { ordinal } = await trx
    .selectFrom('router')
    .select((eb) => eb.fn.max('ordinal').as('ordinal'))
    .where('network_id', '=', networkId)
    .executeTakeFirstOrThrow();
  return (ordinal ?? 0) + 1;
};

/** A further router of a network: on the host of one that is there, with its addresses, MACs and generation. Returns its id. */
export const addRouterBeside = async (
  trx: Trx,
  present: Router,
  given: Pick<Router, 'role' | 'parity' | 'older_id' | 'bundle_id'>,
): Promise<string> => {
  const network = await getRow(trx, 'network', present.network_id);
  const offering = await getRow(trx, 'network_offering', network.offering_id);
  // Rules say with one number from which generation on they are in force, whichever router is active.
  const { generation, host_id: host } = present;
  const router = await insertRow(trx, 'router', 'rtr', {
    ...given,
    network_id: network.id,
    host_id: host,
    generation,
    ordinal: await nextOrdinal(trx, network.id),
    newer_id: null,
    memory: offering.router_memory,
  });
  await trx
    .insertInto('router_change')
    .values({ router_id: router.id, generation, collection: '*', item_id: '*' })
    .execute();
  pendingOf(trx).routers.set(router.id, { generation, host, items: new Map() });
  await insertRouterPorts(trx, network, JSON.parse(offering.services) as string[], router.id);
  await touchHost(trx, host);
  return router.id;
};
