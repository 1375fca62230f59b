/** How the scheduler treats a process (Documentation/scheduler/sched-stats.rst, proc_pid_stat(5)). */
import { readFileSync } from 'node:fs';
import type { ProcessorUse } from '../machine.ts';

const MILLISECOND = 1e6;

/**
 * Of the first thread of a process, which is the one that runs JavaScript; null when there is no such process, or this
 * kernel does not account for waiting.
 */
export const processorUseOf = (pid: number): ProcessorUse | null => {
  try {
    const [ran, waited] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').trim().split(' ').map(Number);
    if (ran === undefined || waited === undefined) return null;
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Its name, in parentheses, may have anything in it.
    const runnable = stat.slice(stat.lastIndexOf(')') + 2).startsWith('R');
    return { ran: ran / MILLISECOND, waited: waited / MILLISECOND, runnable };
  } catch {
    return null;
  }
};
