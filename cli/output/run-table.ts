/** How a run is shown to people: a line for each router, and one that says how far it is. */
import type { Resource } from '../client.ts';
import { type Column, renderTable } from './table.ts';

/** A router of a run, as far as it is shown. */
export interface RunRouter {
  readonly router: string;
  readonly networkName: string;
  readonly host: string;
  readonly wave: number | null;
  readonly needs: string;
  readonly because: string;
  readonly state: string;
  readonly lost: number | null;
  readonly sent: number | null;
  readonly p99Before: number | null;
  readonly p99After: number | null;
  readonly reasons: readonly string[];
  readonly problem: { readonly message: string } | null;
}

/** An upgrade run, as the API shows it. */
export type Run = Resource & {
  readonly name: string | null;
  readonly status: string;
  readonly bundle: string | null;
  readonly progress: {
    readonly total: number;
    readonly done: number;
    readonly failed: number;
    readonly upToDate: number;
    readonly perMinute: number | null;
    readonly secondsLeft: number | null;
  };
  readonly routers: readonly RunRouter[];
  readonly problem: { readonly message: string; readonly hint: string } | null;
};

/** For people, from µs. */
export const milliseconds = (microseconds: number | null): string =>
  microseconds === null ? '-' : `${(microseconds / 1000).toFixed(1)} ms`;

const waveOf = ({ wave }: RunRouter): string =>
  wave === null ? '-' : wave === 0 ? 'canary' : `batch ${wave}`;

/** Columns of the table of a run's routers. */
export const routerColumns: readonly Column<RunRouter>[] = [
  { title: 'router', value: (row) => row.router },
  { title: 'network', value: (row) => row.networkName },
  { title: 'host', value: (row) => row.host },
  { title: 'turn', value: waveOf },
  { title: 'needs', value: (row) => row.needs },
  { title: 'loss', value: (row) => (row.lost === null ? null : `${row.lost}/${row.sent}`) },
  {
    title: 'p99',
    value: (row) =>
      row.p99Before === null ? null : `${milliseconds(row.p99Before)} > ${milliseconds(row.p99After)}`,
  },
  { title: 'state', value: (row) => row.state },
  { title: 'why', value: (row) => row.reasons[0] ?? row.problem?.message ?? '' },
];

/** One line a router, with everything. */
export const routerTable = (routers: readonly RunRouter[]): string => renderTable(routerColumns, routers);

/** Where a run stands, in a line. */
export const progressLine = ({ id, status, progress }: Pick<Run, 'id' | 'status' | 'progress'>): string => {
  const { total, done, failed, upToDate, perMinute, secondsLeft } = progress;
  return [
    `${id} ${status}: ${done} of ${total} done`,
    ...(failed === 0 ? [] : [`${failed} failed`]),
    ...(upToDate === 0 ? [] : [`${upToDate} up to date`]),
    ...(perMinute === null ? [] : [`${perMinute} a minute`]),
    ...(secondsLeft === null ? [] : [`about ${secondsLeft} s left`]),
  ].join(', ');
};
