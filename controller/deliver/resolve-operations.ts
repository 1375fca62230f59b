import type { HostStatus, RouterStatus } from 'documents';
import { recordEvent } from '../store/events.ts';
import { advanceOperation, type OperationStep, type WaitsFor } from '../store/operations.ts';
import type { Trx } from '../store/transaction.ts';
import { operationProgress, type Reports } from './operation-progress.ts';

/** Ids of routers, hosts, machines or operations there is news of; undefined for all. */
export type News = ReadonlySet<string> | undefined;

const idOf = (wait: WaitsFor): string =>
  'router' in wait
    ? wait.router
    : 'host' in wait
      ? wait.host
      : 'machine' in wait
        ? wait.machine
        : wait.workflow;

/**
 * Judges the running operations that the news concern: adds a step for everything newly reached and ends those that have
 * it all or cannot get it. What was judged lies in the store, so a restart goes on where this stopped.
 */
export const resolveOperations = async (trx: Trx, now: number, news: News): Promise<void> => {
  const rows = await trx
    .selectFrom('operation')
    .select(['id', 'type', 'resource', 'account_id', 'created_at', 'waits_for', 'steps'])
    .where('state', '=', 'running')
    .execute();
  const operations = rows
    .map((row) => ({ ...row, waitsFor: JSON.parse(row.waits_for) as WaitsFor[] }))
    .filter(
      (row) => news === undefined || news.has(row.id) || row.waitsFor.some((wait) => news.has(idOf(wait))),
    );
  if (operations.length === 0) return;
  const reports = await loadReports(
    trx,
    operations.flatMap((operation) => operation.waitsFor),
  );
  for (const operation of operations) {
    const progress = operationProgress(
      { createdAt: operation.created_at, waitsFor: operation.waitsFor },
      reports,
    );
    const told = new Set((JSON.parse(operation.steps) as OperationStep[]).map((step) => step.message));
    for (const part of progress) {
      if (part.state === 'reached' && !told.has(part.message))
        await advanceOperation(trx, operation.id, { message: part.message });
    }
    const took = `${now - operation.created_at} ms`;
    const failed = progress.find((part) => part.state === 'failed');
    if (failed !== undefined) {
      await advanceOperation(trx, operation.id, {
        state: 'failed',
        problem: failed.problem,
        message: `failed after ${took}: ${failed.problem.message}`,
      });
      await recordEvent(trx, {
        account: operation.account_id,
        type: 'operation.failed',
        level: 'error',
        resource: operation.resource,
        message: `${operation.type} (${operation.id}): ${failed.problem.message}`,
      });
    } else if (progress.every((part) => part.state === 'reached')) {
      await advanceOperation(trx, operation.id, { state: 'succeeded', message: `done after ${took}` });
    }
  }
};

const loadReports = async (trx: Trx, waits: readonly WaitsFor[]): Promise<Reports> => {
  const routers = new Map<string, RouterStatus | null | undefined>();
  const hosts = new Map<string, HostStatus | null | undefined>();
  const reportedAt = new Map<string, number>();
  const machines = new Map<string, string | undefined>();
  const loadHost = async (id: string): Promise<void> => {
    if (hosts.has(id)) return;
    const row = await trx
      .selectFrom('host')
      .leftJoin('host_status', 'host_status.host_id', 'host.id')
      .select(['host.id', 'host_status.status', 'host_status.reported_at'])
      .where('host.id', '=', id)
      .executeTakeFirst();
    reportedAt.set(id, row?.reported_at ?? 0);
    hosts.set(id, row && (row.status === null ? null : (JSON.parse(row.status) as HostStatus)));
  };
  for (const wait of waits) {
    if ('router' in wait) {
      if (routers.has(wait.router)) continue;
      const row = await trx
        .selectFrom('router')
        .leftJoin('router_status', 'router_status.router_id', 'router.id')
        .select(['router.id', 'router_status.status'])
        .where('router.id', '=', wait.router)
        .executeTakeFirst();
      routers.set(
        wait.router,
        row && (row.status === null ? null : (JSON.parse(row.status) as RouterStatus)),
      );
    } else if ('host' in wait) {
      await loadHost(wait.host);
    } else if ('machine' in wait && !machines.has(wait.machine)) {
      const row =
        (await trx
          .selectFrom('instance')
          .select('host_id')
          .where('id', '=', wait.machine)
          .executeTakeFirst()) ??
        (await trx.selectFrom('router').select('host_id').where('id', '=', wait.machine).executeTakeFirst());
      machines.set(wait.machine, row?.host_id);
      if (row !== undefined) await loadHost(row.host_id);
    }
  }
  return {
    router: (id) => routers.get(id),
    host: (id) => hosts.get(id),
    hostOf: (machine) => machines.get(machine),
    reportedAt: (host) => reportedAt.get(host) ?? 0,
  };
};
