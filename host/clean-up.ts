/** Takes everything of a prefix and its state directory off the machine: the end of a stack, and of tests. */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { links, namespaces, openRouteSocket } from 'node-netlink';
import { endNamelessOf, endProcessesIn } from './machines/namespace/processes.ts';
import {
  belongsToPrefix,
  fabricNamespace,
  machineNamespace,
  namespaceEtc,
  parseDeviceAlias,
} from './names.ts';

export interface CleanUpOptions {
  readonly prefix: string;
  readonly state: string;
}

export interface CleanedUp {
  readonly namespaces: readonly string[];
  /** What could not be removed, one sentence each. */
  readonly failures: readonly string[];
}

const folders = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

/** The ports and bridges go by name and at once; left to the end of the namespace they would go some time later. */
const removeDevices = (namespace: string): void => {
  using route = openRouteSocket({ netns: namespace });
  const ours = route.dump(links.dump()).filter((link) => parseDeviceAlias(link.alias) !== null);
  if (ours.length === 0) return;
  const group = 0x5e18;
  route.batch([...ours.map((link) => links.set({ index: link.index, group })), links.remove({ group })]);
};

/**
 * Removes machines, namespaces, bridges and the files of the host agent, which must have ended. Takes seconds at most,
 * does what it can whatever fails, and says what that was. Calling it again does no harm.
 */
export const cleanUp = async ({ prefix, state }: CleanUpOptions): Promise<CleanedUp> => {
  const host = join(state, 'host');
  const machines = new Set([...folders(join(host, 'machines')), ...folders(join(host, 'routers'))]);
  const names = namespaces.list().filter((name) => belongsToPrefix(prefix, name, machines));
  const failures: string[] = [];
  const fabric = fabricNamespace(prefix);
  // Machines whose namespace lost its name: only their folders know of them.
  for (const kind of ['machines', 'routers'])
    for (const id of folders(join(host, kind)))
      endNamelessOf(join(host, kind, id), machineNamespace(prefix, id));
  const remaining = await Promise.all(names.map((name) => endProcessesIn(name, 0)));
  for (const [index, pids] of remaining.entries()) {
    if (pids.length > 0) failures.push(`Processes ${pids.join(', ')} in ${names[index]} do not end`);
  }
  // The fabric first: its ports take the machines' devices with them.
  for (const name of names.toSorted((a, b) => Number(b === fabric) - Number(a === fabric))) {
    try {
      if (name === fabric) removeDevices(name);
      namespaces.remove(name);
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  const etc = folders(namespaceEtc).filter((name) => belongsToPrefix(prefix, name, machines));
  for (const name of etc) rmSync(join(namespaceEtc, name), { recursive: true, force: true });
  rmSync(host, { recursive: true, force: true });
  return { namespaces: names, failures };
};
