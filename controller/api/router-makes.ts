/** What routers run and are made from, and what they need. */
import type { HostStatus, RouterStatus } from 'documents';
import { routerNeeds, type RouterNeeds } from '../model/router-needs.ts';
import { bundlesOf } from '../store/router-bundles.ts';
import type { Db } from '../store/transaction.ts';

interface Made {
  readonly id: string;
  readonly host_id: string;
  readonly network_id: string;
  readonly bundle_id: string | null;
  readonly memory: number | null;
}

export interface Bundle {
  readonly id: string | null;
  readonly version: string;
  readonly checksum: string;
}

export interface RouterMakeView {
  /** What it runs, null while that is not known. */
  readonly bundle: Bundle | null;
  /** What it was told to run, null: what its host came with. */
  readonly wantedBundle: Bundle | null;
  readonly image: string | null;
  /** Bytes; null: as much as its host gives. */
  readonly memory: number | null;
  readonly needs: RouterNeeds;
  readonly needsBecause: string;
}

/** By router. */
export const routerMakes = async (
  db: Db,
  routers: readonly Made[],
  statuses: ReadonlyMap<string, RouterStatus | null>,
): Promise<ReadonlyMap<string, RouterMakeView>> => {
  if (routers.length === 0) return new Map();
  const bundles = await bundlesOf(db);
  const byChecksum = new Map(bundles.map((bundle) => [bundle.checksum, bundle.id]));
  const hosts = await hostStatuses(db, [...new Set(routers.map(({ host_id }) => host_id))]);
  const memories = await offeredMemory(db, [...new Set(routers.map(({ network_id }) => network_id))]);
  const standard = bundles.find(({ is_default }) => is_default === 1);
  return new Map(
    routers.map((router): [string, RouterMakeView] => {
      const host = hosts.get(router.host_id);
      const machine = host?.machines.find(({ id }) => id === router.id);
      // Its host says what is proved; what the daemon says may be of one that is about to be taken back.
      const running = machine?.bundle ?? statuses.get(router.id)?.bundle ?? null;
      const wanted = bundles.find(({ id }) => id === router.bundle_id);
      // A machine that says what it was made from says its memory, too.
      const memory = machine?.image === undefined ? router.memory : (machine.memory ?? null);
      const { needs, because } = routerNeeds({
        image: { wanted: host?.image ?? null, made: machine?.image ?? null },
        memory: { wanted: memories.get(router.network_id) ?? null, made: memory },
        bundle: {
          wanted:
            standard === undefined ? null : { version: standard.bundle_version, checksum: standard.checksum },
          running,
        },
      });
      return [
        router.id,
        {
          bundle:
            running === null
              ? null
              : {
                  id: byChecksum.get(running.checksum) ?? null,
                  version: running.version,
                  checksum: running.checksum,
                },
          wantedBundle:
            wanted === undefined
              ? null
              : { id: wanted.id, version: wanted.bundle_version, checksum: wanted.checksum },
          image: machine?.image ?? null,
          memory,
          needs,
          needsBecause: because,
        },
      ];
    }),
  );
};

const hostStatuses = async (db: Db, hosts: readonly string[]): Promise<ReadonlyMap<string, HostStatus>> =>
  new Map(
    (
      await db.selectFrom('host_status').select(['host_id', 'status']).where('host_id', 'in', hosts).execute()
    ).map((row) => [row.host_id, JSON.parse(row.status) as HostStatus]),
  );

/** Most memory that offerings give the routers of these networks, by network. */
const offeredMemory = async (
  db: Db,
  networks: readonly string[],
): Promise<ReadonlyMap<string, number | null>> =>
  new Map(
    (
      await db
        .selectFrom('network')
        .innerJoin('network_offering', 'network_offering.id', 'network.offering_id')
        .select(['network.id', 'network_offering.router_memory'])
        .where('network.id', 'in', networks)
        .execute()
    ).map((row) => [row.id, row.router_memory]),
  );
