/**
 * Replacing a router whose daemon is dead: it cannot hand over. It is left out of the chain, the successor takes the frames at
 * once, and it goes. What ended in it is lost. What it translated is copied by its host, as the kernel lives on; where that
 * cannot be, from a standby that followed it.
 */
import type { Problem } from 'documents';
import { AgentError } from '../../deliver/agent-error.ts';
import { advanceOperation } from '../../store/operations.ts';
import { setNeighbours } from '../../store/router-chain.ts';
import { standbysOf } from '../../store/standby.ts';
import type { Db } from '../../store/transaction.ts';
import { changeWorkflow } from '../../store/workflows.ts';
import { type Outcome, wait, type Work } from '../step.ts';
import { copyState, describeCopied } from './copy-state.ts';
import { daemonState } from './daemon.ts';
import { hostReport } from './reports.ts';
import { type ReplaceState, successorOf } from './state.ts';

const ASK_AGAIN = 500;

/** From here on the replacement goes on without the old router. */
export const beginRescue = (work: Work<ReplaceState>, why: string): Promise<void> =>
  work.change(async (trx, state) => {
    state.rescue = why;
    const loss =
      'What ends in it is lost; what it translates goes on as far as its kernel or a standby can tell of it';
    await work.tell(trx, `${state.router} is replaced without its help: ${why}. ${loss}`);
  });

/**
 * The standby that followed the old router. With that one's daemon dead it may not be called synced any more, but it keeps
 * what it was told; one that was told nothing yet has nothing to copy.
 */
const followerOf = async (
  db: Db,
  { host, network, router }: Pick<ReplaceState, 'host' | 'network' | 'router'>,
): Promise<string | undefined> => {
  const pairs = (await hostReport(db, host))?.standbys?.filter((pair) => pair.router === router) ?? [];
  const present = new Set((await standbysOf(db, network)).map(({ id }) => id));
  const followers = pairs.filter(({ standby }) => present.has(standby));
  return (followers.find(({ state }) => state === 'synced') ?? followers[0])?.standby;
};

/**
 * Gives the successor what the old router's kernel still has, which its host reads without the daemon; or else what its standby
 * knows. Returns what came of it, for people; null when nothing could be copied: a rescue does not wait for it.
 * @throws {AgentError} `HOST_NOT_CONNECTED`
 */
export const copyRescued = async (work: Work<ReplaceState>): Promise<string | null> => {
  const { host, router } = work.state;
  const standby = await followerOf(work.db, work.state);
  const sources = [
    { from: router, where: 'read from its kernel' },
    { from: standby, where: `from its standby ${standby}` },
  ];
  for (const { from, where } of sources) {
    if (from === undefined) continue;
    try {
      const copied = await copyState(work.link, host, from, successorOf(work.state));
      await work.change(async (_trx, state) => {
        state.copied = copied;
      });
      return `${describeCopied(copied)}, ${where}`;
    } catch (error) {
      if (!(error instanceof AgentError) || error.code === 'HOST_NOT_CONNECTED') throw error;
    }
  }
  return null;
};

/** Asks whether the old router's daemon lives. Null: go on, with `rescue` set if it is dead. */
export const rescueIfDead = async (work: Work<ReplaceState>): Promise<Outcome | null> => {
  const { router, rescue } = work.state;
  if (rescue !== null) return null;
  const state = await daemonState(work, router);
  if (state === 'silent') return wait(work.now() + ASK_AGAIN);
  if (state === 'dead') await beginRescue(work, 'its daemon does not answer, nor does one started anew');
  return null;
};

/** Asks, before a replacement is taken back, whether there is anything to go back to. Null: there is. */
export const forwardIfDead = async (work: Work<ReplaceState>): Promise<Outcome | null> => {
  const state = await daemonState(work, work.state.router);
  if (state === 'alive') return null;
  if (state === 'dead') await goForward(work);
  return wait(work.now() + ASK_AGAIN);
};

/** A replacement that was to be taken back goes on after all: who it would be taken back to is dead. */
const goForward = (work: Work<ReplaceState>): Promise<void> =>
  work.change(async (trx, state) => {
    const { router, successor, handBack } = state;
    if (handBack !== null && successor !== null)
      await setNeighbours(trx, router, { older: null, newer: successor });
    Object.assign(state, { flip: null, flipBack: null, handBack: null });
    const message = `It cannot be taken back: the daemon of ${router} does not answer, nor does one started anew`;
    const hint = `${successor} takes over from it. "selvage workflow show ${work.row.id}" says how far it is.`;
    const problem: Problem = { pointer: '', code: 'old-router-dead', message, hint };
    await advanceOperation(trx, work.row.operation_id, { state: 'failed', message, problem });
    const step = state.drain?.at === null ? 'drain' : 'flip';
    await changeWorkflow(
      trx,
      work.row.id,
      { status: 'running', step, problem: null, next_attempt_at: null },
      true,
    );
  });
