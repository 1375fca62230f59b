/** What was reported of networks and those that stand by for them. */
import type { HostStatus, StandbyStatus } from 'documents';
import type { RouterView } from '../model/conditions.ts';
import type { StandbyView } from '../model/redundancy.ts';
import { routerViews } from './routers.ts';
import type { Db } from './transaction.ts';

export interface NetworkRouters {
  readonly active: RouterView | null;
  readonly standbys: readonly StandbyView[];
}

/** Active router and standbys of each of these networks, by network. */
export const redundancyOf = async (
  db: Db,
  networks: readonly string[],
): Promise<ReadonlyMap<string, NetworkRouters>> => {
  const views = await routerViews(db, { networks });
  const hosts = [...new Set(views.flatMap(({ role, host }) => (role === 'standby' ? [host] : [])))];
  const synced = new Map<string, StandbyStatus>();
  if (hosts.length > 0)
    for (const { status } of await db
      .selectFrom('host_status')
      .select('status')
      .where('host_id', 'in', hosts)
      .execute())
      for (const one of (JSON.parse(status) as HostStatus).standbys ?? []) synced.set(one.standby, one);
  const found = new Map<string, { active: RouterView | null; standbys: StandbyView[] }>();
  for (const view of views) {
    let network = found.get(view.network);
    if (network === undefined) found.set(view.network, (network = { active: null, standbys: [] }));
    if (view.role === 'active') network.active = view;
    if (view.role === 'standby') network.standbys.push({ ...view, sync: synced.get(view.id) ?? null });
  }
  return found;
};
