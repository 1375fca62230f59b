/** How far a run got, and how long it will take. Pure. */
import { playThrough, type Queued } from '../model/upgrade-plan.ts';
import type { RunOptions, RunRouter } from '../store/upgrade-runs.ts';

const ENDED: readonly RunRouter['state'][] = ['passed', 'rolled-back', 'failed', 'aborted', 'skipped'];

/** What a patch and a replacement take by themselves until something was measured, s. */
const GUESS = { patch: 3, replace: 6, nothing: 0 } as const;
/** Until the probes are there, and warm, s. */
const PREPARE = 3;

export interface RunProgress {
  /** Routers that need something. */
  readonly total: number;
  readonly done: number;
  readonly failed: number;
  readonly upToDate: number;
  readonly perMinute: number | null;
  readonly secondsLeft: number | null;
}

/** `queue` is in the order of the rows that need something. */
export const runProgress = (
  rows: readonly RunRouter[],
  queue: readonly Queued[],
  options: RunOptions,
  ended: boolean,
  now: number,
): RunProgress => {
  const work = rows.filter(({ state }) => state !== 'nothing');
  const over = work.filter(({ state }) => ENDED.includes(state));
  const began = Math.min(...work.map(({ detail }) => detail.startedAt ?? Number.POSITIVE_INFINITY));
  const last = Math.max(0, ...over.map(({ detail }) => detail.endedAt ?? 0));
  const minutes = ((ended ? last : now) - began) / 60_000;
  const took = over.flatMap(({ detail }) =>
    detail.startedAt === null || detail.endedAt === null ? [] : [(detail.endedAt - detail.startedAt) / 1000],
  );
  const mean = took.length === 0 ? null : took.reduce((sum, seconds) => sum + seconds, 0) / took.length;
  const needs = new Map(rows.map((row) => [row.router_id, row.needs]));
  const secondsOf = ({ router, state }: Queued): number =>
    (mean ?? GUESS[needs.get(router) ?? 'patch'] + options.soak + 1) / (state === 'open' ? 2 : 1);
  const first = over.length === 0 && options.probe && work.length > 0 ? PREPARE + options.baseline : 0;
  return {
    total: work.length,
    done: over.length,
    failed: over.filter(({ state }) => state === 'failed' || state === 'rolled-back').length,
    upToDate: rows.length - work.length,
    perMinute: over.length === 0 || !(minutes > 0) ? null : Math.round((over.length / minutes) * 10) / 10,
    secondsLeft: ended ? null : Math.ceil(first + playThrough(queue, options, secondsOf)),
  };
};
