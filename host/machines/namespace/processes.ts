/** Processes of a network namespace: which there are, and their end. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { processStartTime, watchProcess } from 'node-netlink';
import { namespacePath } from '../../names.ts';

/** Pid and start time (clock ticks since boot) name one process for ever. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: number;
}

export const isAlive = (identity: ProcessIdentity): boolean =>
  processStartTime(identity.pid) === identity.startTime;

const inodeOf = (pid: number): number | null => {
  try {
    return Number(/\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[1]);
  } catch {
    return null;
  }
};

/** Pids of all processes by the inode of their network namespace: one walk over /proc, for many questions. */
export const processesByNamespace = (): ReadonlyMap<number, readonly number[]> => {
  const found = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const inode = inodeOf(pid);
    if (inode === null) continue;
    const list = found.get(inode);
    if (list === undefined) found.set(inode, [pid]);
    else list.push(pid);
  }
  return found;
};

/** Pids of the processes in a namespace of this name, without our own; empty when there is no such namespace. */
export const processesIn = (
  namespace: string,
  all: ReadonlyMap<number, readonly number[]> = processesByNamespace(),
): readonly number[] => {
  try {
    return (all.get(statSync(namespacePath(namespace)).ino) ?? []).filter((pid) => pid !== process.pid);
  } catch {
    return [];
  }
};

/** Arguments a process was started with; empty when it has ended. */
export const argumentsOf = (pid: number): readonly string[] => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
};

const signal = (pid: number, name: 'SIGTERM' | 'SIGKILL'): void => {
  try {
    process.kill(pid, name);
  } catch {
    // It ended meanwhile.
  }
};

/** Resolves true when the process has ended, false after that many ms. */
const ended = (pid: number, within: number): Promise<boolean> =>
  new Promise((resolve) => {
    const finish = (answer: boolean) => {
      clearTimeout(timer);
      watch.close();
      resolve(answer);
    };
    const timer = setTimeout(() => finish(false), within);
    const watch = watchProcess(pid, () => finish(true));
  });

/**
 * Ends all processes of a namespace: asks them first when `grace` (ms) is not 0, then kills. Looks again until none is
 * left, as those that end may have started others; gives up after a few rounds and returns the pids that remain.
 */
export const endProcessesIn = async (namespace: string, grace: number): Promise<readonly number[]> => {
  let pids = processesIn(namespace);
  if (grace > 0 && pids.length > 0) {
    for (const pid of pids) signal(pid, 'SIGTERM');
    await Promise.all(pids.map((pid) => ended(pid, grace)));
    pids = processesIn(namespace);
  }
  for (let round = 0; round < 10 && pids.length > 0; round += 1) {
    for (const pid of pids) signal(pid, 'SIGKILL');
    await Promise.all(pids.map((pid) => ended(pid, 500)));
    pids = processesIn(namespace);
  }
  return pids;
};

/** Whether the process is in a namespace that is not, or no more, the one of this name. */
export const isNameless = (pid: number, namespace: string): boolean => {
  const inode = inodeOf(pid);
  const named = statSync(namespacePath(namespace), { throwIfNoEntry: false })?.ino;
  return inode !== null && inode !== inodeOf(process.pid) && inode !== named;
};

/** Kills all processes that share a namespace with this one, unless that is our own, or the one of this name. */
export const endNamespaceOf = (pid: number, namespace: string): void => {
  const inode = inodeOf(pid);
  if (inode === null || !isNameless(pid, namespace)) return;
  for (const other of processesByNamespace().get(inode) ?? []) signal(other, 'SIGKILL');
};

const namesIn = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

const recordIn = (file: string): ProcessIdentity | null => {
  try {
    const { pid, startTime } = JSON.parse(readFileSync(file, 'utf8')) as Partial<ProcessIdentity>;
    return Number.isInteger(pid) && Number.isFinite(startTime)
      ? ({ pid, startTime } as ProcessIdentity)
      : null;
  } catch {
    return null;
  }
};

/**
 * Kills what runs in a namespace that has lost its name, found by the processes on record in the machine's folder and, one
 * folder deeper, of its services. They keep the nameless namespace and its devices alive, and would for ever.
 */
export const endNamelessOf = (directory: string, namespace: string): void => {
  const files = namesIn(directory).flatMap((name) =>
    name === 'daemon.json' || name.endsWith('.client.json')
      ? [join(directory, name)]
      : [join(directory, name, 'process.json')],
  );
  for (const file of files) {
    const recorded = recordIn(file);
    if (recorded !== null && isAlive(recorded)) endNamespaceOf(recorded.pid, namespace);
  }
};
