/** Work that follows a write: what it waits for, and how it went. */
import type { Problem } from 'documents';
import { newId } from './id.ts';
import { pendingOf, type Trx } from './transaction.ts';

/** What has to be reported before an operation has succeeded. */
export type WaitsFor =
  | { readonly router: string; readonly generation: number }
  | { readonly host: string; readonly generation: number }
  | { readonly machine: string; readonly state: 'running' | 'stopped' }
  /** Ended by the workflow itself. */
  | { readonly workflow: string };

/** One wait for each router: for its newest generation. */
export const newestWaits = (waits: readonly WaitsFor[]): WaitsFor[] => {
  const routers = new Map<string, number>();
  for (const wait of waits)
    if ('router' in wait) routers.set(wait.router, Math.max(wait.generation, routers.get(wait.router) ?? 0));
  return [...routers].map(([router, generation]) => ({ router, generation }));
};

export interface OperationStep {
  /** ISO 8601. */
  readonly time: string;
  readonly message: string;
}

/** Begins an operation that ends when all of `waitsFor` was reported; with nothing to wait for there is none: null. */
export const startOperation = async (
  trx: Trx,
  operation: {
    readonly account: string;
    readonly type: string;
    readonly resource: string;
    readonly waitsFor: readonly WaitsFor[];
    readonly message: string;
  },
): Promise<string | null> => {
  if (operation.waitsFor.length === 0) return null;
  const { now, operations } = pendingOf(trx);
  const id = newId('op');
  const steps: OperationStep[] = [{ time: new Date(now).toISOString(), message: operation.message }];
  await trx
    .insertInto('operation')
    .values({
      id,
      created_at: now,
      account_id: operation.account,
      type: operation.type,
      resource: operation.resource,
      state: 'running',
      waits_for: JSON.stringify(operation.waitsFor),
      steps: JSON.stringify(steps),
      problem: null,
      ended_at: null,
    })
    .execute();
  operations.add(id);
  return id;
};

/** What a running operation has reached: a further step, and its end when `state` is given. Ended ones stay as they are. */
export const advanceOperation = async (
  trx: Trx,
  id: string,
  progress: {
    readonly message?: string;
    readonly state?: 'succeeded' | 'failed';
    readonly problem?: Problem;
  },
): Promise<boolean> => {
  const { now, operations } = pendingOf(trx);
  const row = await trx
    .selectFrom('operation')
    .select(['steps', 'state'])
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined || row.state !== 'running') return false;
  const steps = JSON.parse(row.steps) as OperationStep[];
  if (progress.message !== undefined)
    steps.push({ time: new Date(now).toISOString(), message: progress.message });
  await trx
    .updateTable('operation')
    .set((eb) => ({
      steps: JSON.stringify(steps),
      version: eb('version', '+', 1),
      ...(progress.state === undefined ? {} : { state: progress.state, ended_at: now }),
      ...(progress.problem === undefined ? {} : { problem: JSON.stringify(progress.problem) }),
    }))
    .where('id', '=', id)
    .execute();
  operations.add(id);
  return true;
};
