import { mayBegin, type Queued } from '../../model/upgrade-plan.ts';
import { removeProbes } from '../../probes/run-probes.ts';
import { getRow } from '../../store/rows.ts';
import type { Db } from '../../store/transaction.ts';
import { optionsOf, type RunRouter, runRouters } from '../../store/upgrade-runs.ts';
import { done, type Outcome, type Step, Superseded, wait, type Work } from '../step.ts';
import type { UpgradeState } from './state.ts';
import { abandonRouter, begin, giveUp, upgradeRouter, type Upgrading } from './upgrade-router.ts';

const OPEN: readonly RunRouter['state'][] = ['measuring', 'working', 'soaking', 'rolling-back'];
/** More transitions than a router has in one look at all of them. */
const LOOKS = 20;

/** The routers of a run as far as their order is concerned; what needs nothing is not among them. */
export const queueOf = async (
  db: Db,
  rows: readonly RunRouter[],
): Promise<(Queued & { readonly row: RunRouter })[]> => {
  const networks = rows.map(({ network_id }) => network_id);
  const redundant = new Set<string>();
  for (let start = 0; start < networks.length; start += 1000)
    for (const { id } of await db
      .selectFrom('network')
      .select('id')
      .where('id', 'in', networks.slice(start, start + 1000))
      .where('redundant', '=', 1)
      .execute())
      redundant.add(id);
  return rows
    .filter(({ state }) => state !== 'nothing')
    .map((row) => ({
      row,
      router: row.router_id,
      network: row.network_id,
      host: row.host_id,
      position: row.position,
      wave: row.wave,
      state: row.state === 'waiting' ? 'waiting' : OPEN.includes(row.state) ? 'open' : 'ended',
      pair: redundant.has(row.network_id) ? row.network_id : null,
    }));
};

/** A step of a router that fails unexpectedly is tried so often, first again after so long, ms, then twice that. */
const TRIES = 5;
const FIRST_RETRY = 1000;

/** Every open router a step on, side by side. Returns when to look again; null: something moved. */
const each = async (
  work: Work<UpgradeState>,
  rows: readonly RunRouter[],
  step: (upgrading: Upgrading) => Promise<number | null>,
): Promise<number | null> => {
  const run = await getRow(work.db, 'upgrade_run', work.state.run);
  const results = await Promise.allSettled(rows.map((row) => unbroken({ work, run, row }, step)));
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  const times = results.map((result) => (result.status === 'fulfilled' ? result.value : null));
  return times.includes(null) ? null : Math.min(...(times as number[]));
};

/** One router a step on. A step that throws is tried again later, and given up after a few times: the others do not wait for it. */
const unbroken = async (
  upgrading: Upgrading,
  step: (upgrading: Upgrading) => Promise<number | null>,
): Promise<number | null> => {
  const { work, row } = upgrading;
  const tries = `tries ${row.router_id} ${row.state}`;
  const next = `next ${row.router_id} ${row.state}`;
  const at = work.scratch.get(next) ?? 0;
  if (work.now() < at) return at;
  const forget = (): void => {
    work.scratch.delete(tries);
    work.scratch.delete(next);
  };
  try {
    const time = await step(upgrading);
    forget();
    return time;
  } catch (error) {
    // The run was moved by somebody else, such as by an abort: nothing is wrong with the router.
    if (error instanceof Superseded) throw error;
    const failed = (work.scratch.get(tries) ?? 0) + 1;
    if (failed < TRIES) {
      work.scratch.set(tries, failed);
      const later = work.now() + FIRST_RETRY * 2 ** (failed - 1);
      work.scratch.set(next, later);
      return later;
    }
    await giveUp(upgrading, error);
    forget();
    return null;
  }
};

/** Those whose turn it is. */
const nextOf = async (db: Db, id: string) => {
  const run = await getRow(db, 'upgrade_run', id);
  if (run.status !== 'running') return [];
  return mayBegin(await queueOf(db, await runRouters(db, [id])), optionsOf(run));
};

/** Begins those whose turn it is. Returns whether there were any. */
const beginNext = async (work: Work<UpgradeState>): Promise<boolean> => {
  if ((await nextOf(work.db, work.state.run)).length === 0) return false;
  return work.change(async (trx, state) => {
    // It may have been paused since.
    const next = await nextOf(trx, state.run);
    for (const { row } of next) await begin(trx, row, work.now());
    return next.length > 0;
  });
};

/** Has the routers upgraded in order, each watched until it is judged. */
export const upgrade: Step<UpgradeState> = {
  name: 'upgrade',

  run: async (work): Promise<Outcome> => {
    for (let look = 0; look < LOOKS; look += 1) {
      const rows = await runRouters(work.db, [work.state.run]);
      const open = rows.filter(({ state }) => OPEN.includes(state));
      const until = open.length === 0 ? null : await each(work, open, upgradeRouter);
      if (open.length > 0 && until === null) continue;
      if (await beginNext(work)) continue;
      if (open.length > 0) return wait(until ?? work.now());
      const { status } = await getRow(work.db, 'upgrade_run', work.state.run);
      if (status === 'halted' || status === 'paused') {
        // It may be held for long; measuring begins anew when it goes on.
        if (work.state.probes !== null)
          await work.change(async (trx, state) => {
            await removeProbes(trx, state.run);
            state.probes = null;
          });
        return wait();
      }
      if (rows.every(({ state }) => state !== 'waiting')) return done();
    }
    return wait(work.now());
  },

  undo: async (work) => {
    for (let look = 0; look < LOOKS; look += 1) {
      const rows = await runRouters(work.db, [work.state.run]);
      const left = rows.filter(({ state }) => state === 'waiting' || OPEN.includes(state));
      if (left.length === 0) return done();
      const until = await each(work, left, abandonRouter);
      if (until !== null) return wait(until);
    }
    return wait(work.now());
  },
};
