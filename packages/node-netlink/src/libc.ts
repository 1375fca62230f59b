/** The handful of C library functions this package calls, through koffi. Linux only, 64 bit. */
import koffi from 'koffi';
import { errnoName, NetlinkError } from './netlink-error.ts';

interface LibC {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Buffer, length: number): number;
  setsockopt(fd: number, level: number, option: number, value: Buffer, length: number): number;
  send(fd: number, buffer: Buffer, length: number, flags: number): number;
  recv(fd: number, buffer: Buffer, length: number, flags: number): number;
  ioctl(fd: number, request: number, argument: Buffer): number;
  ioctlNumber(fd: number, request: number, argument: number): number;
  close(fd: number): number;
  setns(fd: number, kind: number): number;
  unshare(flags: number): number;
  mount(source: string | null, target: string, type: string | null, flags: number, extra: null): number;
  umount2(target: string, flags: number): number;
  pidfdOpen(pid: number): number;
  pidfdGetfd(process: number, fd: number): number;
  shutdown(fd: number, how: number): number;
  connect(fd: number, address: Buffer, length: number): number;
  getsockname(fd: number, address: Buffer, length: Buffer): number;
  mallocTrim(pad: number): number;
}

let loaded: LibC | undefined;

/** Loaded at first use, so that importing the package has no effect. */
export const libc = (): LibC => {
  if (loaded !== undefined) return loaded;
  const library = koffi.load('libc.so.6');
  const syscall = library.func('long syscall(long number, int pid, unsigned int flags)');
  const syscall3 = library.func('long syscall(long number, int first, int second, unsigned int third)');
  const integer = library.func('int ioctl(int fd, unsigned long request, long argument)');
  loaded = {
    socket: library.func('int socket(int domain, int type, int protocol)'),
    bind: library.func('int bind(int fd, const void *address, unsigned int length)'),
    setsockopt: library.func(
      'int setsockopt(int fd, int level, int option, const void *value, unsigned int length)',
    ),
    send: library.func('long send(int fd, const void *buffer, size_t length, int flags)'),
    recv: library.func('long recv(int fd, void *buffer, size_t length, int flags)'),
    ioctl: library.func('int ioctl(int fd, unsigned long request, void *argument)'),
    ioctlNumber: integer,
    close: library.func('int close(int fd)'),
    setns: library.func('int setns(int fd, int kind)'),
    unshare: library.func('int unshare(int flags)'),
    mount: library.func(
      'int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *extra)',
    ),
    umount2: library.func('int umount2(const char *target, int flags)'),
    mallocTrim: library.func('int malloc_trim(size_t pad)'),
    shutdown: library.func('int shutdown(int fd, int how)'),
    getsockname: library.func('int getsockname(int fd, void *address, void *length)'),
    connect: library.func('int connect(int fd, const void *address, unsigned int length)'),
    // 434 on every architecture: pidfd_open came after the numbers were unified.
    pidfdOpen: (pid) => Number(syscall(434, pid, 0)),
    pidfdGetfd: (process, fd) => Number(syscall3(438, process, fd, 0)),
  };
  return loaded;
};

/** The symbolic errno of the last call on this thread. */
export const lastErrno = (): string => errnoName(koffi.errno());

/** The error of the last call on this thread, as a {@link NetlinkError}. */
export const lastError = (request: string, kernelMessage?: string): NetlinkError =>
  new NetlinkError({ request, errno: lastErrno(), kernelMessage });

/** The result of a call, or an error when it is negative. */
export const checked = (result: number, request: string): number => {
  if (result < 0) throw lastError(request);
  return result;
};
