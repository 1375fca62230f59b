import { type NewEvent, recordEvent } from '../store/events.ts';
import type { Trx } from '../store/transaction.ts';

/**
 * Records that a resource came to a state, unless that is what was told of it last: an agent or daemon that starts again
 * reports anew what has not changed. `states` are the event types that tell of such a state.
 */
export const tellChange = async (trx: Trx, states: readonly string[], event: NewEvent): Promise<void> => {
  const last = await trx
    .selectFrom('event')
    .select(['type', 'message'])
    .where('resource', '=', event.resource)
    .where('type', 'in', states)
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
  const troubled = event.level !== undefined && event.level !== 'info';
  // Trouble for another reason is news.
  if (last?.type === event.type && (!troubled || last.message === event.message)) return;
  await recordEvent(trx, event);
};
