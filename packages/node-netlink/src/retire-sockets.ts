/** Takes the ports of a program that is about to be replaced from it, while it goes on with what it has received. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { lastError, lastErrno, libc } from './libc.ts';
import { NetlinkError } from './netlink-error.ts';
import { processStartTime } from './watch-process.ts';

const SHUT_RDWR = 2;
/** State of a listening socket in /proc/net/tcp (include/net/tcp_states.h). */
const TCP_LISTEN = '0A';
/** Nobody sends from there: port 9 of the loopback interface, "discard" (RFC 863). */
const NOWHERE: Readonly<Record<'udp' | 'udp6', Buffer>> = {
  // sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)).
  udp: Buffer.from([2, 0, 0, 9, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
  udp6: Buffer.from([10, 0, 0, 9, ...Array.from({ length: 19 }, () => 0), 1, 0, 0, 0, 0]),
};

/** Ports of a program. */
export interface RetiredPorts {
  /** Listeners on this TCP port stop listening; connections that were accepted go on. */
  readonly tcp?: number;
  /** Sockets bound to this UDP port receive nothing any more. */
  readonly udp?: number;
}

/** Whose ports are taken. */
export interface PortOwner {
  readonly pid: number;
  /** Ticks since boot (proc_pid_stat(5), field 22): tells the process from a later one with its pid. Whoever has it if left out. */
  readonly startTime?: number;
}

/** Inodes of the sockets of a process's namespace on a port, by /proc/PID/net. */
const inodesOn = (pid: number, table: 'tcp' | 'tcp6' | 'udp' | 'udp6', port: number): ReadonlySet<string> => {
  let text = '';
  try {
    text = readFileSync(`/proc/${pid}/net/${table}`, 'utf8');
  } catch {
    // A kernel without IPv6, or a process that is gone.
  }
  const inodes = new Set<string>();
  for (const line of text.split('\n').slice(1)) {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
    if (inode === undefined || Number.parseInt(local.split(':')[1] ?? '', 16) !== port) continue;
    if (table.startsWith('tcp') && state !== TCP_LISTEN) continue;
    inodes.add(inode);
  }
  return inodes;
};

/** Descriptors of a process that are sockets: inode to number. */
const socketsOf = (pid: number): ReadonlyMap<string, number> =>
  new Map(
    readdirSync(`/proc/${pid}/fd`).flatMap((name): (readonly [string, number])[] => {
      try {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))?.[1];
        return inode === undefined ? [] : [[inode, Number(name)]];
      } catch {
        // It was closed meanwhile.
        return [];
      }
    }),
  );

/**
 * Connects a socket that was a listener with itself (RFC 9293, 3.5, simultaneous open). Left closed it would be readable for
 * ever, and keep its process busy with nothing to accept. Connected it is silent; that is all, so how it ends is not asked.
 */
const occupy = (fd: number): void => {
  const { connect, getsockname } = libc();
  const address = Buffer.alloc(28);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(address.length);
  if (getsockname(fd, address, length) === 0) connect(fd, address, length.readUInt32LE());
};

/**
 * Finds the sockets of a running process on some ports, and returns what takes the ports from it: they are free for a
 * successor then. Returns how many sockets that were. Finding is slow, taking is quick. The process itself is not asked: its sockets
 * are reached through pidfd_getfd(2), which takes the right to trace it (ptrace(2)); it goes on with the connections it has,
 * and nobody new comes to it.
 *
 * @throws {NetlinkError} what is returned, when the process is gone (ESRCH) or the kernel forbids it; nothing, or a part, was
 *   taken then.
 */
export const retireSockets = ({ pid, startTime }: PortOwner, { tcp, udp }: RetiredPorts): (() => number) => {
  const sockets = socketsOf(pid);
  const found = (
    [
      ['tcp', tcp],
      ['tcp6', tcp],
      ['udp', udp],
      ['udp6', udp],
    ] as const
  ).flatMap(([table, port]) =>
    port === undefined
      ? []
      : [...inodesOn(pid, table, port)].flatMap((inode) => {
          const number = sockets.get(inode);
          return number === undefined ? [] : [{ table, number }];
        }),
  );
  return () => {
    const { close, connect, pidfdGetfd, pidfdOpen, shutdown } = libc();
    const taken = (result: number): number => {
      if (result < 0 && lastErrno() !== 'ENOTCONN') throw lastError(`retire sockets of ${pid}`);
      return result;
    };
    const process = taken(pidfdOpen(pid));
    try {
      // After it was opened: from here on the descriptor means that process, and no later one.
      if (startTime !== undefined && processStartTime(pid) !== startTime)
        throw new NetlinkError({ request: `retire sockets of ${pid}`, errno: 'ESRCH' });
      for (const { table, number } of found) {
        const fd = taken(pidfdGetfd(process, number));
        try {
          if (table === 'tcp' || table === 'tcp6') {
            taken(shutdown(fd, SHUT_RDWR));
            occupy(fd);
          } else taken(connect(fd, NOWHERE[table], NOWHERE[table].length));
        } finally {
          close(fd);
        }
      }
      return found.length;
    } finally {
      close(process);
    }
  };
};
