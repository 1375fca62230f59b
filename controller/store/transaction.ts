/**
 * What a transaction leaves to be told once it is committed: which documents have a new generation, whether there are
 * events or operations. Nothing is told of a transaction that was rolled back.
 */
import type { Kysely, Transaction } from 'kysely';
import type { Database } from './schema.ts';

export type { Kysely, Transaction } from 'kysely';
export type Db = Kysely<Database>;
export type Trx = Transaction<Database>;

/** What a committed transaction changed, for those who carry it further. */
export interface Change {
  readonly routers: readonly { readonly id: string; readonly generation: number; readonly host: string }[];
  readonly hosts: readonly { readonly id: string; readonly generation: number }[];
  /** Sequence of the last event recorded, 0 for none. */
  readonly events: number;
  /** Operations begun or ended. */
  readonly operations: readonly string[];
  /** Workflows begun, or asked to end. */
  readonly workflows: readonly string[];
  /** Routers and hosts that reported. */
  readonly reports: readonly string[];
}

/** One item of a router document that may differ from what it was (plan/touched.ts says what to name). */
export interface TouchedItem {
  readonly collection: string;
  readonly itemId: string;
}

/** Bookkeeping of a transaction under way. */
export interface Pending {
  /** Time of the whole transaction, ms since the epoch. */
  readonly now: number;
  readonly routers: Map<string, { generation: number; host: string; items: Map<string, TouchedItem> }>;
  readonly hosts: Map<string, { generation: number }>;
  events: number;
  readonly operations: Set<string>;
  readonly workflows: Set<string>;
  readonly reports: Set<string>;
}

const pendings = new WeakMap<object, Pending>();

export const beginPending = (trx: Trx, now: number): Pending => {
  const pending: Pending = {
    now,
    routers: new Map(),
    hosts: new Map(),
    events: 0,
    operations: new Set(),
    workflows: new Set(),
    reports: new Set(),
  };
  pendings.set(trx, pending);
  return pending;
};

/** @throws {TypeError} when `trx` was not begun by `store.transaction`. */
export const pendingOf = (trx: Trx): Pending => {
  const pending = pendings.get(trx);
  if (pending === undefined) throw new TypeError('Not a transaction of store.transaction');
  return pending;
};

export const changeOf = (pending: Pending): Change => ({
  routers: [...pending.routers].map(([id, { generation, host }]) => ({ id, generation, host })),
  hosts: [...pending.hosts].map(([id, { generation }]) => ({ id, generation })),
  events: pending.events,
  operations: [...pending.operations],
  workflows: [...pending.workflows],
  reports: [...pending.reports],
});
