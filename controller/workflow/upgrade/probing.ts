/** The probes of a run: there before the first router, gone after the last. */
import type { Problem, ProbeReading } from 'documents';
import { AgentError } from '../../deliver/agent-error.ts';
import { placeProbes, removeProbes } from '../../probes/run-probes.ts';
import { findRow, getRow } from '../../store/rows.ts';
import type { Db } from '../../store/transaction.ts';
import type { WaitsFor } from '../../store/operations.ts';
import {
  changeRun,
  changeRunRouter,
  optionsOf,
  type RunRouter,
  runRouters,
} from '../../store/upgrade-runs.ts';
import { isForwarding, hostHas } from '../replace/reports.ts';
import { done, type Outcome, type Step, wait, type Work } from '../step.ts';
import type { UpgradeState } from './state.ts';

/** A host that does not make its probes, or does not take them away, is not waited for longer than this, ms. */
const PATIENCE = 30_000;
const POLL = 500;
/** A probe sends in any time as long as this, ms. */
const JUST_NOW = 1000;

/** Whether everything was reported, or belongs to something that is gone. */
const reported = async (db: Db, waitsFor: readonly WaitsFor[]): Promise<boolean> => {
  for (const item of waitsFor) {
    if ('router' in item) {
      const gone = (await findRow(db, 'router', item.router)) === undefined;
      if (!gone && !(await isForwarding(db, item.router, item.generation))) return false;
    } else if ('host' in item) {
      const gone = (await findRow(db, 'host', item.host)) === undefined;
      if (!gone && !(await hostHas(db, item))) return false;
    }
  }
  return true;
};

/** Plans probes for every network that a router of the run has yet to be upgraded in, and waits until they are there. */
export const prepare: Step<UpgradeState> = {
  name: 'prepare',

  run: async (work) => {
    const run = await getRow(work.db, 'upgrade_run', work.state.run);
    const { probe, rate } = optionsOf(run);
    const rows = (await runRouters(work.db, [run.id])).filter(({ state }) => state === 'waiting');
    if (!probe || rows.length === 0) return done();
    if (work.state.probes === null)
      await work.change(async (trx, state) => {
        const networks = rows.map(({ network_id }) => network_id);
        const { placed, refused, waitsFor } = await placeProbes(trx, run.id, networks, rate);
        for (const row of rows)
          await changeRunRouter(trx, row, null, { probe: placed.get(row.network_id) ?? null });
        state.probes = { waitsFor, since: work.now(), readyAt: null };
        state.cleared = null;
        for (const [network, why] of refused) await work.tell(trx, `${network} is not measured: ${why}`);
      });
    const { waitsFor, since } = work.state.probes as NonNullable<UpgradeState['probes']>;
    const all =
      (await reported(work.db, waitsFor)) && (await measuring(work, await runRouters(work.db, [run.id])));
    if (!all && work.now() < since + PATIENCE) return wait(work.now() + POLL);
    if (work.state.probes?.readyAt === null)
      await work.change(async (_trx, state) => {
        if (state.probes !== null) state.probes.readyAt = work.now();
      });
    return done(
      all ? 'the probes measure' : 'not every host has its probes; what they do not measure is left out',
    );
  },

  undo: async (work) => {
    if (!(await clear(work))) return wait(work.now() + POLL);
    await work.change(async (trx, state) => {
      for (const row of await runRouters(trx, [state.run]))
        if (row.state === 'waiting') await changeRunRouter(trx, row, 'aborted', {});
      await changeRun(trx, state.run, 'aborted');
    });
    return done();
  },
};

/** Takes the probes away, and says how the run ended. */
export const clearUp: Step<UpgradeState> = {
  name: 'clear-up',

  run: async (work): Promise<Outcome> => {
    if (!(await clear(work))) return wait(work.now() + POLL);
    return work.change(async (trx, state) => {
      const rows = await runRouters(trx, [state.run]);
      const failed = rows.filter((row) => row.state === 'failed' || row.state === 'rolled-back');
      const message = `${rows.filter((row) => row.state === 'passed').length} upgraded, ${failed.length} failed, ${rows.length} in all`;
      if (failed.length === 0) {
        await changeRun(trx, state.run, 'succeeded');
        return done(message);
      }
      const problem: Problem = {
        pointer: '',
        code: 'not-all-upgraded',
        message: `Not every router was upgraded: ${message}`,
        hint: `Why, router by router: selvage upgrade-run report ${state.run}. Mend it, and begin another run.`,
      };
      await changeRun(trx, state.run, 'failed', problem);
      return done(message, problem);
    });
  },

  undo: async () => done(),
};

/** Has the probes removed. Returns whether they are gone. */
const clear = async (work: Work<UpgradeState>): Promise<boolean> => {
  if (work.state.cleared === null)
    await work.change(async (trx, state) => {
      state.cleared = { waitsFor: await removeProbes(trx, state.run), since: work.now() };
      state.probes = null;
    });
  const { waitsFor, since } = work.state.cleared as NonNullable<UpgradeState['cleared']>;
  return work.now() >= since + PATIENCE || (await reported(work.db, waitsFor));
};

/** Whether every probe has begun: it has sent something a moment ago. */
const measuring = async (work: Work<UpgradeState>, rows: readonly RunRouter[]): Promise<boolean> => {
  const probes = new Map(
    rows.flatMap(({ state, detail: { probe } }) =>
      state !== 'waiting' || probe === null ? [] : [[probe.id, probe] as const],
    ),
  );
  const now = work.now();
  const readings = await Promise.all(
    [...probes.values()].map((probe) =>
      readProbe(work, probe, now - JUST_NOW, now).catch((error: unknown) => {
        if (!(error instanceof AgentError)) throw error;
        return null;
      }),
    ),
  );
  return readings.every(
    (reading) =>
      reading !== null && reading.datagrams.sent + reading.connections.sent + reading.names.sent > 0,
  );
};

/** What a probe measured. @throws {AgentError} also when what is answered is no reading. */
export const readProbe = async (
  work: Work<UpgradeState>,
  probe: { readonly host: string; readonly id: string },
  from: number,
  to: number,
): Promise<ProbeReading> => {
  const answer = await work.link.probeReading(probe.host, probe.id, Math.round(from), Math.round(to));
  if (!isReading(answer))
    throw new AgentError('AGENT_REFUSED', `The host ${probe.host} answered with no reading of ${probe.id}`);
  return answer;
};

const isReading = (value: unknown): value is ProbeReading =>
  typeof value === 'object' &&
  value !== null &&
  (['datagrams', 'connections', 'names'] as const).every((kind) => {
    const part = (value as Record<string, unknown>)[kind] as Record<string, unknown> | undefined;
    return typeof part?.['sent'] === 'number' && typeof part['lost'] === 'number';
  });
