/** Persistent tun and tap devices, through ioctl on /dev/net/tun (linux/if_tun.h). */
import { closeSync, openSync } from 'node:fs';
import { lastError, libc } from './libc.ts';
import { NetlinkError } from './netlink-error.ts';
import type { TunStep } from './request.ts';

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOWNER = 0x400454cc;
const TUNSETGROUP = 0x400454ce;
const IFF_TUN = 0x0001;
const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_TUN_EXCL = 0x8000;

/** Makes the device in the namespace of the calling thread; `netlink-exists` or `netlink-busy` when the name is taken. */
export const makeTun = (tun: TunStep['tun']): void => {
  const request = `add link ${tun.name} (${tun.mode})`;
  let fd: number;
  try {
    fd = openSync('/dev/net/tun', 'r+');
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new NetlinkError({ request, errno, kernelMessage: '/dev/net/tun cannot be opened', cause });
  }
  try {
    const flags =
      (tun.mode === 'tap' ? IFF_TAP : IFF_TUN) |
      (tun.multiQueue ? IFF_MULTI_QUEUE : 0) |
      (tun.vnetHeader ? IFF_VNET_HDR : 0) |
      (tun.packetInformation ? 0 : IFF_NO_PI) |
      IFF_TUN_EXCL;
    const argument = Buffer.alloc(40);
    argument.write(tun.name);
    argument.writeUInt16LE(flags, 16);
    if (libc().ioctl(fd, TUNSETIFF, argument) !== 0) throw tunError(request);
    if (tun.owner !== undefined && libc().ioctlNumber(fd, TUNSETOWNER, tun.owner) !== 0)
      throw tunError(request);
    if (tun.group !== undefined && libc().ioctlNumber(fd, TUNSETGROUP, tun.group) !== 0)
      throw tunError(request);
    if (libc().ioctlNumber(fd, TUNSETPERSIST, 1) !== 0) throw tunError(request);
  } finally {
    closeSync(fd);
  }
};

/** The driver says EBUSY for a taken name, where rtnetlink says EEXIST. */
const tunError = (request: string): NetlinkError => {
  const error = lastError(request);
  return error.errno === 'EBUSY' ? new NetlinkError({ request, errno: 'EEXIST', cause: error }) : error;
};
