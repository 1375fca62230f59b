/** Errors of the kernel, with its own text (extended acknowledgement) when it gave one. */
import { constants } from 'node:os';

/** What kind of refusal this is; stable across kernels, unlike the message. */
export type NetlinkErrorCode =
  | 'netlink-exists'
  | 'netlink-not-found'
  | 'netlink-busy'
  | 'netlink-unsupported'
  | 'netlink-invalid'
  | 'netlink-forbidden'
  | 'netlink-unreachable'
  | 'netlink-overrun'
  | 'netlink-timeout'
  | 'netlink-interrupted'
  | 'netlink-closed'
  | 'netlink-failed';

const codeByErrno: Readonly<Record<string, NetlinkErrorCode>> = {
  EEXIST: 'netlink-exists',
  ENOENT: 'netlink-not-found',
  ESRCH: 'netlink-not-found',
  ENODEV: 'netlink-not-found',
  ENXIO: 'netlink-not-found',
  EADDRNOTAVAIL: 'netlink-not-found',
  EBUSY: 'netlink-busy',
  EOPNOTSUPP: 'netlink-unsupported',
  ENOTSUP: 'netlink-unsupported',
  EPROTONOSUPPORT: 'netlink-unsupported',
  EAFNOSUPPORT: 'netlink-unsupported',
  EINVAL: 'netlink-invalid',
  ERANGE: 'netlink-invalid',
  EMSGSIZE: 'netlink-invalid',
  EPERM: 'netlink-forbidden',
  EACCES: 'netlink-forbidden',
  ENETUNREACH: 'netlink-unreachable',
  EHOSTUNREACH: 'netlink-unreachable',
  ENETDOWN: 'netlink-unreachable',
  ENOBUFS: 'netlink-overrun',
  EAGAIN: 'netlink-timeout',
  EINTR: 'netlink-interrupted',
  EBADF: 'netlink-closed',
};

const nameByNumber = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  if (!nameByNumber.has(number)) nameByNumber.set(number, name);
}
// 95 has two names; the kernel's own is EOPNOTSUPP (errno(3)).
nameByNumber.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');
nameByNumber.set(constants.errno.EAGAIN, 'EAGAIN');

/** The symbolic name of an errno value, as in errno(3); `E<number>` if Node does not know it. */
export const errnoName = (errno: number): string => nameByNumber.get(errno) ?? `E${errno}`;

/** What a {@link NetlinkError} is made from. */
export interface NetlinkErrorOptions {
  /** What was asked for, in words. */
  readonly request: string;
  /** Symbolic errno, such as `EEXIST`. */
  readonly errno: string;
  /** The kernel's extended acknowledgement, when there was one. */
  readonly kernelMessage?: string | undefined;
  readonly cause?: unknown;
}

/** A request that the kernel (or the check before it) refused. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  /** Stable class of the refusal. */
  readonly code: NetlinkErrorCode;
  /** Symbolic errno, such as `EEXIST`. */
  readonly errno: string;
  /** The kernel's own words, or null. */
  readonly kernelMessage: string | null;
  /** What was asked for, in words. */
  readonly request: string;

  constructor(options: NetlinkErrorOptions) {
    const words = options.kernelMessage === undefined ? '' : ` (${options.kernelMessage})`;
    super(
      `${options.request}: ${options.errno}${words}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = codeByErrno[options.errno] ?? 'netlink-failed';
    this.errno = options.errno;
    this.kernelMessage = options.kernelMessage ?? null;
    this.request = options.request;
  }
}

/** A request refused before it reached the kernel, because it cannot be put into a message. */
export const invalidRequest = (request: string, why: string): NetlinkError =>
  new NetlinkError({ request, errno: 'EINVAL', kernelMessage: why });

/** Any error as that of a request: errors of encoding carry the words of the codec, here they get those of the request. */
export const errorOf = (error: unknown, request: string): NetlinkError => {
  if (!(error instanceof NetlinkError)) {
    return new NetlinkError({ request, errno: 'EINVAL', kernelMessage: String(error), cause: error });
  }
  if (error.request === request) return error;
  return new NetlinkError({
    request,
    errno: error.errno,
    kernelMessage: error.kernelMessage ?? error.request,
    cause: error,
  });
};
