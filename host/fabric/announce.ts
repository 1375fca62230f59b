/** Gratuitous ARP (RFC 5227, 3): tells a segment that an address lives at this MAC, from the machine that has both. */
import koffi from 'koffi';
import { ipv4ToNumber, type Ipv4 } from 'ip';
import { addresses, links, namespaces, openRouteSocket } from 'node-netlink';

/** The packet socket could not be had or did not take a frame. */
export class AnnounceError extends Error {
  override readonly name = 'AnnounceError';
  readonly code = 'announce';
}

const AF_PACKET = 17;
/** SOCK_RAW | SOCK_CLOEXEC */
const SOCKET_TYPE = 3 | 0x80000;
const ETH_P_ARP = 0x0806;
const BROADCAST = 'ffffffffffff';
/** MSG_DONTWAIT: a full queue loses an announcement, not time. */
const DO_NOT_WAIT = 0x40;

interface PacketCalls {
  readonly socket: (domain: number, type: number, protocol: number) => number;
  readonly sendto: (
    fd: number,
    buffer: Buffer,
    length: number,
    flags: number,
    address: Buffer,
    addressLength: number,
  ) => number;
  readonly close: (fd: number) => number;
}

let loaded: PacketCalls | undefined;

const calls = (): PacketCalls => {
  if (loaded !== undefined) return loaded;
  const library = koffi.load('libc.so.6');
  loaded = {
    socket: library.func('int socket(int domain, int type, int protocol)'),
    sendto: library.func(
      'long sendto(int fd, const void *buffer, size_t length, int flags, const void *address, unsigned int addressLength)',
    ),
    close: library.func('int close(int fd)'),
  };
  return loaded;
};

/** The frame: an ARP request (RFC 826) for the address by the address itself, to everybody. */
export const gratuitousArp = (mac: string, address: string): Buffer => {
  const own = mac.replaceAll(':', '');
  const ip = ipv4ToNumber(address as Ipv4)
    .toString(16)
    .padStart(8, '0');
  return Buffer.from(`${BROADCAST}${own}08060001080006040001${own}${ip}000000000000${ip}`, 'hex');
};

/** struct sockaddr_ll of packet(7). */
const linkLayerAddress = (index: number): Buffer => {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt16LE(AF_PACKET, 0);
  bytes.writeUInt16BE(ETH_P_ARP, 2);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt8(6, 11);
  bytes.write(BROADCAST, 12, 'hex');
  return bytes;
};

/**
 * Sends one gratuitous ARP for each IPv4 address of a device in a namespace, and returns the addresses. Takes well below
 * a millisecond. Throws {@link AnnounceError}, NetlinkError.
 */
export const announceAddresses = (netns: string, device: string): readonly string[] => {
  using route = openRouteSocket({ netns });
  const { index, mac } = route.send(links.get({ name: device }));
  if (mac === null) return [];
  const own = route
    .dump(addresses.dump({ dev: index, family: 'ipv4' }))
    .filter((address) => address.link === index)
    .map(({ address }) => address.split('/')[0] ?? '');
  if (own.length === 0) return [];
  const { socket, sendto, close } = calls();
  // Protocol 0: it sends and receives nothing.
  const fd = namespaces.run(netns, () => socket(AF_PACKET, SOCKET_TYPE, 0));
  if (fd < 0) throw new AnnounceError(`no packet socket in ${netns} (errno ${koffi.errno()})`);
  try {
    const to = linkLayerAddress(index);
    for (const address of own) {
      const frame = gratuitousArp(mac, address);
      if (sendto(fd, frame, frame.length, DO_NOT_WAIT, to, to.length) !== frame.length)
        throw new AnnounceError(`${address} could not be announced on ${device} (errno ${koffi.errno()})`);
    }
  } finally {
    close(fd);
  }
  return own;
};
