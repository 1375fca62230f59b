import type { Selectable } from 'kysely';
import { hostState, leastLoaded } from '../model/host-state.ts';
import { Refusal } from '../model/refusal.ts';
import type { HostTable } from './schema.ts';
import { type Db, pendingOf, type Trx } from './transaction.ts';

/** How many routers and guests each of these hosts has. */
export const hostLoads = async (db: Db, hostIds: readonly string[]): Promise<Map<string, number>> => {
  const loads = new Map(hostIds.map((id) => [id, 0]));
  if (hostIds.length === 0) return loads;
  for (const table of ['router', 'instance'] as const) {
    const counts = await db
      .selectFrom(table)
      .select(['host_id', (eb) => eb.fn.countAll<number>().as('count')])
      .where('host_id', 'in', hostIds)
      .groupBy('host_id')
      .execute();
    for (const { host_id, count } of counts) loads.set(host_id, (loads.get(host_id) ?? 0) + Number(count));
  }
  return loads;
};

/**
 * The host of a zone that a new router goes to: up, and with the least on it.
 * @throws {Refusal} 409 `no-host` when none is up.
 */
export const chooseHost = async (trx: Trx, zoneId: string): Promise<Selectable<HostTable>> => {
  const { now } = pendingOf(trx);
  const hosts = await trx.selectFrom('host').selectAll().where('zone_id', '=', zoneId).execute();
  const up = hosts.filter((host) => hostState(host.last_seen_at, now) === 'up');
  const loads = await hostLoads(
    trx,
    up.map(({ id }) => id),
  );
  const best = leastLoaded(up.map((host) => ({ ...host, load: loads.get(host.id) ?? 0 })));
  if (best !== null) return best;
  const message =
    hosts.length === 0 ? 'The zone has no host' : `None of the ${hosts.length} hosts of the zone is up`;
  throw new Refusal(409, 'no-host', message, [
    {
      pointer: '',
      code: 'no-host',
      message,
      hint:
        hosts.length === 0
          ? 'Add one: POST /v1/hosts gives the token its agent starts with.'
          : 'Start the agent of a host; GET /v1/hosts says when each was last heard of.',
    },
  ]);
};
