/** What Node has no words for: datagram sockets of ICMP, receive buffers above the limit, and TCP_INFO. */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import koffi from 'koffi';

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0x80000;
const IPPROTO_ICMP = 1;
const IPPROTO_TCP = 6;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const TCP_INFO = 11;
/** Seconds of probes, should this process be kept from running. */
const RECEIVE_BUFFER = 16 << 20;

const libc = koffi.load('libc.so.6');
const openSocket = libc.func('int socket(int, int, int)');
const bind = libc.func('int bind(int, const void *, unsigned int)');
const setsockopt = libc.func('int setsockopt(int, int, int, const void *, unsigned int)');
const getsockopt = libc.func('int getsockopt(int, int, int, void *, void *)');

const integer = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};

/** struct sockaddr_in (ip(7)). */
const socketAddress = (address: string, port: number): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address.split('.').map(Number), 4);
  return bytes;
};

/**
 * A datagram socket with a receive buffer that outlasts stalls; bound, where an address is given: answers come from the
 * address that was asked. `icmp` is one of icmp(7)'s ping sockets: messages begin with the ICMP header, the kernel fills
 * in identifier and checksum and delivers the answers to this socket alone.
 */
export const openDatagrams = (
  protocol: 'udp' | 'icmp',
  local?: { readonly address: string; readonly port: number },
): DatagramSocket => {
  // Of this namespace only.
  if (protocol === 'icmp') writeFileSync('/proc/sys/net/ipv4/ping_group_range', '0 2147483647');
  const fd = openSocket(AF_INET, SOCK_DGRAM_CLOEXEC, protocol === 'icmp' ? IPPROTO_ICMP : 0) as number;
  if (fd < 0) throw new Error(`socket for ${protocol}: errno ${koffi.errno()}`);
  if ((setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, integer(RECEIVE_BUFFER), 4) as number) < 0)
    throw new Error(`SO_RCVBUFFORCE: errno ${koffi.errno()}`);
  if (local !== undefined && (bind(fd, socketAddress(local.address, local.port), 16) as number) < 0)
    throw new Error(`bind to ${local.address}:${local.port}: errno ${koffi.errno()}`);
  const socket = createSocket({ type: 'udp4' });
  // Listens at once: with a descriptor there is nothing to look up.
  socket.bind({ fd, exclusive: true });
  return socket;
};

/** Node keeps descriptors to itself, but they stand in its handles. */
const descriptorOf = (socket: Socket): number | undefined => {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
};

export interface Retransmits {
  /** Segments sent again. */
  readonly sent: number;
  /** Of these, how many the other side had already (DSACK, RFC 2883): nothing was lost. */
  readonly needless: number;
}

/** What TCP had to send again (struct tcp_info of linux/tcp.h: tcpi_total_retrans, tcpi_dsack_dups). */
export const retransmitsOf = (socket: Socket): Retransmits => {
  const fd = descriptorOf(socket);
  const bytes = Buffer.alloc(256);
  if (fd === undefined || (getsockopt(fd, IPPROTO_TCP, TCP_INFO, bytes, integer(bytes.length)) as number) < 0)
    return { sent: 0, needless: 0 };
  return { sent: bytes.readUInt32LE(100), needless: bytes.readUInt32LE(216) };
};
