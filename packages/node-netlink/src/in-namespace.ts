/** Runs a synchronous section of code with the calling thread inside another network namespace. */
import { closeSync, openSync } from 'node:fs';
import { checked, lastErrno, libc } from './libc.ts';
import { NetlinkError } from './netlink-error.ts';

export const CLONE_NEWNET = 0x40000000;
export const RUN_NETNS = '/run/netns';

/** The file that stands for a namespace: a path is taken as it is, a name is one of `ip netns`. */
export const namespacePath = (netns: string): string => {
  if (netns.startsWith('/')) return netns;
  if (!/^[^/\s\0]{1,255}$/.test(netns) || netns === '.' || netns === '..') {
    throw new NetlinkError({
      request: 'open network namespace',
      errno: 'EINVAL',
      kernelMessage: `not a namespace name: ${JSON.stringify(netns)}`,
    });
  }
  return `${RUN_NETNS}/${netns}`;
};

/** A descriptor of the namespace; `netlink-not-found` when there is none. */
export const openNamespace = (netns: string): number => {
  const path = namespacePath(netns);
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new NetlinkError({ request: `open network namespace ${netns}`, errno, cause });
  }
};

/** The way back must not fail: a thread left in a foreign namespace would configure the wrong machine. */
export const returnTo = (own: number): void => {
  if (libc().setns(own, CLONE_NEWNET) !== 0) {
    process.stderr.write(
      `node-netlink: cannot return to the original network namespace (${lastErrno()}), aborting\n`,
    );
    process.abort();
  }
};

/** A descriptor of the namespace the calling thread is in. */
export const openOwnNamespace = (): number => openSync('/proc/thread-self/ns/net', 'r');

/**
 * Runs `section` inside the namespace and returns what it returns. The section must be synchronous: what it leaves for
 * later (promises, `net.connect`, `dns.lookup`, asynchronous `fs`) happens outside. Child processes spawned in it live
 * in the namespace.
 */
export const inNamespace = <T>(netns: string, section: () => T): T => {
  const target = openNamespace(netns);
  try {
    const own = openOwnNamespace();
    try {
      checked(libc().setns(target, CLONE_NEWNET), `enter network namespace ${netns}`);
      try {
        const result = section();
        if (result instanceof Promise) {
          throw new TypeError('A section inside a network namespace must be synchronous');
        }
        return result;
      } finally {
        returnTo(own);
      }
    } finally {
      closeSync(own);
    }
  } finally {
    closeSync(target);
  }
};
