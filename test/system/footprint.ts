import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestStack } from './stack.ts';

/** What of a stack is in the kernel and on disk. */
export interface Footprint {
  readonly namespaces: number;
  /** In the fabric. */
  readonly devices: number;
  /** Places of MACs in the fabric. */
  readonly fdb: number;
  /** Folders of routers. */
  readonly routers: number;
  readonly daemons: number;
}

const commandLine = (pid: number): string[] => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
  } catch {
    return [];
  }
};

const pids = (): number[] => readdirSync('/proc').map(Number).filter(Number.isInteger);

/** Everything of a stack in the kernel: namespaces, devices of the fabric, places of MACs, programs of routers. */
export const footprintOf = async (stack: TestStack): Promise<Footprint> => {
  const links = JSON.parse((await stack.run('fabric', ['/usr/sbin/ip', '-j', '-d', 'link'])).stdout) as {
    ifname: string;
  }[];
  const fdb = JSON.parse((await stack.run('fabric', ['/usr/sbin/bridge', '-j', 'fdb'])).stdout) as unknown[];
  return {
    namespaces: readdirSync('/run/netns').filter((name) => name.startsWith(`${stack.prefix}-`)).length,
    devices: links.length,
    fdb: fdb.length,
    routers: readdirSync(join(stack.state, 'host/routers')).length,
    daemons: pids().filter((pid) =>
      commandLine(pid).some((argument) => argument.includes(`${stack.state}/host/routers/`)),
    ).length,
  };
};

/** Pids of a router's programs of that name (`haproxy`, `dnsmasq`). */
export const programsOf = (stack: TestStack, router: string, name: string): number[] =>
  pids().filter((pid) => {
    const line = commandLine(pid);
    return (
      line[0]?.endsWith(`/${name}`) === true &&
      line.some((argument) => argument.includes(`${stack.state}/host/routers/${router}/`))
    );
  });

/** Pid of a router's daemon; none while it has not said so. */
export const daemonOf = (stack: TestStack, router: string): number[] => {
  const file = join(stack.state, 'host/routers', router, 'daemon.json');
  try {
    return existsSync(file) ? [(JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid] : [];
  } catch {
    return [];
  }
};

/** Routers that there are, whatever for. */
export const routersOf = (stack: TestStack): string[] => readdirSync(join(stack.state, 'host/routers'));

/** SIGKILL; one that has ended by itself is none of ours. */
export const killAll = (victims: readonly number[]): void => {
  for (const pid of victims)
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
};

/** Resolves when none of them runs any more, not even as one nobody has waited for. */
export const haveEnded = async (victims: readonly number[]): Promise<void> => {
  const runs = (pid: number): boolean => {
    try {
      return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
    } catch {
      return false;
    }
  };
  for (const deadline = performance.now() + 5000; victims.some(runs); ) {
    if (performance.now() > deadline) throw new Error(`${victims.join(', ')} do not end`);
    await new Promise((done) => setTimeout(done, 2));
  }
};
