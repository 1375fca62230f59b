/** Routers as an upgrade sees them: where they are, and what they need to be what is wanted. */
import type { HostStatus, RouterStatus } from 'documents';
import type { Candidate } from '../model/upgrade-plan.ts';
import { type BundleFact, routerNeeds } from '../model/router-needs.ts';
import { bundlesOf } from './router-bundles.ts';
import type { RunSelection } from './upgrade-runs.ts';
import type { Db } from './transaction.ts';

export interface FoundRouter extends Candidate {
  readonly networkName: string;
  readonly redundant: boolean;
  /** Id of the bundle it runs; null: one that was never uploaded. */
  readonly bundle: string | null;
  readonly because: string;
}

/**
 * Routers that serve or stand by, as selected, and what each needs to run `bundle`. Routers that hand over or take over
 * just now are somebody else's affair.
 */
export const findRouters = async (
  db: Db,
  select: RunSelection,
  bundle: string | null,
): Promise<FoundRouter[]> => {
  const rows = await db
    .selectFrom('router')
    .innerJoin('network', 'network.id', 'router.network_id')
    .innerJoin('network_offering', 'network_offering.id', 'network.offering_id')
    .innerJoin('host', 'host.id', 'router.host_id')
    .leftJoin('router_status', 'router_status.router_id', 'router.id')
    .select([
      'router.id',
      'router.role',
      'router.bundle_id',
      'router.memory',
      'router.network_id',
      'router.host_id',
      'network.name as network_name',
      'network.redundant',
      'network.account_id',
      'network_offering.router_memory',
      'host.zone_id',
      'router_status.status',
    ])
    .where('router.role', 'in', ['active', 'standby'])
    .$if(select.routers !== undefined, (query) => query.where('router.id', 'in', select.routers ?? []))
    .$if(select.zones !== undefined, (query) => query.where('host.zone_id', 'in', select.zones ?? []))
    .$if(select.hosts !== undefined, (query) => query.where('router.host_id', 'in', select.hosts ?? []))
    .$if(select.accounts !== undefined, (query) =>
      query.where('network.account_id', 'in', select.accounts ?? []),
    )
    .$if(select.networks !== undefined, (query) => query.where('network.id', 'in', select.networks ?? []))
    .orderBy('router.id')
    .execute();
  const bundles = await bundlesOf(db);
  const known = new Map(bundles.map(({ id, checksum }) => [checksum, id]));
  const fact = bundles.find(({ id }) => id === bundle);
  const wanted: BundleFact | null =
    fact === undefined ? null : { version: fact.bundle_version, checksum: fact.checksum };
  const hosts = await hostReports(db, new Set(rows.map(({ host_id }) => host_id)));
  return rows.flatMap((row): FoundRouter[] => {
    const status = row.status === null ? null : (JSON.parse(row.status) as RouterStatus);
    const host = hosts.get(row.host_id);
    const machine = host?.machines.find(({ id }) => id === row.id);
    const running = machine?.bundle ?? status?.bundle ?? null;
    // A machine that says what it was made from says its memory, too.
    const memory = machine?.image === undefined ? row.memory : (machine.memory ?? null);
    const { versions } = select;
    if (
      versions !== undefined &&
      ![running?.version, status?.version].some((version) => versions.includes(version ?? ''))
    )
      return [];
    const { needs, because } = routerNeeds({
      image: { wanted: host?.image ?? null, made: machine?.image ?? null },
      memory: { wanted: row.router_memory, made: memory },
      bundle: { wanted, running },
    });
    return [
      {
        router: row.id,
        network: row.network_id,
        networkName: row.network_name,
        redundant: row.redundant === 1,
        host: row.host_id,
        zone: row.zone_id,
        role: row.role === 'standby' ? 'standby' : 'active',
        bundle: row.bundle_id ?? known.get(running?.checksum ?? '') ?? null,
        needs: needs === 'upToDate' ? 'nothing' : needs,
        because,
      },
    ];
  });
};

const hostReports = async (db: Db, ids: ReadonlySet<string>): Promise<Map<string, HostStatus>> => {
  const reports = new Map<string, HostStatus>();
  const rows = await db.selectFrom('host_status').select(['host_id', 'status']).execute();
  for (const { host_id, status } of rows)
    if (ids.has(host_id)) reports.set(host_id, JSON.parse(status) as HostStatus);
  return reports;
};
