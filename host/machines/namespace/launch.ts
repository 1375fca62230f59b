import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { namespaces, processStartTime } from 'node-netlink';
import { printed, type RunOnceBounds } from '../run-once.ts';
import type { ProcessIdentity } from './processes.ts';

export interface LaunchedProgram {
  /** Name of the network namespace it runs in. */
  readonly namespace: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** File its output is added to. */
  readonly log: string;
}

/** A log that grew beyond this, bytes, is begun anew at the next start. */
const LOG_LIMIT = 16 * 1024 * 1024;

const openLog = (path: string): number => {
  let flags = 'a';
  try {
    if (statSync(path).size > LOG_LIMIT) flags = 'w';
  } catch {
    // There is none yet.
  }
  return openSync(path, flags, 0o600);
};

/** Starts a program in a network namespace; it lives on without us. `onError`: it could not be run after all. */
export const launch = (
  { namespace, program, args, env, log }: LaunchedProgram,
  onError: (error: Error) => void,
): ProcessIdentity => {
  mkdirSync(dirname(log), { recursive: true, mode: 0o700 });
  const output = openLog(log);
  try {
    // A fork made while this thread is in the namespace lives there.
    const child = namespaces.run(namespace, () =>
      spawn(program, args, { detached: true, stdio: ['ignore', output, output], env, cwd: '/' }),
    );
    // Without a listener a program that cannot be started would be an uncaught error; its end is seen anyway.
    child.on('error', onError);
    child.unref();
    if (child.pid === undefined) throw new Error(`${program} cannot be run`);
    return { pid: child.pid, startTime: processStartTime(child.pid) ?? 0 };
  } finally {
    closeSync(output);
  }
};

/** Runs a program in a network namespace with more arguments, for what it prints. Rejects with {@link RunOnceError}; it goes with us. */
export const runProgramOnce = (
  { namespace, program, args, env }: LaunchedProgram,
  more: readonly string[],
  bounds: RunOnceBounds,
): Promise<Buffer> => {
  const child = namespaces.run(namespace, () =>
    spawn(program, [...args, ...more], { stdio: ['ignore', 'pipe', 'pipe'], env, cwd: '/' }),
  );
  return printed(child, bounds);
};
