import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processStartTime, watchProcess } from 'node-netlink';
import { ownFile } from '../own-bundle.ts';
import type { BundleName } from 'documents';

/** How long a daemon may take to end after SIGTERM before it is killed, ms. */
const END_WITHIN = 5_000;
/** How long the kernel may take to end what was killed, ms. */
const GONE_WITHIN = 5_000;

/** A process, told from a later one of the same pid by when it began (ticks since boot). */
export interface DaemonProcess {
  readonly pid: number;
  readonly startTime: number;
}

const recordOf = (directory: string): string => join(directory, 'daemon.json');

/** The daemon that runs on a directory and is not this process; null when there is none. */
export const runningDaemon = async (directory: string): Promise<DaemonProcess | null> => {
  try {
    const { pid, startTime } = JSON.parse(
      await readFile(recordOf(directory), 'utf8'),
    ) as Partial<DaemonProcess>;
    return pid !== undefined &&
      pid !== process.pid &&
      startTime !== undefined &&
      processStartTime(pid) === startTime
      ? { pid, startTime }
      : null;
  } catch {
    return null;
  }
};

/** Writes down that this process is the daemon of a directory: `daemon.json`. */
export const recordDaemon = async (directory: string, bundle: BundleName | null): Promise<void> => {
  const path = recordOf(directory);
  const record = {
    pid: process.pid,
    startTime: processStartTime(process.pid),
    bundle: ownFile,
    ...(bundle === null ? {} : bundle),
  };
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  await rename(draft, path);
};

/** Whether the process is gone within that time. */
const isGone = ({ pid, startTime }: DaemonProcess, within: number): Promise<boolean> =>
  new Promise((resolve) => {
    const watch = watchProcess(pid, () => done(true));
    const timer = setTimeout(() => done(processStartTime(pid) !== startTime), within);
    const done = (gone: boolean): void => {
      clearTimeout(timer);
      watch.close();
      resolve(gone);
    };
    // It may have ended, and its pid be another's, before the watch began.
    if (processStartTime(pid) !== startTime) done(true);
  });

const send = ({ pid, startTime }: DaemonProcess, signal: NodeJS.Signals): void => {
  if (processStartTime(pid) !== startTime) return;
  try {
    process.kill(pid, signal);
  } catch (error) {
    // ESRCH: it ended between the two calls, which is what we wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
};

/** Has a daemon end: asks it, and kills it when it does not (it may hang). Kernel and services stay as they are. */
export const endDaemon = async (daemon: DaemonProcess): Promise<'ended' | 'killed'> => {
  send(daemon, 'SIGTERM');
  if (await isGone(daemon, END_WITHIN)) return 'ended';
  send(daemon, 'SIGKILL');
  if (await isGone(daemon, GONE_WITHIN)) return 'killed';
  throw new Error(`The daemon before this one (pid ${daemon.pid}) does not end, not even when killed`);
};
