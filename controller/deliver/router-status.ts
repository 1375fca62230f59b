import type { RouterStatus } from 'documents';
import { faults } from '../model/conditions.ts';
import { recordEvent } from '../store/events.ts';
import type { Store } from '../store/store.ts';
import { pendingOf, type Trx } from '../store/transaction.ts';
import { resolveOperations } from './resolve-operations.ts';
import { applyFailure } from './apply-failure.ts';
import { isStale } from './stale.ts';
import { tellChange } from './tell-change.ts';

/** Takes a router's report: keeps it, tells what changed as events, ends the operations it fulfils. False when it was stale. */
export const takeRouterStatus = (store: Store, status: RouterStatus): Promise<boolean> =>
  store.transaction(async (trx) => {
    const now = store.now();
    const router = await trx
      .selectFrom('router')
      .innerJoin('network', 'network.id', 'router.network_id')
      .leftJoin('router_status', 'router_status.router_id', 'router.id')
      .select([
        'network.id as network',
        'network.state',
        'network.account_id',
        'router.role',
        'router_status.status as held',
      ])
      .where('router.id', '=', status.id)
      .executeTakeFirst();
    if (router === undefined) return false;
    const before = router.held === null ? null : (JSON.parse(router.held) as RouterStatus);
    if (before !== null && isStale(status, before)) return false;
    const row = {
      observed_generation: status.observedGeneration,
      applied_generation: status.appliedGeneration,
      reported_at: now,
      status: JSON.stringify(status),
    };
    await trx
      .insertInto('router_status')
      .values({ router_id: status.id, ...row })
      .onConflict((conflict) => conflict.column('router_id').doUpdateSet(row))
      .execute();
    pendingOf(trx).reports.add(status.id);
    await tellRouter(trx, router.account_id, before, status);
    // A standby that is quicker than the router itself serves nobody.
    if (router.role === 'active' && router.state === 'implementing' && status.appliedGeneration > 0)
      await implemented(trx, router.network, router.account_id);
    await resolveOperations(trx, now, new Set([status.id]));
    return true;
  });

type Word = 'starting' | 'running' | 'degraded';

/** A report in one word, and why it is no better. */
const wordOf = (status: RouterStatus | null): { readonly word: Word; readonly why: string } => {
  if (status === null) return { word: 'starting', why: '' };
  // A daemon that came up applies its document before it can be well; only a failure is worth a word then.
  if (status.appliedGeneration === 0 && applyFailure(status) === undefined)
    return { word: 'starting', why: '' };
  const why = [...new Set(faults(status.conditions).map(({ message }) => message))].join('; ');
  if (why !== '') return { word: 'degraded', why };
  return status.observedGeneration > status.appliedGeneration
    ? { word: 'degraded', why: `generation ${status.observedGeneration} could not be applied` }
    : { word: 'running', why: '' };
};

/** An event when the word for a router changed, or what is wrong with it did. */
const tellRouter = async (
  trx: Trx,
  account: string,
  before: RouterStatus | null,
  status: RouterStatus,
): Promise<void> => {
  const was = wordOf(before);
  const { word, why } = wordOf(status);
  if (word === 'starting' || (word === was.word && why === was.why)) return;
  await tellChange(trx, ['router.running', 'router.degraded', 'router.failed'], {
    account,
    type: `router.${word}`,
    level: word === 'degraded' ? 'warning' : 'info',
    resource: status.id,
    message:
      word === 'degraded'
        ? `Router ${status.id} is degraded: ${why}`
        : `Router ${status.id} runs generation ${status.appliedGeneration}`,
  });
};

/** The network's router has its first document in force: guests are served. */
const implemented = async (trx: Trx, network: string, account: string): Promise<void> => {
  await trx
    .updateTable('network')
    .set((eb) => ({ state: 'implemented', version: eb('version', '+', 1) }))
    .where('id', '=', network)
    .where('state', '=', 'implementing')
    .execute();
  await recordEvent(trx, {
    account,
    type: 'network.implemented',
    resource: network,
    message: `Network ${network} is implemented: its router serves`,
  });
};
