import { chmod, mkdir, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

/** Search permission for everyone: who knows a name below can go there, nobody can list. */
const SEARCH = 0o111;

/** The folders that belong to the state directory on the way to a router's own: `STATE/host/routers/<id>`. */
const ownAncestors = (directory: string): string[] => {
  const routers = dirname(directory);
  const host = dirname(routers);
  return basename(routers) === 'routers' && basename(host) === 'host'
    ? [dirname(host), host, routers, directory]
    : [directory];
};

/** First folder on the way to `path` that other users may not pass through, null when there is none. */
const closedAncestor = async (path: string): Promise<string | null> => {
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    const { mode } = await stat(folder);
    if ((mode & 0o001) === 0) return folder;
  }
  return null;
};

/**
 * Makes `folder` below the router's directory reachable for a daemon that has given up root, and says whether it is.
 *
 * dnsmasq opens its sockets and its lease file as root, but reads its hosts files again, by path, after it became the
 * user dnsmasq. Every folder on the way therefore needs search permission (not read permission: nothing can be listed,
 * and what is secret is 0600 or lies in a folder of 0700). We give it to the folders that are the state directory's own
 * and to no other: when somebody keeps the state under a closed home directory, the answer is that folder's name.
 */
export const makeReachable = async (routerDirectory: string, folder: string): Promise<string | null> => {
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o755);
  for (const path of ownAncestors(routerDirectory)) {
    const { mode } = await stat(path);
    if ((mode & SEARCH) !== SEARCH) await chmod(path, (mode & 0o7777) | SEARCH);
  }
  return closedAncestor(folder);
};
