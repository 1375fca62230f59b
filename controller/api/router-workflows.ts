/** What workflows mean for the routers they work on. */
import type { Condition } from 'documents';
import type { Role } from '../store/router-chain.ts';
import type { Db } from '../store/transaction.ts';
import { openWorkflows } from '../store/workflows.ts';
import { describeSessions } from '../workflow/replace/retirement.ts';
import type { ReplaceState } from '../workflow/replace/state.ts';
import { isoTime } from './schemas.ts';

interface Place {
  readonly id: string;
  readonly network_id: string;
  readonly role: Role;
  readonly generation: number;
  readonly created_at: number;
}

export interface RouterWorkflow {
  readonly workflow: string | null;
  /** `Standby` of a successor, `Draining` of one that has handed over. */
  readonly conditions: readonly Condition[];
}

/** The workflow each of these routers is in, and its place in the chain as conditions; by router. */
export const routerWorkflows = async (
  db: Db,
  routers: readonly Place[],
): Promise<ReadonlyMap<string, RouterWorkflow>> => {
  const open = (
    await openWorkflows(
      db,
      routers.map(({ network_id }) => network_id),
    )
  ).map((row) => ({ row, state: JSON.parse(row.state) as ReplaceState }));
  return new Map(
    routers.map((router): [string, RouterWorkflow] => {
      // The newest: a router that came by one workflow may be replaced by the next.
      const own = open.findLast(({ state }) => state.router === router.id || state.successor === router.id);
      // What is said of its leaving comes from the workflow that takes it away, which may be an older one.
      const leaving = open.findLast(({ state }) => state.retirement?.router === router.id)?.state;
      return [
        router.id,
        { workflow: own?.row.id ?? null, conditions: conditionsOf(router, own?.state, leaving) },
      ];
    }),
  );
};

const conditionsOf = (
  router: Place,
  state: ReplaceState | undefined,
  leaving: ReplaceState | undefined,
): Condition[] => {
  const say = (type: string, reason: string, message: string, time: number): Condition[] => [
    {
      type,
      status: 'True',
      reason,
      message,
      observedGeneration: router.generation,
      lastTransitionTime: time,
    },
  ];
  switch (router.role) {
    case 'active':
    case 'standby':
      return [];
    case 'successor':
      return say(
        'Standby',
        'Successor',
        `It stands ready to take over from ${state?.router ?? 'the active router'}.`,
        router.created_at,
      );
    case 'draining': {
      const since = leaving?.retirement?.since ?? state?.drain?.at ?? router.created_at;
      const sessions = leaving?.retirement?.sessions;
      if (sessions === null || sessions === undefined || leaving === undefined)
        return say(
          'Draining',
          'HandedOver',
          'It handed over and keeps the connections it has; how many is not known yet.',
          since,
        );
      const until =
        leaving.drainDeadline === null
          ? 'for as long as they last'
          : `until ${isoTime(since + leaving.drainDeadline * 1000)} at the latest`;
      return say(
        'Draining',
        sessions.local === 0 ? 'Leaving' : 'SessionsLeft',
        sessions.local === 0
          ? 'It handed over, and nothing ends in it any more: it goes as soon as no older router needs it.'
          : `It handed over, and is kept ${until} by ${describeSessions(sessions)}.`,
        since,
      );
    }
  }
};
