import type { EventTable } from './schema.ts';
import { newId } from './id.ts';
import { pendingOf, type Trx } from './transaction.ts';

/** How many events are kept. */
export const EVENTS_KEPT = 100_000;
const TRIM_EVERY = 1000;

export interface NewEvent {
  /** Whom it concerns; null: administrators only. */
  readonly account: string | null;
  /** Stable: `network.created`, `router.drift-healed`. */
  readonly type: string;
  readonly level?: EventTable['level'];
  /** Id of the resource it is about. */
  readonly resource: string;
  readonly message: string;
  /** An id that makes repeats harmless: an event that is already there is not recorded again. */
  readonly id?: string;
  /** When it happened, ms since the epoch, if not now. */
  readonly time?: number;
}

/** Records an event. Returns false when one with the same id was there. */
export const recordEvent = async (trx: Trx, event: NewEvent): Promise<boolean> => {
  const pending = pendingOf(trx);
  const row = await trx
    .insertInto('event')
    .values({
      id: event.id ?? newId('evt'),
      created_at: event.time ?? pending.now,
      account_id: event.account,
      type: event.type,
      level: event.level ?? 'info',
      resource: event.resource,
      message: event.message,
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returning('sequence')
    .executeTakeFirst();
  if (row === undefined) return false;
  pending.events = row.sequence;
  if (row.sequence % TRIM_EVERY === 0)
    await trx
      .deleteFrom('event')
      .where('sequence', '<=', row.sequence - EVENTS_KEPT)
      .execute();
  return true;
};
