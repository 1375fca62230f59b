import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { CliError } from '../connection.ts';

/** Runs a program inside a network namespace of this machine, on this terminal. Resolves with its exit code. */
export const execInNamespace = (namespace: string, command: readonly string[]): Promise<number> => {
  if (process.getuid?.() !== 0)
    throw new CliError('not-root', 'Programs are run inside machines as root', 'Run this with sudo.');
  if (!existsSync(`/run/netns/${namespace}`)) {
    throw new CliError(
      'not-here',
      `There is no machine ${namespace} on this host`,
      'Run this on the host where the machine runs ("selvage instance show ID" names it), while it runs.',
    );
  }
  return new Promise((resolve, reject) => {
    const child = spawn('/usr/sbin/ip', ['netns', 'exec', namespace, ...command], { stdio: 'inherit' });
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 128)));
  });
};
