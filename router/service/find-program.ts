/** Programs among the processes of this machine, by their command lines. */
import { processStartTime } from 'node-netlink';
import type { System } from '../system.ts';
import type { Program } from './program.ts';
import type { Process } from './succession.ts';

type Files = Pick<System['files'], 'read' | 'list'>;

/** Empty when the process is gone, or going. */
const procFile = async (files: Files, pid: number, name: 'cmdline' | 'stat'): Promise<string> => {
  try {
    return (await files.read(`/proc/${pid}/${name}`)) ?? '';
  } catch {
    return '';
  }
};

/** Whether a process was started with the command line of `program`. */
export const runsProgram = async (files: Files, pid: number, program: Program): Promise<boolean> => {
  const command = await procFile(files, pid, 'cmdline');
  const [path, ...args] = command.split('\0');
  return path === program.path && program.marks.every((mark) => args.includes(mark));
};

/** The program that was started by a daemon which ended before it could write its pid down; `others` of its kind are known. */
export const findProgram = async (
  files: Files,
  program: Program,
  others: readonly Process[],
): Promise<Process | null> => {
  for (const name of await files.list('/proc')) {
    const pid = Number(name);
    if (
      !Number.isInteger(pid) ||
      others.some((other) => other.pid === pid) ||
      !(await runsProgram(files, pid, program))
    )
      continue;
    // Programs are started as leaders of sessions (proc_pid_stat(5), field 6); their workers have the same command line.
    const fields = (await procFile(files, pid, 'stat')).replace(/^.*\) /s, '').split(' ');
    const startTime = processStartTime(pid);
    if (Number(fields[3]) === pid && startTime !== null) return { pid, startTime };
  }
  return null;
};
