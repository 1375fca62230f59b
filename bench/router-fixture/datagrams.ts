/**
 * Datagram sockets that block: for round trips of a few microseconds an event loop would measure itself. Only for a
 * process that has nothing else to do meanwhile.
 */
import koffi from 'koffi';
import { namespaces } from 'node-netlink';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVTIMEO = 20;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const bind = libc.func('int bind(int, const void *, unsigned int)');
const connect = libc.func('int connect(int, const void *, unsigned int)');
const setsockopt = libc.func('int setsockopt(int, int, int, const void *, unsigned int)');
const send = libc.func('long send(int, const void *, size_t, int)');
const receive = libc.func('long recv(int, void *, size_t, int)');
const receiveFrom = libc.func('long recvfrom(int, void *, size_t, int, void *, void *)');
const sendTo = libc.func('long sendto(int, const void *, size_t, int, const void *, unsigned int)');
const close = libc.func('int close(int)');
const getAffinity = libc.func('int sched_getaffinity(int, size_t, void *)');
const setAffinity = libc.func('int sched_setaffinity(int, size_t, const void *)');

const checked = (result: number, what: string): number => {
  if (result < 0) throw new Error(`${what}: errno ${koffi.errno()}`);
  return result;
};

/** struct sockaddr_in (ip(7)). */
const socketAddress = (address: string, port: number): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  for (const [index, octet] of address.split('.').entries()) bytes[4 + index] = Number(octet);
  return bytes;
};

/** struct timeval of 64-bit machines. */
const interval = (ms: number): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.writeBigInt64LE(BigInt(Math.floor(ms / 1000)), 0);
  bytes.writeBigInt64LE(BigInt((ms % 1000) * 1000), 8);
  return bytes;
};

const bound = (port: number, timeout: number): number => {
  const fd = checked(socket(AF_INET, SOCK_DGRAM, 0) as number, 'socket');
  checked(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, Buffer.from([1, 0, 0, 0]), 4) as number, 'SO_REUSEADDR');
  checked(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, interval(timeout), 16) as number, 'SO_RCVTIMEO');
  checked(bind(fd, socketAddress('0.0.0.0', port), 16) as number, `bind to port ${port}`);
  return fd;
};

/** Bytes of a cpu_set_t (sched_setaffinity(2)): 1024 processors. */
const CPU_SET = 128;

const affinity = (): Buffer => {
  const set = Buffer.alloc(CPU_SET);
  checked(getAffinity(0, CPU_SET, set) as number, 'sched_getaffinity');
  return set;
};

/** Keeps this thread on the last of its processors, which the other end of a round trip chooses too. */
const pin = (): void => {
  const allowed = affinity();
  const last = allowed.findLastIndex((byte) => byte !== 0);
  const one = Buffer.alloc(CPU_SET);
  one[last] = 1 << (31 - Math.clz32(allowed[last] ?? 1));
  checked(setAffinity(0, CPU_SET, one) as number, 'sched_setaffinity');
};

/**
 * Runs a section on the processor where {@link echo} answers. Otherwise the scheduler moves the two ends together and
 * apart as it likes, which makes a round trip take 20 us at one time and 45 us at another.
 */
export const onEchoProcessor = <Result>(section: () => Result): Result => {
  const before = affinity();
  pin();
  try {
    return section();
  } finally {
    setAffinity(0, CPU_SET, before);
  }
};

/** A client's socket, made in a namespace. */
export class Datagrams {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(64);

  /** `timeout` is the longest wait for an answer, ms; `port` the source port, any when absent. */
  constructor(
    namespace: string,
    to: { readonly address: string; readonly port: number },
    options: { readonly timeout?: number; readonly port?: number } = {},
  ) {
    const { timeout = 200, port = 0 } = options;
    this.#fd = namespaces.run(namespace, () => bound(port, timeout));
    checked(connect(this.#fd, socketAddress(to.address, to.port), 16) as number, 'connect');
  }

  /** Sends one datagram and waits for its answer: microseconds, null when none came. */
  roundTrip(): number | null {
    const started = process.hrtime.bigint();
    // What is refused (ICMP) is an answer that did not come.
    const failed =
      Number(send(this.#fd, this.#buffer, 32, 0)) < 0 || Number(receive(this.#fd, this.#buffer, 64, 0)) < 0;
    const ended = process.hrtime.bigint();
    return failed ? null : Number(ended - started) / 1000;
  }

  close(): void {
    close(this.#fd);
  }
}

/** Answers every datagram to a port with itself, until the process that started this one is gone. */
export const echo = (port: number): never => {
  const parent = process.ppid;
  pin();
  const fd = bound(port, 1000);
  const buffer = Buffer.alloc(2048);
  const from = Buffer.alloc(16);
  const length = Buffer.alloc(4);
  while (process.ppid === parent) {
    length.writeUInt32LE(16, 0);
    const got = Number(receiveFrom(fd, buffer, 2048, 0, from, length));
    if (got >= 0) sendTo(fd, buffer, got, 0, from, 16);
  }
  process.exit(0);
};
