/** All that a stack has in the kernel, in processes and on disk for its machines, and what of it is more than before. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fdb, links, openRouteSocket } from 'node-netlink';
import { argumentsOf, processesByNamespace, processesIn } from '../../host/machines/namespace/processes.ts';
import { fabricNamespace, namespaceDirectory, namespaceEtc } from '../../host/names.ts';
import type { TestStack } from '../../test/system/stack.ts';

/** Names of all there is, those of routers without their ids: the same for one router as for its successor. */
export type Footprint = readonly string[];

/** What an exchange leaves to be done: namespaces are taken apart in the background, journals are folded. */
const PATIENCE = 30_000;

const namesIn = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

/** Pids of everything that was started for a router, wherever it is: also where its namespace has no name any more. */
const processesOf = (directory: string): readonly number[] =>
  readdirSync('/proc').flatMap((name) => {
    try {
      const own = /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(directory);
      return own ? [Number(name)] : [];
    } catch {
      // It ended meanwhile.
      return [];
    }
  });

/** Looks at all of it, without touching anything. */
export const footprint = (stack: TestStack): Footprint => {
  const found: string[] = [];
  const routers = join(stack.state, 'host/routers');
  const own = (name: string): boolean => name.startsWith(`${stack.prefix}-`);
  const namespaces = readdirSync(namespaceDirectory).filter(own);
  const processes = new Set(processesOf(`${routers}/`));
  const byNamespace = processesByNamespace();
  for (const namespace of namespaces) {
    found.push(`namespace ${namespace}`);
    for (const pid of processesIn(namespace, byNamespace)) processes.add(pid);
    using route = openRouteSocket({ netns: namespace });
    for (const { kind, name } of route.dump(links.dump())) {
      // In the fabric every router's ports have names of their own.
      const isFabric = namespace === fabricNamespace(stack.prefix);
      found.push(`device ${isFabric ? `of kind ${kind}` : name} in ${namespace}`);
    }
    // Learned ones age by themselves.
    for (const { state, sticky } of route.dump(fdb.dump()).filter((entry) => entry.state !== 'dynamic'))
      found.push(`${sticky ? 'sticky ' : ''}${state} entry in ${namespace}`);
  }
  for (const pid of processes) {
    const [program = '', script = ''] = argumentsOf(pid);
    found.push(`process ${basename(program)} ${script.startsWith('/') ? basename(script) : ''}`.trim());
  }
  for (const name of namesIn(namespaceEtc).filter(own)) found.push(`${namespaceEtc}/${name}`);
  for (const file of readdirSync(routers, { recursive: true }) as string[]) found.push(`file ${file}`);
  return found.map((name) => name.replaceAll(/rtr-[0-9a-z]+/g, 'rtr')).toSorted();
};

/** Null when something went while it was looked at. */
const lookedAt = (stack: TestStack): Footprint | null => {
  try {
    return footprint(stack);
  } catch {
    return null;
  }
};

/** The same once nothing has changed in it for two seconds. */
export const settledFootprint = async (stack: TestStack): Promise<Footprint> => {
  const deadline = performance.now() + PATIENCE;
  let last: Footprint | null = null;
  let since = performance.now();
  for (;;) {
    const now = lookedAt(stack);
    if (now === null || now.join() !== last?.join()) {
      last = now;
      since = performance.now();
    } else if (performance.now() - since > 2000) return now;
    if (performance.now() > deadline) throw new Error('what there is for machines does not come to rest');
    await sleep(250);
  }
};

/** What is in `after` more often than in `before`. Pure. */
export const leftBehind = (before: Footprint, after: Footprint): Footprint => {
  const known = new Map<string, number>();
  for (const name of before) known.set(name, (known.get(name) ?? 0) + 1);
  return after.filter((name) => {
    const left = known.get(name) ?? 0;
    known.set(name, left - 1);
    return left <= 0;
  });
};

/** What is left behind once everything has had its time to go. */
export const leftBehindSince = async (stack: TestStack, before: Footprint): Promise<Footprint> => {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const now = lookedAt(stack);
    const left = now === null ? ['something that does not stand still'] : leftBehind(before, now);
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(500);
  }
};
