/** What was reported of the things a replacement waits for. */
import type { HostStatus, RouterStatus } from 'documents';
import type { Db } from '../../store/transaction.ts';

export interface RouterReport {
  /** Generation its document is to have. */
  readonly generation: number;
  readonly status: RouterStatus | null;
}

/** A router and what it reported last; undefined when there is no such router. */
export const routerReport = async (db: Db, id: string): Promise<RouterReport | undefined> => {
  const row = await db
    .selectFrom('router')
    .leftJoin('router_status', 'router_status.router_id', 'router.id')
    .select(['router.generation', 'router_status.status'])
    .where('router.id', '=', id)
    .executeTakeFirst();
  return (
    row && {
      generation: row.generation,
      status: row.status === null ? null : (JSON.parse(row.status) as RouterStatus),
    }
  );
};

/**
 * The generation of a router's document by which it passes packets on, 0 when it has said nothing. A service that does not
 * come up keeps a generation from being applied; the router's place in the chain is in force all the same.
 */
export const forwards = (report: RouterReport | undefined): number => {
  const status = report?.status ?? null;
  return status === null ? 0 : Math.max(status.appliedGeneration, status.forwardingGeneration ?? 0);
};

/** Whether a router has reported that it passes packets on by a generation of its document. */
export const isForwarding = async (db: Db, router: string, generation: number): Promise<boolean> =>
  forwards(await routerReport(db, router)) >= generation;

/** What a host reported last, null if nothing. */
export const hostReport = async (db: Db, host: string): Promise<HostStatus | null> => {
  const row = await db
    .selectFrom('host_status')
    .select('status')
    .where('host_id', '=', host)
    .executeTakeFirst();
  return row === undefined ? null : (JSON.parse(row.status) as HostStatus);
};

/** Whether a host has reported a generation of its document. */
export const hostHas = async (
  db: Db,
  { host, generation }: { readonly host: string; readonly generation: number },
): Promise<boolean> => ((await hostReport(db, host))?.observedGeneration ?? 0) >= generation;
