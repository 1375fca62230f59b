import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { INTERNET, UPLINK } from './up.ts';

const IP = '/usr/sbin/ip';

/** Pids of all processes in a namespace. */
const pidsIn = (namespace: string): number[] =>
  spawnSync(IP, ['netns', 'pids', namespace], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((line) => line !== '')
    .map(Number);

/** Takes the lab down: its processes, its machine, its files. Routers, networks and the public range stay. Twice is harmless. */
export const labDown = async ({
  state,
  prefix,
  tell,
}: {
  readonly state: string;
  readonly prefix: string;
  readonly tell: (message: string) => void;
}): Promise<void> => {
  const namespace = `${prefix}-${INTERNET}`;
  if (existsSync(`/run/netns/${namespace}`)) {
    for (const pid of pidsIn(namespace)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone by itself in between.
      }
    }
    // A namespace lives on while a device of it is seen elsewhere: the veth first.
    spawnSync(IP, ['-n', `${prefix}-fabric`, 'link', 'del', UPLINK]);
    spawnSync(IP, ['netns', 'del', namespace]);
  }
  rmSync(resolve(state, 'lab'), { recursive: true, force: true });
  rmSync(`/etc/netns/${namespace}`, { recursive: true, force: true });
  tell('the lab is down');
};
