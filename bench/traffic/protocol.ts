/** What a program under startTraffic() is told on its standard input and answers on its standard output: JSON, one object a line. */
import type { JobSpec } from './jobs/job.ts';
import type { JobReport, ProcessReport } from './report.ts';

export type Order =
  | { readonly type: 'open'; readonly jobs: readonly JobSpec[] }
  /** The load begins, and the counting. */
  | { readonly type: 'begin' }
  | { readonly type: 'snapshot' }
  /** The load ends; the answer comes when nothing is outstanding. */
  | { readonly type: 'end' };

export interface WorkerReport {
  readonly jobs: readonly JobReport[];
  readonly process: Omit<ProcessReport, 'namespace' | 'role'>;
}

/** Answers come in the order of the orders. */
export type Answer =
  | { readonly type: 'done'; readonly report: WorkerReport | null }
  | { readonly type: 'failed'; readonly message: string };
