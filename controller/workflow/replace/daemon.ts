/**
 * Whether the daemon of a router answers, and what is done when it does not. A router whose daemon is dead or hung goes on
 * forwarding: the kernel has its rules, and haproxy and dnsmasq live on. Nothing of a replacement waits for it for ever.
 */
import { AgentError } from '../../deliver/agent-error.ts';
import { findRow } from '../../store/rows.ts';
import { isOver, type Work } from '../step.ts';
import type { ReplaceState } from './state.ts';

const ALIVE_TIMEOUT = 3000;
/** How long it may be silent before, ms: a program that is exchanged is for a moment, too. */
const RESTART_AFTER = 5000;
/** Between two restarts of one daemon, ms. */
const RESTART_EVERY = 30_000;
/**
 * From the first question without an answer on, ms: with a restart in it, and time for the new daemon to begin on a host that
 * is starved. Nothing presses: packets flow without the daemon, and what follows loses connections.
 */
export const ANSWERS_WITHIN = 30_000;
/** A daemon that answers and does not apply its document is started anew after this time, in case it is stuck, ms. */
const APPLIES_AFTER = 60_000;
/** And given up after this time, ms. */
const APPLIES_WITHIN = 180_000;

/**
 * Whether a router's daemon answers. @throws {AgentError} `HOST_NOT_CONNECTED` or `AGENT_TIMEOUT` when nobody can say: a host
 * that is gone, or starved itself, is waited for.
 */
export const answers = async (work: Work<ReplaceState>, router: string): Promise<boolean> => {
  if ((await findRow(work.db, 'router', router)) === undefined) return false;
  try {
    await work.link.requestRouter(router, { method: 'GET', path: '/v1/status', timeout: ALIVE_TIMEOUT });
    return true;
  } catch (error) {
    if (error instanceof AgentError && (error.code === 'AGENT_REFUSED' || error.code === 'ROUTER_UNKNOWN'))
      return false;
    throw error;
  }
};

/** Has the host end a daemon that does not answer and start it anew, unless it did so a moment ago. */
const restart = async (work: Work<ReplaceState>, router: string): Promise<void> => {
  const key = `restarted ${router}`;
  const last = work.scratch.get(key);
  if (last !== undefined && work.now() < last + RESTART_EVERY) return;
  work.scratch.set(key, work.now());
  try {
    await work.link.restartDaemon(work.state.host, router);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
  }
};

/**
 * Whether a daemon that answers is given up all the same, because it has not applied its document since then. Such a one is
 * slow, on a host that is starved, much more often than it is stuck: giving it up loses connections, waiting does not.
 */
export const isStuck = async (work: Work<ReplaceState>, router: string, since: number): Promise<boolean> => {
  if (work.now() > since + APPLIES_AFTER) await restart(work, router);
  return isOver(work, since + APPLIES_WITHIN);
};

/**
 * `alive`, `silent` (it was asked to be started anew, ask again in a moment), or `dead` when that did not help within
 * {@link ANSWERS_WITHIN}. Since when it is silent is kept in the workflow's state.
 */
export const daemonState = async (
  work: Work<ReplaceState>,
  router: string,
): Promise<'alive' | 'silent' | 'dead'> => {
  const silentSince = work.state.silences[router];
  if (await answers(work, router)) {
    if (silentSince !== undefined)
      await work.change(async (trx, state) => {
        delete state.silences[router];
        await work.tell(trx, `the daemon of ${router} answers again`);
      });
    return 'alive';
  }
  if ((await findRow(work.db, 'router', router)) === undefined) return 'dead';
  if (silentSince === undefined)
    await work.change(async (trx, state) => {
      state.silences[router] = work.now();
      await work.tell(
        trx,
        `the daemon of ${router} does not answer; its host is asked to start it anew if it stays so`,
      );
    });
  const since = silentSince ?? work.now();
  if (work.now() < since + RESTART_AFTER) return 'silent';
  await restart(work, router);
  if (await answers(work, router)) return daemonState(work, router);
  return work.now() < since + ANSWERS_WITHIN ? 'silent' : 'dead';
};
