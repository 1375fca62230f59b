import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Namespace } from './namespace.ts';

const program = fileURLToPath(new URL('./echo-program.ts', import.meta.url));

/** Starts a process in a namespace that answers every datagram to a port. It ends with the namespace or with this process. */
export const startEcho = async (namespace: Namespace, port: number): Promise<ChildProcess> => {
  const args = ['netns', 'exec', namespace.name, process.execPath, '--no-warnings', program, String(port)];
  const child = spawn('/usr/sbin/ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.unref();
  child.stdout.destroy();
  return child;
};
