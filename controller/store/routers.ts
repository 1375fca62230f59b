import type { Condition, RouterStatus } from 'documents';
import type { Selectable } from 'kysely';
import type { RouterView } from '../model/conditions.ts';
import type { WaitsFor } from './operations.ts';
import type { RouterTable } from './schema.ts';
import { touchRouter } from './touch.ts';
import { type Db, pendingOf, type TouchedItem, type Trx } from './transaction.ts';

/** What was intended for and reported by these routers, by router id. */
export const routerViews = async (
  db: Db,
  filter: { readonly networks: readonly string[] } | { readonly routers: readonly string[] },
): Promise<
  (RouterView & {
    readonly network: string;
    readonly role: Selectable<RouterTable>['role'];
    readonly ordinal: number;
    readonly createdAt: number;
    readonly status: RouterStatus | null;
  })[]
> => {
  const [column, ids] =
    'networks' in filter
      ? (['router.network_id', filter.networks] as const)
      : (['router.id', filter.routers] as const);
  if (ids.length === 0) return [];
  const rows = await db
    .selectFrom('router')
    .innerJoin('host', 'host.id', 'router.host_id')
    .leftJoin('router_status', 'router_status.router_id', 'router.id')
    .select([
      'router.id',
      'router.created_at',
      'router.generation',
      'router.network_id',
      'router.host_id',
      'router.role',
      'router.ordinal',
      'host.name as host_name',
      'host.last_seen_at',
      'router_status.observed_generation',
      'router_status.applied_generation',
      'router_status.reported_at',
      'router_status.status',
    ])
    .where(column, 'in', [...new Set(ids)])
    .orderBy('router.created_at')
    .orderBy('router.id')
    .execute();
  return rows.map((row) => {
    const status = row.status === null ? null : (JSON.parse(row.status) as RouterStatus);
    return {
      id: row.id,
      network: row.network_id,
      role: row.role,
      ordinal: row.ordinal,
      createdAt: row.created_at,
      generation: row.generation,
      host: row.host_id,
      hostName: row.host_name,
      hostLastSeenAt: row.last_seen_at,
      observedGeneration: row.observed_generation ?? 0,
      appliedGeneration: row.applied_generation ?? 0,
      reportedAt: row.reported_at,
      conditions: (status?.conditions ?? []) as readonly Condition[],
      status,
    };
  });
};

/** The active router of each of these networks, by network. */
export const routersOfNetworks = async (
  db: Db,
  networks: Iterable<string>,
): Promise<Map<string, RouterView>> => {
  const views = await routerViews(db, { networks: [...networks] });
  return new Map(views.filter(({ role }) => role === 'active').map((view) => [view.network, view]));
};

/** A router's two ports; there is no public one in a network without public services. */
export interface RouterPorts {
  readonly guest: string;
  readonly public: string | null;
}

export interface NetworkTouch {
  /** Generation from which on the change is in the document; 0 when there is no router. */
  readonly generation: number;
  readonly waitsFor: readonly WaitsFor[];
}

/**
 * Touches the document of every router of a network, all with the same new generation; a network without one is changed
 * by its record alone. To wait for are those that may get new connections: the active one, and the one it hands them to.
 * Not for a standby: no packet comes to it, and one that is in trouble must not keep anybody from changing a rule. It gets
 * the same change at the same time, and one that cannot apply it is no longer called `Synced` (condition `Redundant`).
 */
export const touchNetwork = async (
  trx: Trx,
  networkId: string,
  touches: (ports: RouterPorts) => readonly TouchedItem[],
): Promise<NetworkTouch> => {
  const ports = await trx
    .selectFrom('router')
    .innerJoin('port', 'port.router_id', 'router.id')
    .select([
      'router.id as router',
      'router.role as place',
      'router.newer_id as newer',
      'router.generation',
      'port.id as port',
      'port.role',
    ])
    .where('router.network_id', '=', networkId)
    .execute();
  const { routers } = pendingOf(trx);
  const generation = Math.max(
    0,
    ...ports.map((port) => routers.get(port.router)?.generation ?? port.generation + 1),
  );
  const active = ports.find(({ place }) => place === 'active');
  const waitsFor: WaitsFor[] = [];
  for (const router of new Set(ports.map((port) => port.router))) {
    const mine = ports.filter((port) => port.router === router);
    const guest = mine.find(({ role }) => role === 'router-guest')?.port;
    if (guest === undefined) throw new TypeError(`The router ${router} has no guest port`);
    const outside = mine.find(({ role }) => role === 'router-public')?.port ?? null;
    const reached = await touchRouter(trx, router, touches({ guest, public: outside }), generation);
    if (reached !== null && (router === active?.router || router === active?.newer))
      waitsFor.push({ router, generation: reached });
  }
  return { generation, waitsFor };
};
