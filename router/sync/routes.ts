import type { RouterDocument } from 'documents';
import { Refusal } from '../api/problem.ts';
import type { Routes, StreamRoutes } from '../api/server.ts';
import { standsByWhile } from '../handover/standing-by.ts';
import type { System } from '../system.ts';
import { StateFeed } from './state-feed.ts';
import { StateFollower } from './state-follower.ts';

/** Where a router stands, as GET /v1/sync has it. */
export interface SyncStanding {
  /** `serving`: somebody reads its state. `receiving`: it takes over another's. */
  readonly state: 'serving' | 'receiving' | 'idle';
  /** Whether it once had a whole snapshot of the last stream, and all that was said since. */
  readonly synced: boolean;
  /** Connections: held for the other, or in the last snapshot told. */
  readonly entries: number;
  /** Connections of the other that its kernel did not take. */
  readonly refused: number;
  /** Age of the newest message when it was in force, ms; null before the first. */
  readonly behind: number | null;
  /** ms since the last message came; null before the first. */
  readonly lastMessageAge: number | null;
  readonly readers: number;
}

/** One router's ends of the streams between an active router and its standby. */
export interface RouterSync {
  readonly routes: Routes;
  readonly streams: StreamRoutes;
  /** Ends all streams. */
  readonly close: () => void;
}

/** Ties both ends to a router. `place` is asked for when it is needed. */
export const routerSync = (
  system: System,
  place: () => Pick<RouterDocument, 'legs' | 'handover'> | null,
  onError: (error: unknown) => void,
): RouterSync => {
  const feed = new StateFeed(system, place, onError);
  const follower = new StateFollower(system, place, onError);
  standsByWhile(system, () => follower.standing.receiving);
  const inForce = (): void => {
    if (place() === null) throw new Refusal(404, 'no-document', 'Put one first');
  };
  const standing = (): SyncStanding => {
    const { receiving, entries, ...rest } = follower.standing;
    const serving = feed.readers > 0;
    return {
      state: serving ? 'serving' : receiving ? 'receiving' : 'idle',
      entries: serving ? feed.entries : entries,
      ...rest,
      readers: feed.readers,
    };
  };
  return {
    routes: { '/v1/sync': { GET: async () => ({ status: 200, body: standing() }) } },
    streams: {
      '/v1/sync/stream': {
        GET: async (_request, response) => {
          inForce();
          // Who is asked for its state serves, and holds no other's any more.
          follower.close();
          await feed.attach(response);
        },
        POST: async (request, response) => {
          inForce();
          if (feed.readers > 0) {
            throw new Refusal(
              409,
              'serving',
              'Others read the state of this router: it is no standby, and its connections stay its own',
            );
          }
          await follower.follow(request, response);
        },
      },
    },
    close: () => {
      feed.close();
      follower.close();
    },
  };
};
