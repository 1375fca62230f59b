/** One netlink socket: opening, sending many messages at once, reading answers. Calls are synchronous. */
import { inNamespace } from './in-namespace.ts';
import { checked, lastErrno, lastError, libc } from './libc.ts';
import { errnoName, NetlinkError } from './netlink-error.ts';
import type { ReceivedMessage } from './request.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_DUMP_INTR } from './wire/flags.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0x80000;
const SOCK_NONBLOCK = 0x800;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const NLMSG_NOOP = 1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSG_OVERRUN = 4;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const MSG_TRUNC = 0x20;
const HEADER = 16;

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** Bytes and messages sent in one call, chosen so that all acknowledgements fit the receive buffer. */
const CHUNK_BYTES = 192 * 1024;
const CHUNK_MESSAGES = 1024;

/** Shared by all sockets of this thread: answers are read to the end before anything else runs. */
let shared: Buffer | undefined;
const receiveBuffer = (): Buffer => {
  // Dumps come in pieces of at most 32 kB; a larger single message would be cut, which receive() reports.
  shared ??= Buffer.alloc(64 * 1024);
  return shared;
};

/** What the kernel said against a message. */
export interface KernelRefusal {
  readonly errno: string;
  readonly kernelMessage: string | undefined;
}

export interface NetlinkSocketOptions {
  readonly protocol: number;
  readonly netns?: string | undefined;
  /** Multicast groups to join. */
  readonly groups?: readonly number[] | undefined;
  readonly nonBlocking?: boolean | undefined;
  /** Most bytes the kernel keeps for us before it drops: memory is used only while messages wait. */
  readonly receiveBufferBytes?: number | undefined;
}

const integer = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};

/** The kernel's words in an acknowledgement; the original header, or with it the payload, precedes them. */
const refusalText = (buffer: Buffer, at: number, end: number, flags: number): string | undefined => {
  if ((flags & NLM_F_ACK_TLVS) === 0) return undefined;
  const original = buffer.readUInt32LE(at + 4);
  const skip = (flags & NLM_F_CAPPED) !== 0 ? HEADER : (original + 3) & ~3;
  return new Attributes(buffer, at + 4 + skip, end).string(NLMSGERR_ATTR_MSG);
};

/** A socket in one network namespace, which it keeps alive and stays in. */
export class NetlinkSocket {
  #fd: number;
  #sequence = 1;

  constructor(options: NetlinkSocketOptions) {
    const type = SOCK_RAW | SOCK_CLOEXEC | (options.nonBlocking === true ? SOCK_NONBLOCK : 0);
    const open = (): number =>
      checked(libc().socket(AF_NETLINK, type, options.protocol), 'open netlink socket');
    this.#fd = options.netns === undefined ? open() : inNamespace(options.netns, open);
    try {
      this.#configure(options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #configure(options: NetlinkSocketOptions): void {
    const size = options.receiveBufferBytes ?? 4 * 1024 * 1024;
    // Without CAP_NET_ADMIN in the first user namespace only the ordinary limit can be used.
    if (!this.#option(SOL_SOCKET, SO_RCVBUFFORCE, integer(size)))
      this.#option(SOL_SOCKET, SO_RCVBUF, integer(size));
    if (options.nonBlocking !== true) {
      const send = integer(1024 * 1024);
      if (!this.#option(SOL_SOCKET, SO_SNDBUFFORCE, send)) this.#option(SOL_SOCKET, SO_SNDBUF, send);
      // struct timeval: the kernel answers at once, so ten seconds mean that something is badly wrong.
      const timeout = Buffer.alloc(16);
      timeout.writeBigInt64LE(10n, 0);
      this.#option(SOL_SOCKET, SO_RCVTIMEO, timeout);
    }
    this.#option(SOL_NETLINK, NETLINK_CAP_ACK, integer(1));
    this.#option(SOL_NETLINK, NETLINK_EXT_ACK, integer(1));
    if (options.protocol === NETLINK_ROUTE) this.#option(SOL_NETLINK, NETLINK_GET_STRICT_CHK, integer(1));
    const address = Buffer.alloc(12);
    address.writeUInt16LE(AF_NETLINK, 0);
    checked(libc().bind(this.#fd, address, address.length), 'bind netlink socket');
    for (const group of options.groups ?? []) {
      if (!this.#option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, integer(group))) {
        throw lastError(`join netlink group ${group}`);
      }
    }
  }

  #option(level: number, name: number, value: Buffer): boolean {
    return libc().setsockopt(this.#fd, level, name, value, value.length) === 0;
  }

  /** The descriptor, for waiting; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  close(): void {
    if (this.#fd >= 0) libc().close(this.#fd);
    this.#fd = -1;
  }

  #live(): number {
    if (this.#fd < 0)
      throw new NetlinkError({ request: 'use netlink socket', errno: 'EBADF', kernelMessage: 'closed' });
    return this.#fd;
  }

  #send(bytes: Buffer): void {
    const fd = this.#live();
    for (;;) {
      if (libc().send(fd, bytes, bytes.length, 0) >= 0) return;
      if (lastErrno() !== 'EINTR') throw lastError('send netlink message');
    }
  }

  /** Bytes received into the shared buffer; 0 when a non-blocking socket has none. */
  #receive(buffer: Buffer): number {
    const fd = this.#live();
    for (;;) {
      const length = libc().recv(fd, buffer, buffer.length, MSG_TRUNC);
      if (length > buffer.length) {
        throw new NetlinkError({
          request: 'receive netlink message',
          errno: 'EMSGSIZE',
          kernelMessage: `${length} bytes`,
        });
      }
      if (length >= 0) return length;
      const errno = lastErrno();
      if (errno !== 'EINTR') throw lastError('receive netlink message');
    }
  }

  /**
   * Sends messages, as many as fit in one call, and reads the acknowledgement of each. Answers that are no
   * acknowledgements go to `answer` with the number of the message they belong to. All messages must ask for an
   * acknowledgement.
   */
  exchange(
    messages: readonly Buffer[],
    answer?: (message: ReceivedMessage, number: number) => void,
  ): (KernelRefusal | null)[] {
    const refusals: (KernelRefusal | null)[] = [];
    let from = 0;
    while (from < messages.length) {
      let to = from;
      let bytes = 0;
      while (to < messages.length && to - from < CHUNK_MESSAGES) {
        const length = ((messages[to]?.length ?? 0) + 3) & ~3;
        if (to > from && bytes + length > CHUNK_BYTES) break;
        bytes += length;
        to += 1;
      }
      this.#exchangeChunk(messages, from, to, bytes, refusals, answer);
      from = to;
    }
    return refusals;
  }

  #exchangeChunk(
    messages: readonly Buffer[],
    from: number,
    to: number,
    bytes: number,
    refusals: (KernelRefusal | null)[],
    answer: ((message: ReceivedMessage, number: number) => void) | undefined,
  ): void {
    const first = this.#sequence;
    const out = Buffer.alloc(bytes);
    let at = 0;
    for (let i = from; i < to; i += 1) {
      const message = messages[i] ?? Buffer.alloc(0);
      out.set(message, at);
      out.writeUInt32LE(this.#nextSequence(), at + 8);
      at += (message.length + 3) & ~3;
    }
    this.#send(out);
    let waiting = to - from;
    for (let i = from; i < to; i += 1) refusals[i] = null;
    while (waiting > 0) {
      const buffer = receiveBuffer();
      const length = this.#receive(buffer);
      eachMessage(buffer, length, (type, flags, sequence, start, end) => {
        const number = from + ((sequence - first) >>> 0);
        // Left over from an exchange that was given up.
        if (number >= to) return;
        if (type === NLMSG_ERROR) {
          waiting -= 1;
          const errno = -buffer.readInt32LE(start);
          if (errno !== 0) {
            refusals[number] = {
              errno: errnoName(errno),
              kernelMessage: refusalText(buffer, start, end, flags),
            };
          }
        } else answer?.({ type, flags, buffer, start, end }, number);
      });
    }
  }

  #nextSequence(): number {
    const sequence = this.#sequence;
    this.#sequence = sequence >= 0xfffff000 ? 1 : sequence + 1;
    return sequence;
  }

  /**
   * Sends a dump request and reads it to the end. `interrupted` means that the objects changed meanwhile: some may be
   * missing or doubled, and the dump must be made again.
   */
  dump(
    message: Buffer,
    each: (message: ReceivedMessage) => void,
  ): KernelRefusal | 'complete' | 'interrupted' {
    const sequence = this.#nextSequence();
    message.writeUInt32LE(sequence, 8);
    this.#send(message);
    let interrupted = false;
    let outcome: KernelRefusal | 'complete' | undefined;
    while (outcome === undefined) {
      const buffer = receiveBuffer();
      const length = this.#receive(buffer);
      eachMessage(buffer, length, (type, flags, received, start, end) => {
        if (received !== sequence) return;
        if ((flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (type === NLMSG_DONE || type === NLMSG_ERROR) {
          const errno = end - start >= 4 ? -buffer.readInt32LE(start) : 0;
          if (errno <= 0) outcome = 'complete';
          else if (type === NLMSG_ERROR) {
            outcome = { errno: errnoName(errno), kernelMessage: refusalText(buffer, start, end, flags) };
          } else {
            const text =
              (flags & NLM_F_ACK_TLVS) === 0
                ? undefined
                : new Attributes(buffer, start + 4, end).string(NLMSGERR_ATTR_MSG);
            outcome = { errno: errnoName(errno), kernelMessage: text };
          }
        } else each({ type, flags, buffer, start, end });
      });
    }
    return outcome === 'complete' && interrupted ? 'interrupted' : outcome;
  }

  /**
   * Reads one datagram of notifications. `empty` when there is none, `overrun` when the kernel had to drop some since
   * the last read.
   */
  receiveNotifications(each: (message: ReceivedMessage) => void): 'read' | 'empty' | 'overrun' {
    const buffer = receiveBuffer();
    let length: number;
    try {
      length = this.#receive(buffer);
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === 'EAGAIN') return 'empty';
      if (error instanceof NetlinkError && error.errno === 'ENOBUFS') return 'overrun';
      throw error;
    }
    eachMessage(buffer, length, (type, flags, _sequence, start, end) =>
      each({ type, flags, buffer, start, end }),
    );
    return 'read';
  }

  /** Index of a link by its name, in the namespace of the socket; undefined when there is none. */
  linkIndex(name: string): number | undefined {
    // struct ifreq, SIOCGIFINDEX; netlink sockets pass device ioctls on.
    const request = Buffer.alloc(40);
    if (Buffer.byteLength(name) > 15) return undefined;
    request.write(name);
    return libc().ioctl(this.#live(), 0x8933, request) === 0 ? request.readInt32LE(16) : undefined;
  }
}

const eachMessage = (
  buffer: Buffer,
  length: number,
  each: (type: number, flags: number, sequence: number, start: number, end: number) => void,
): void => {
  let at = 0;
  while (at + HEADER <= length) {
    const size = buffer.readUInt32LE(at);
    if (size < HEADER || at + size > length) {
      throw new NetlinkError({
        request: 'read netlink message',
        errno: 'EBADMSG',
        kernelMessage: 'broken message length',
      });
    }
    const type = buffer.readUInt16LE(at + 4);
    if (type === NLMSG_OVERRUN) throw new NetlinkError({ request: 'read netlink message', errno: 'ENOBUFS' });
    if (type !== NLMSG_NOOP) {
      each(type, buffer.readUInt16LE(at + 6), buffer.readUInt32LE(at + 8), at + HEADER, at + size);
    }
    at += (size + 3) & ~3;
  }
};
