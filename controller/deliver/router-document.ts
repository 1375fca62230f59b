import type { RouterDocument, RouterDocumentChange } from 'documents';
import { planRouter } from '../plan/router.ts';
import { planRouterChange } from '../plan/router-change.ts';
import { gatherTouches, type Touched } from '../plan/touched.ts';
import type { Store } from '../store/store.ts';
import type { Trx } from '../store/transaction.ts';
import { type DecryptPassword, loadRouterFacts } from './router-facts.ts';

export interface RouterDocumentOptions {
  /** Generation the asker has: answered with a change from it where that can be told. */
  readonly since?: number | undefined;
  /** Only for routers of this host. */
  readonly host?: string;
  readonly decryptPassword: DecryptPassword;
}

export type RouterDocumentAnswer =
  /** No such router, or not on that host. */
  | { readonly kind: 'unknown' }
  /** The asker has the newest generation. */
  | { readonly kind: 'current'; readonly generation: number }
  | { readonly kind: 'document'; readonly generation: number; readonly document: RouterDocument }
  | { readonly kind: 'change'; readonly generation: number; readonly change: RouterDocumentChange };

/** Below this many items a change is sent as such without weighing it against the document. */
const SMALL_CHANGE = 100;

/** What a router is to be, as a change from the generation the asker has if that is the lesser answer. */
export const routerDocument = (
  store: Store,
  routerId: string,
  options: RouterDocumentOptions,
): Promise<RouterDocumentAnswer> =>
  store.transaction(async (trx) => {
    const router = await trx
      .selectFrom('router')
      .select(['generation', 'host_id', 'network_id'])
      .where('id', '=', routerId)
      .executeTakeFirst();
    if (router === undefined || (options.host !== undefined && router.host_id !== options.host))
      return { kind: 'unknown' };
    const { generation } = router;
    const { since, decryptPassword } = options;
    if (since === generation) return { kind: 'current', generation };
    const touched =
      since === undefined || since > generation
        ? null
        : await touchedSince(trx, { id: routerId, network: router.network_id, generation }, since);
    const facts = await loadRouterFacts(trx, routerId, {
      decryptPassword,
      ...(touched === null ? {} : { touched }),
    });
    if (facts === undefined) return { kind: 'unknown' };
    if (touched === null || since === undefined)
      return { kind: 'document', generation, document: planRouter(facts) };
    return { kind: 'change', generation, change: planRouterChange(facts, touched, since, generation) };
  });

/** What changed after `since`, all generations in one; null when that is not known, or most of the document. */
const touchedSince = async (
  trx: Trx,
  router: { readonly id: string; readonly network: string; readonly generation: number },
  since: number,
): Promise<Touched | null> => {
  const rows = await trx
    .selectFrom('router_change')
    .select(['generation', 'collection', 'item_id'])
    .where('router_id', '=', router.id)
    .where('generation', '>', since)
    .execute();
  // A generation without rows was trimmed, or made by something that did not say what it touched.
  if (new Set(rows.map((row) => row.generation)).size !== router.generation - since) return null;
  const touched = gatherTouches(rows.map((row) => ({ collection: row.collection, itemId: row.item_id })));
  if (touched === null) return null;
  const size = Object.values(touched.items).reduce((sum, ids) => sum + ids.size, 0);
  if (size <= SMALL_CHANGE || size * 2 <= (await countItems(trx, router.network))) return touched;
  return null;
};

/** About how many items the document of a router on the network has. */
const countItems = async (trx: Trx, network: string): Promise<number> => {
  let sum = 0;
  for (const table of [
    'firewall_rule',
    'egress_rule',
    'port_forward',
    'static_nat',
    'load_balancer',
    'port',
    'port',
  ] as const) {
    // Every guest port stands in the document twice: as DHCP host and as metadata guest.
    const row = await trx
      .selectFrom(table)
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('network_id', '=', network)
      .executeTakeFirstOrThrow();
    sum += Number(row.count);
  }
  return sum;
};
