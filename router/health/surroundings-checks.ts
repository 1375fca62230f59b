import { readFile, statfs } from 'node:fs/promises';
import type { RouterDocument } from 'documents';
import { neighbours } from 'node-netlink';
import { standsBy } from '../handover/standing-by.ts';
import type { System } from '../system.ts';
import { type Finding, finding } from './finding.ts';

const MEGABYTE = 1024 * 1024;
/** CloudStack's router fails below 100 MB (router.health.checks.free.disk.space.threshold). */
const LEAST_DISK = 100 * MEGABYTE;
const LITTLE_DISK = 500 * MEGABYTE;
/** Shares of all memory that should be available. */
const LEAST_MEMORY = 0.02;
const LITTLE_MEMORY = 0.05;

/** Whether traffic to a next hop was answered within the last half minute or so: the kernel knows, and asking it is free. */
const isReachable = (system: System, device: string, gateway: string): boolean => {
  try {
    return system.route
      .dump(neighbours.dump({ dev: device }))
      .some(({ address, state }) => address === gateway && state === 'reachable');
  } catch {
    // No such device: the probe says so.
    return false;
  }
};

/**
 * Each leg's next hop, by ARP: that is what a gateway must answer to be one, whether or not it answers pings. An IPv6 next
 * hop is pinged, which begins with its neighbour discovery.
 */
export const checkGateways = async (system: System, document: RouterDocument): Promise<Finding[]> => {
  const standing = standsBy(system, document);
  return Promise.all(
    document.legs.flatMap(({ device, gateways }) =>
      gateways.map(async (gateway) => {
        const name = `gateway ${device}`;
        // The answer would go to the router that serves.
        if (standing) return finding(name, 'pass', 'standing by: not asked');
        if (isReachable(system, device, gateway)) return finding(name, 'pass', `${gateway} answers`);
        const [program, args] = gateway.includes(':')
          ? ['/usr/bin/ping', ['-6', '-n', '-q', '-c', '1', '-W', '2', '-I', device, gateway]]
          : ['/usr/bin/arping', ['-q', '-f', '-w', '2', '-I', device, gateway]];
        const { exitCode } = await system.exec.run(program as string, args as string[], { timeout: 5_000 });
        return exitCode === 0
          ? finding(name, 'pass', `${gateway} answers`)
          : finding(name, 'fail', `${gateway} does not answer on ${device}`);
      }),
    ),
  );
};

/** Space where the router keeps its files. */
export const checkDisk = async (system: System): Promise<Finding[]> => {
  const { bavail, bsize } = await statfs(system.directory);
  const free = bavail * bsize;
  const status = free < LEAST_DISK ? 'fail' : free < LITTLE_DISK ? 'warn' : 'pass';
  return [finding('disk', status, `${Math.floor(free / MEGABYTE)} MB free at ${system.directory}`)];
};

/** Memory of the machine the router runs on, and how much of it the daemon has. */
export const checkMemory = async (): Promise<Finding[]> => {
  const text = await readFile('/proc/meminfo', 'utf8');
  const kilobytes = (name: string): number =>
    Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN);
  const available = kilobytes('MemAvailable') / kilobytes('MemTotal');
  const status = available < LEAST_MEMORY ? 'fail' : available < LITTLE_MEMORY ? 'warn' : 'pass';
  const own = Math.round(process.memoryUsage.rss() / MEGABYTE);
  return [finding('memory', status, `${Math.round(available * 100)} % available; the daemon has ${own} MB`)];
};
