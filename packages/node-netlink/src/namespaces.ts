/** Network namespaces with names, as ip-netns(8) keeps them: files in /run/netns. */
import { closeSync, mkdirSync, openSync, readdirSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import {
  CLONE_NEWNET,
  inNamespace,
  namespacePath,
  openOwnNamespace,
  returnTo,
  RUN_NETNS,
} from './in-namespace.ts';
import { checked, lastErrno, lastError, libc } from './libc.ts';
import { links } from './links.ts';
import { NetlinkError } from './netlink-error.ts';
import { openRouteSocket } from './route-socket.ts';

const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 0x100000;
const MNT_DETACH = 2;
const NSFS_MAGIC = 0x6e736673;

export interface NamespaceOptions {
  /** Whether its loopback is brought up; off when absent, as with `ip netns add`. */
  readonly loopbackUp?: boolean | undefined;
}

const isNamespace = (path: string): boolean => {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch {
    return false;
  }
};

/** Names are visible in every mount namespace only when the directory is a shared mount; ip(8) does the same. */
const prepareDirectory = (): void => {
  mkdirSync(RUN_NETNS, { recursive: true, mode: 0o755 });
  const { mount } = libc();
  if (mount('', RUN_NETNS, 'none', MS_SHARED | MS_REC, null) === 0) return;
  if (lastErrno() !== 'EINVAL') throw lastError(`share ${RUN_NETNS}`);
  checked(mount(RUN_NETNS, RUN_NETNS, 'none', MS_BIND | MS_REC, null), `bind ${RUN_NETNS}`);
  checked(mount('', RUN_NETNS, 'none', MS_SHARED | MS_REC, null), `share ${RUN_NETNS}`);
};

/** Makes the calling thread enter a new namespace, names it, and comes back. */
const bindNew = (path: string, request: string): void => {
  const own = openOwnNamespace();
  try {
    checked(libc().unshare(CLONE_NEWNET), request);
    try {
      checked(libc().mount('/proc/thread-self/ns/net', path, 'none', MS_BIND, null), request);
    } finally {
      returnTo(own);
    }
  } finally {
    closeSync(own);
  }
};

const create = (name: string, options: NamespaceOptions = {}): void => {
  const request = `create network namespace ${name}`;
  const path = namespacePath(name);
  prepareDirectory();
  try {
    closeSync(openSync(path, 'wx', 0o444));
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    // A file that is no namespace is the remains of a crash between making the file and mounting on it.
    if (errno !== 'EEXIST' || isNamespace(path)) throw new NetlinkError({ request, errno, cause });
  }
  try {
    bindNew(path, request);
    if (options.loopbackUp === true) {
      const socket = openRouteSocket({ netns: name });
      try {
        socket.send(links.set({ name: 'lo', up: true }));
      } finally {
        socket.close();
      }
    }
  } catch (error) {
    if (isNamespace(path)) libc().umount2(path, MNT_DETACH);
    unlinkSync(path);
    throw error;
  }
};

const remove = (name: string): void => {
  const request = `remove network namespace ${name}`;
  const path = namespacePath(name);
  if (libc().umount2(path, MNT_DETACH) !== 0) {
    const error = lastError(request);
    // EINVAL: not mounted, so only the file of a crashed creation is left.
    if (error.errno !== 'EINVAL') throw error;
  }
  try {
    unlinkSync(path);
  } catch (cause) {
    throw new NetlinkError({ request, errno: (cause as NodeJS.ErrnoException).code ?? 'EIO', cause });
  }
};

const list = (): string[] => {
  let names: string[];
  try {
    names = readdirSync(RUN_NETNS);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return names.filter((name) => isNamespace(`${RUN_NETNS}/${name}`)).toSorted();
};

/** `net.ipv4.ip_forward`, or with slashes where a name holds dots: `net/ipv4/conf/eth0.100/forwarding`. */
const sysctlPath = (key: string): string => {
  const parts = key.includes('/') ? key.split('/') : key.split('.');
  const sound = parts.every((part) => /^[A-Za-z0-9_.@:-]{1,64}$/.test(part) && part !== '.' && part !== '..');
  if (parts[0] !== 'net' || parts.length < 2 || !sound) {
    throw new NetlinkError({
      request: `set sysctl ${key}`,
      errno: 'EINVAL',
      kernelMessage: 'not a key below net',
    });
  }
  return `/proc/sys/${parts.join('/')}`;
};

const sysctl = (name: string, values: Readonly<Record<string, string | number>>): void => {
  const writes = Object.entries(values).map(([key, value]) => ({
    key,
    path: sysctlPath(key),
    value: String(value),
  }));
  inNamespace(name, () => {
    for (const { key, path, value } of writes) {
      try {
        // /proc/sys/net shows the namespace of the thread that opens the file: writeFileSync runs on this one.
        writeFileSync(path, value);
      } catch (cause) {
        const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
        throw new NetlinkError({ request: `set sysctl ${key} in ${name}`, errno, cause });
      }
    }
  });
};

/** Named network namespaces. All calls are synchronous and leave the calling thread where it was. */
export const namespaces = {
  /** Makes one, empty; `netlink-exists` when the name is taken. */
  create,
  /**
   * Takes its name away; `netlink-not-found` when there is none. The kernel frees it, some time later, when no process,
   * socket or descriptor is left in it: end its processes first.
   */
  remove,
  /** Names of all, sorted. */
  list,
  /** Whether there is one of this name. */
  exists: (name: string): boolean => isNamespace(namespacePath(name)),
  /**
   * Runs a synchronous section with the calling thread inside (by name or path) and returns what it returns. What is
   * left for later (promises, `net.connect`, DNS) happens outside; child processes spawned in it live inside. Start
   * nothing asynchronous in it: threads libuv makes meanwhile would stay inside. The process aborts if it cannot come back.
   */
  run: inNamespace,
  /** Writes settings below `net`. Throws `netlink-not-found` for a key that this kernel has not; those before it are written. */
  sysctl,
};
