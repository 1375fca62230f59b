/**
 * Sockets inside other namespaces, without an event loop: opened, written and read by plain system calls that never wait.
 * The kernel notes when a datagram arrived, so that a program that looks late still measures right.
 */
import koffi from 'koffi';
import { familyOf, ipToBigInt, parseIp } from 'ip';
import { namespaces } from 'node-netlink';

/** A socket could not be had, or not be bound or connected. */
export class ProbeSocketError extends Error {
  override readonly name = 'ProbeSocketError';
  readonly code = 'probe-socket';
}

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
/** SOCK_NONBLOCK | SOCK_CLOEXEC */
const FLAGS = 0x800 | 0x80000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUFFORCE = 33;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const CLOCK_REALTIME = 0;
/** struct timespec of the last datagram read from the socket; see socket(7). */
const SIOCGSTAMPNS = 0x8907;
/** What many seconds of datagrams need, should this process be kept from running. */
const RECEIVE_BUFFER = 4 << 20;

interface Calls {
  readonly socket: (domain: number, type: number, protocol: number) => number;
  readonly bind: (fd: number, address: Buffer, length: number) => number;
  readonly connect: (fd: number, address: Buffer, length: number) => number;
  readonly setsockopt: (fd: number, level: number, option: number, value: Buffer, length: number) => number;
  readonly getsockopt: (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;
  readonly send: (fd: number, bytes: Buffer, length: number, flags: number) => number;
  readonly sendto: (
    fd: number,
    bytes: Buffer,
    length: number,
    flags: number,
    to: Buffer,
    toLength: number,
  ) => number;
  readonly recvfrom: (
    fd: number,
    bytes: Buffer,
    length: number,
    flags: number,
    from: Buffer,
    fromLength: Buffer,
  ) => number;
  readonly ioctl: (fd: number, request: number, argument: Buffer) => number;
  readonly time: (clock: number, time: Buffer) => number;
  readonly close: (fd: number) => number;
}

let loaded: Calls | undefined;

const calls = (): Calls => {
  if (loaded !== undefined) return loaded;
  const library = koffi.load('libc.so.6');
  loaded = {
    socket: library.func('int socket(int, int, int)'),
    bind: library.func('int bind(int, const void *, unsigned int)'),
    connect: library.func('int connect(int, const void *, unsigned int)'),
    setsockopt: library.func('int setsockopt(int, int, int, const void *, unsigned int)'),
    getsockopt: library.func('int getsockopt(int, int, int, void *, void *)'),
    send: library.func('long send(int, const void *, size_t, int)'),
    sendto: library.func('long sendto(int, const void *, size_t, int, const void *, unsigned int)'),
    recvfrom: library.func('long recvfrom(int, void *, size_t, int, void *, void *)'),
    ioctl: library.func('int ioctl(int, unsigned long, void *)'),
    time: library.func('int clock_gettime(int, void *)'),
    close: library.func('int close(int)'),
  };
  return loaded;
};

const stamp = Buffer.alloc(16);
const millisecondsIn = (time: Buffer): number =>
  time.readUInt32LE(0) * 1000 + time.readInt32LE(4) * 4_294_967_296_000 + time.readUInt32LE(8) / 1e6;

/** ms since the epoch by the clock of the kernel's notes, to the nanosecond. */
export const realTime = (): number => {
  calls().time(CLOCK_REALTIME, stamp);
  return millisecondsIn(stamp);
};

const integer = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};

/** struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)). */
const socketAddress = (text: string, port: number): Buffer => {
  const address = parseIp(text);
  if (address === null) throw new ProbeSocketError(`${JSON.stringify(text)} is no address`);
  const four = familyOf(address) === 4;
  const bytes = Buffer.alloc(four ? 16 : 28);
  bytes.writeUInt16LE(four ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.write(
    ipToBigInt(address)
      .toString(16)
      .padStart(four ? 8 : 32, '0'),
    four ? 4 : 8,
    'hex',
  );
  return bytes;
};

const open = (domain: number, type: number, setUp: (fd: number) => void): number => {
  const { socket, close } = calls();
  const fd = socket(domain, type | FLAGS, 0);
  if (fd < 0) throw new ProbeSocketError(`socket: errno ${koffi.errno()}`);
  try {
    setUp(fd);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
};

const checked = (result: number, what: string): void => {
  if (result < 0) throw new ProbeSocketError(`${what}: errno ${koffi.errno()}`);
};

const option = (fd: number, level: number, name: number, value: number): void =>
  checked(calls().setsockopt(fd, level, name, integer(value), 4), `socket option ${name}`);

/** Both families: IPv4 comes as mapped addresses. */
const bindAll = (fd: number, port: number): void => {
  option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  checked(calls().bind(fd, socketAddress('::', port), 28), `bind to port ${port}`);
};

/** A datagram as it was read; valid until the next is. */
export interface Received {
  readonly bytes: Buffer;
  /** When it came to the socket, ms since the epoch. */
  readonly at: number;
}

const buffer = Buffer.alloc(2048);
const sender = Buffer.alloc(28);
const senderLength = integer(28);
const arrived = Buffer.alloc(16);

export class DatagramSocket {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
    // Asked once, the kernel notes arrivals from now on. There is none yet: ENOENT.
    calls().ioctl(fd, SIOCGSTAMPNS, arrived);
  }

  /** One that talks to this address only, from a port the kernel chooses. */
  static connected(namespace: string, address: string, port: number): DatagramSocket {
    const to = socketAddress(address, port);
    return new DatagramSocket(
      namespaces.run(namespace, () =>
        open(to.length === 16 ? AF_INET : AF_INET6, SOCK_DGRAM, (fd) => {
          option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
          checked(calls().connect(fd, to, to.length), `connect to ${address}`);
        }),
      ),
    );
  }

  /** One that takes what comes to this port, of both families. */
  static bound(namespace: string, port: number): DatagramSocket {
    return new DatagramSocket(
      namespaces.run(namespace, () =>
        open(AF_INET6, SOCK_DGRAM, (fd) => {
          option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
          bindAll(fd, port);
        }),
      ),
    );
  }

  /** Whether it left. An error that an earlier datagram caused (ICMP) is told with the next one, which then has not left. */
  send(bytes: Buffer): boolean {
    const { send } = calls();
    if (send(this.#fd, bytes, bytes.length, 0) >= 0) return true;
    // A rule of its own namespace took it.
    if (koffi.errno() === koffi.os.errno.EPERM) return false;
    return send(this.#fd, bytes, bytes.length, 0) >= 0;
  }

  /** To where the datagram came from that was read last. */
  answer(bytes: Buffer): void {
    calls().sendto(this.#fd, bytes, bytes.length, 0, sender, 28);
  }

  /** Address of who sent the datagram that was read last: in6_addr, valid until the next is read. Of a {@link bound} one. */
  senderAddress(): Uint8Array {
    return sender.subarray(8, 24);
  }

  /** The next datagram, null when there is none. Its bytes are overwritten by the next. */
  receive(): Received | null {
    const { recvfrom, ioctl } = calls();
    // An error that a datagram of ours caused (ICMP) stands before those that came; it is told once.
    for (let attempt = 0; attempt < 4; attempt += 1) {
      senderLength.writeInt32LE(28);
      const length = recvfrom(this.#fd, buffer, buffer.length, 0, sender, senderLength);
      if (length >= 0) {
        const at = ioctl(this.#fd, SIOCGSTAMPNS, arrived) === 0 ? millisecondsIn(arrived) : realTime();
        return { bytes: buffer.subarray(0, length), at };
      }
      if (koffi.errno() === koffi.os.errno.EAGAIN) return null;
    }
    return null;
  }

  close(): void {
    calls().close(this.#fd);
  }
}

/** Descriptor of a stream socket in that namespace, for Node to connect. */
export const streamSocket = (namespace: string, address: string): number =>
  namespaces.run(namespace, () =>
    open(familyOf(parseIp(address) ?? '') === 4 ? AF_INET : AF_INET6, SOCK_STREAM, () => {}),
  );

/** Descriptor of a stream socket bound to that port in that namespace, for Node to listen on. */
export const boundStreamSocket = (namespace: string, port: number): number =>
  namespaces.run(namespace, () =>
    open(AF_INET6, SOCK_STREAM, (fd) => {
      option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      bindAll(fd, port);
    }),
  );

/** Segments of a connection that had to be sent again (struct tcp_info of linux/tcp.h: tcpi_total_retrans); null when it is not known. */
export const segmentsSentAgain = (fd: number): number | null => {
  const bytes = Buffer.alloc(104);
  const known = calls().getsockopt(fd, IPPROTO_TCP, TCP_INFO, bytes, integer(bytes.length)) === 0;
  return known ? bytes.readUInt32LE(100) : null;
};
