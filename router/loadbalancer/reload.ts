import { askSocket } from '../service/ask-socket.ts';
import { ServiceError } from '../service/service-error.ts';
import type { System } from '../system.ts';
import { at, loadedStructure } from './haproxy.ts';

/** How long a reload may take, ms. A worker with 1000 servers starts in tens of ms. */
const RELOAD_WITHIN = 8_000;
/** A reload that the master does not know of after this long was lost, and is asked for again, ms. */
const LOST_AFTER = 1_000;
const MOST_REQUESTS = 2;
/** How long after a request the master is left alone, ms. */
const MASTER_SETTLES = 400;
const MASTER_ANSWERS_WITHIN = 500;

/** What the master says of itself (management guide, `show proc`). */
interface Master {
  /** Reloads since it started, those included that failed. */
  readonly reloads: number;
  /** Reloads that failed since the last that did not. */
  readonly failed: number;
}

/** Null when the master does not answer: it is just executing itself again, or short of processor. */
const askMaster = async (system: System): Promise<Master | null> => {
  try {
    // It keeps a connection open until it is told to quit.
    const text = await askSocket(at(system, 'masterSocket'), 'show proc;quit', MASTER_ANSWERS_WITHIN);
    const row = /\bmaster\s+(\d+) \[failed: (\d+)\]/.exec(text);
    return row === null ? null : { reloads: Number(row[1]), failed: Number(row[2]) };
  } catch {
    return null;
  }
};

/**
 * Has a new worker take over the listening sockets with the configuration on disk; the old one finishes its connections.
 *
 * The master executes itself again at each reload, and loses commands that reach it meanwhile. So its answer is not waited
 * for: that the reload happened is read from what the worker in charge says it has loaded. A new worker knows nothing of its
 * members and counts them as gone at the first check that fails, so there are to be as few of them as can be: one that is slow
 * to begin is waited for, and asked for again is only what the master knows nothing of.
 *
 * @throws {ServiceError} `service-protocol` when haproxy refuses the configuration; `service-not-ready` when the new worker
 *   does not come in time, or nobody answers.
 */
export const reload = async (system: System, structure: string): Promise<void> => {
  const { clock } = system;
  const deadline = clock.now() + RELOAD_WITHIN;
  let request: { readonly at: number; readonly before: Master } | null = null;
  let requests = 0;
  for (let wait = 10; clock.now() < deadline; wait = Math.min(wait * 2, 100)) {
    const loaded = await loadedStructure(system);
    if (loaded === structure) return;
    const age: number = request === null ? 0 : clock.now() - request.at;
    const master: Master | null = request !== null && age < MASTER_SETTLES ? null : await askMaster(system);
    if (master !== null) {
      if (request !== null && master.failed > request.before.failed) {
        throw new ServiceError(
          'service-protocol',
          'haproxy refused the new configuration; the old worker goes on',
        );
      }
      const wanted =
        request === null ? loaded !== null : age > LOST_AFTER && master.reloads === request.before.reloads;
      if (wanted && requests < MOST_REQUESTS) {
        requests += 1;
        request = { at: clock.now(), before: master };
        askSocket(at(system, 'masterSocket'), 'reload', 1_000).catch(() => undefined);
        wait = 10;
      }
    }
    await clock.sleep(wait);
  }
  throw new ServiceError('service-not-ready', 'haproxy did not finish its reload; the old worker goes on');
};
