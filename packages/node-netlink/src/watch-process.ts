/** Learns of the end of any process, child or not, without asking again and again: pidfd_open(2). */
import { readFileSync } from 'node:fs';
import { lastErrno, lastError, libc } from './libc.ts';
import { whenReadable } from './when-readable.ts';

/** A running watch. */
export interface ProcessWatch {
  /** Ends it: the handler is not called any more, and the process is no longer kept alive. */
  close(): void;
  /** Lets the process end although the watch runs. */
  unref(): void;
  [Symbol.dispose](): void;
}

/**
 * Calls the handler once, when the process has ended; soon, but never during this call, when there is none of this id.
 * A process that has ended but was not yet waited for by its parent counts as ended.
 */
export const watchProcess = (pid: number, handler: () => void): ProcessWatch => {
  let closed = false;
  const fd = libc().pidfdOpen(pid);
  if (fd < 0) {
    if (lastErrno() !== 'ESRCH') throw lastError(`watch process ${pid}`);
    const soon = setImmediate(() => {
      if (!closed) handler();
    });
    const stop = (): void => {
      closed = true;
      clearImmediate(soon);
    };
    return { close: stop, unref: () => soon.unref(), [Symbol.dispose]: stop };
  }
  const wait = whenReadable(fd, () => {
    close();
    handler();
  });
  const close = (): void => {
    if (closed) return;
    closed = true;
    wait.close();
    libc().close(fd);
  };
  return { close, unref: () => wait.unref(), [Symbol.dispose]: close };
};

/**
 * When a process began, in clock ticks since boot (proc_pid_stat(5), field 22); null when there is none or only its
 * remains. Pid and start time together name one process for ever; the pid alone is used again.
 */
export const processStartTime = (pid: number): number | null => {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  // The name in field 2 may hold spaces and parentheses; what follows the last one does not.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const start = Number(fields[19]);
  return state === 'Z' || state === 'X' || !Number.isFinite(start) ? null : start;
};
