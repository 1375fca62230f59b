/** Taking a router away that has handed over: the old one of a replacement, or the new one of a replacement taken back. */
import { AgentError } from '../../deliver/agent-error.ts';
import { removeRouter } from '../../store/router-chain.ts';
import { findRow } from '../../store/rows.ts';
import { changeWorkflow } from '../../store/workflows.ts';
import { done, type Outcome, wait, type Work } from '../step.ts';
import { copyState, describeCopied } from './copy-state.ts';
import { chainClaim, leaveChain } from './chain-claim.ts';
import { daemonState } from './daemon.ts';
import { releaseOrGoForward } from './forward.ts';
import { release } from './release.ts';
import { hostHas } from './reports.ts';
import { copyRescued } from './rescue.ts';
import type { Copied, ReplaceState, Retirement, Sessions } from './state.ts';

/** Connections that were half open at the hand-over are complete by then, ms. */
const LATE_COPY_AFTER = 1000;
/** Between two questions for the sessions that are left, ms. */
const ASK_EVERY = 1000;
const SESSIONS_TIMEOUT = 5000;
/** Between two copies while something is refused, ms. */
const REFUSED_AGAIN = 10_000;
/**
 * Between two copies else, ms: its neighbour forgets what has ended here meanwhile, of which the kernel knows for two minutes
 * (nf_conntrack_tcp_timeout_time_wait), and gives ports free again.
 */
const COPY_AGAIN = 60_000;
/** A copy that is older than this is made once more before the router goes, ms. */
const STALE_COPY = 5000;
/** How long the late copy may fail, ms; then the router stays until what it translates has ended, too. */
const REFUSED_FOR = 60_000;
/**
 * How long a router whose daemon stays dead may keep sessions nobody can count, ms: its haproxy lives on without it. As long as
 * sessions are given by themselves; an earlier deadline counts.
 */
const UNCOUNTED_FOR = 600_000;

const retirementOf = (work: Work<ReplaceState>): Retirement => {
  if (work.state.retirement === null) throw new TypeError('The retirement has not begun');
  return work.state.retirement;
};

/** Goes on with a retirement from wherever it is. */
export const retire = async (
  work: Work<ReplaceState>,
  leaving: { readonly router: string; readonly since: number },
): Promise<Outcome> => {
  if (work.state.retirement === null) {
    // Once more, as it had the frames until a moment ago.
    const rescued = work.state.rescue === null ? null : await copyRescued(work);
    await work.change(async (trx, state) => {
      state.retirement = { ...leaving, copy: null, sessions: null, removal: null };
      if (state.rescue !== null) {
        state.retirement.copy = { inserted: 0, present: 0, refused: [] };
        await work.tell(
          trx,
          `retire: ${rescued ?? `nothing more could be copied from ${leaving.router}: ${state.rescue}`}`,
        );
        await releaseOrGoForward(trx, work, state);
        // The claim of the replacement stood for the chain, too, which is still being changed.
        if (state.holdsChain) await changeWorkflow(trx, work.row.id, { claim: chainClaim(state.network) });
      }
    });
  }
  if (retirementOf(work).removal !== null) return removed(work);
  const row = await findRow(work.db, 'router', leaving.router);
  if (row === undefined) {
    if (work.state.holdsChain) await work.change(async (trx, state) => leaveChain(trx, work, state));
    return done();
  }
  if (retirementOf(work).copy === null) {
    if (work.now() < leaving.since + LATE_COPY_AFTER) return wait(leaving.since + LATE_COPY_AFTER);
    await copyLate(work, leaving.router, row.newer_id);
    work.scratch.set('copied', work.now());
  }
  if (work.state.release === null && work.state.rescue === null) {
    const refused = retirementOf(work).copy?.refused.length ?? 0;
    await copyAgain(work, leaving.router, row.newer_id, refused > 0 ? REFUSED_AGAIN : COPY_AGAIN);
    const held = await sessionsLeft(work, leaving.router);
    const deadline = deadlineOf(work, leaving);
    const until = Math.min(deadline, work.now() + ASK_EVERY);
    if (held && work.now() < deadline) return wait(until);
    await copyAgain(work, leaving.router, row.newer_id, STALE_COPY);
  }
  const outcome = await release(work, { router: leaving.router, newer: work.state.successor });
  if (outcome.kind !== 'done') return outcome;
  await work.change(async (trx, state) => {
    if (state.retirement !== null) state.retirement.removal = await removeRouter(trx, leaving.router);
    state.release = null;
  });
  return removed(work);
};

/** When the router goes whatever ends in it, ms since the epoch. */
const deadlineOf = (
  work: Work<ReplaceState>,
  { router, since }: { readonly router: string; readonly since: number },
): number => {
  const { drainDeadline, silences } = work.state;
  const silentSince = silences[router];
  const given = drainDeadline === null ? Number.POSITIVE_INFINITY : since + drainDeadline * 1000;
  return silentSince === undefined ? given : Math.min(given, silentSince + UNCOUNTED_FOR);
};

const removed = async (work: Work<ReplaceState>): Promise<Outcome> => {
  const { removal, router, sessions } = retirementOf(work);
  if (removal !== null && !(await hostHas(work.db, removal))) return wait();
  const { rescue, silences } = work.state;
  const cut =
    rescue !== null || silences[router] !== undefined
      ? `, and what ended in it is lost: ${rescue ?? 'its daemon did not answer'}`
      : sessions === null || sessions.local === 0
        ? ''
        : `, ${describeSessions(sessions)} were cut`;
  return done(`${router} is taken away${cut}`);
};

/**
 * Carries over what came to be between the first copy and the hand-over. With it what the router translates is its
 * neighbour's, too: from here on users have what they asked for, and only sessions that end in the router are left.
 */
const copyLate = async (work: Work<ReplaceState>, router: string, next: string | null): Promise<void> => {
  const copied = next === null ? null : await copyOrGiveUp(work, router, next);
  const sessions = await askSessions(work, router);
  await work.change(async (trx, state) => {
    if (state.retirement === null) return;
    state.retirement.copy = copied ?? { inserted: 0, present: 0, refused: ['not copied'] };
    if (sessions !== null) note(work, state, sessions);
    await work.tell(trx, `retire: ${copied === null ? 'nothing was copied' : describeCopied(copied)}`);
    if (sessions !== null && sessions.local > 0) {
      const left = `${router} is kept by ${describeSessions(sessions)}`;
      const { since } = state.retirement;
      const until =
        state.drainDeadline === null
          ? 'for as long as they last'
          : `until ${new Date(since + state.drainDeadline * 1000).toISOString()} at the latest`;
      await work.tell(trx, `retire: ${left}, ${until}`);
    }
    await releaseOrGoForward(trx, work, state);
    // After a failover it is copied once more, which may be amid a change of the chain.
    if (state.holdsChain) await changeWorkflow(trx, work.row.id, { claim: chainClaim(state.network) });
  });
};

const copyOrGiveUp = async (work: Work<ReplaceState>, from: string, to: string): Promise<Copied | null> => {
  try {
    return await copyState(work.link, work.state.host, from, to);
  } catch (error) {
    if (!(error instanceof AgentError) || error.code === 'HOST_NOT_CONNECTED') throw error;
    if (work.now() < retirementOf(work).since + REFUSED_FOR && (await daemonState(work, from)) !== 'dead')
      throw error;
    return null;
  }
};

/**
 * What has changed since the last copy, if that is `every` ms ago: what was refused is offered again, as until its neighbour
 * has it the router cannot go; what has ended in the router is forgotten there, too.
 */
const copyAgain = async (
  work: Work<ReplaceState>,
  router: string,
  next: string | null,
  every: number,
): Promise<void> => {
  const last = work.scratch.get('copied') ?? Number.NEGATIVE_INFINITY;
  if (next === null || work.now() < last + every) return;
  work.scratch.set('copied', work.now());
  try {
    const copied = await copyState(work.link, work.state.host, router, next);
    const before = retirementOf(work).copy?.refused ?? [];
    if (before.length + copied.refused.length === 0) return;
    await work.change(async (_trx, state) => {
      if (state.retirement !== null) state.retirement.copy = copied;
    });
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
  }
};

/** What a router says of the connections it has; null when it does not. */
const askSessions = async (work: Work<ReplaceState>, router: string): Promise<Sessions | null> => {
  try {
    const answer = await work.link.requestRouter(router, {
      method: 'GET',
      path: '/v1/handover/sessions',
      timeout: SESSIONS_TIMEOUT,
    });
    if (answer.status !== 200) return null;
    return { ...(answer.body as Omit<Sessions, 'at'>), at: work.now() };
  } catch (error) {
    if (error instanceof AgentError) return null;
    throw error;
  }
};

/** Whether connections would be cut if the router went now. Not known is taken for yes. */
const sessionsLeft = async (work: Work<ReplaceState>, router: string): Promise<boolean> => {
  if (work.now() - (work.scratch.get('sessions') ?? 0) < ASK_EVERY - 100) return true;
  work.scratch.set('sessions', work.now());
  const sessions = await askSessions(work, router);
  if (sessions === null) {
    await daemonState(work, router);
    return true;
  }
  if (work.state.silences[router] !== undefined)
    await work.change(async (_trx, state) => {
      delete state.silences[router];
    });
  const { copy, sessions: before } = retirementOf(work);
  // What is translated changes all the time, and is of no matter.
  const kept = (one: Sessions | null): string => JSON.stringify([one?.local, one?.holders]);
  if (before === null || kept(before) !== kept(sessions))
    await work.change(async (_trx, state) => note(work, state, sessions));
  return sessions.local + onlyHere(copy, sessions) > 0;
};

/** Connections that the neighbour would not take, or may not have taken. */
const onlyHere = (copy: Copied | null, { translated }: Sessions): number =>
  copy !== null && copy.refused.length > 0 ? translated : 0;

const note = (work: Work<ReplaceState>, state: ReplaceState, sessions: Sessions): void => {
  if (state.retirement === null) return;
  state.retirement.sessions = sessions;
  const rest = onlyHere(state.retirement.copy, sessions);
  const record = state.steps.findLast(({ name }) => name === work.row.step);
  if (record === undefined) return;
  record.message = `${state.retirement.router} drains: ${describeSessions(sessions)} left`;
  if (rest > 0) record.message += `, and up to ${rest} connections that were not carried over`;
};

const NAMED = 5;

/** `3 sessions (2 of 192.0.2.1 tcp 80, 1 of 192.0.2.7 tcp 80)` */
export const describeSessions = ({ local, holders }: Sessions): string => {
  const named = holders
    .slice(0, NAMED)
    .map(({ address, port, protocol, count }) => `${count} of ${address} ${protocol} ${port}`);
  const more = holders.length > NAMED ? ' and others' : '';
  return `${local} session${local === 1 ? '' : 's'}${named.length === 0 ? '' : ` (${named.join(', ')}${more})`}`;
};
