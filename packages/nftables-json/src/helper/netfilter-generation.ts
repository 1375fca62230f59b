/** Asks the kernel for the ruleset's generation id: NFT_MSG_GETGEN, include/uapi/linux/netfilter/nf_tables.h. */
import koffi, { type LibraryHandle } from 'koffi';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const NLM_F_REQUEST = 1;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_GETGEN = 16;
const NFTA_GEN_ID = 1;
const NLMSG_ERROR = 2;

/** Opens a socket in the namespace the thread is in now; the function returned asks once. */
export function netfilterGeneration(libc: LibraryHandle): () => number {
  const socket = libc.func('int socket(int, int, int)');
  const send = libc.func('int64_t send(int, const void *, size_t, int)');
  const receive = libc.func('int64_t recv(int, void *, size_t, int)');
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER) as number;
  if (fd < 0) throw new Error(`socket(AF_NETLINK): errno ${koffi.errno()}`);
  const reply = Buffer.alloc(4096);
  const request = Buffer.alloc(20);
  request.writeUInt32LE(20, 0);
  request.writeUInt16LE((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN, 4);
  request.writeUInt16LE(NLM_F_REQUEST, 6);
  return () => {
    if (Number(send(fd, request, request.length, 0)) !== request.length)
      throw new Error(`send: errno ${koffi.errno()}`);
    const length = Number(receive(fd, reply, reply.length, 0));
    if (length < 20) throw new Error(`recv: ${length}, errno ${koffi.errno()}`);
    if (reply.readUInt16LE(4) === NLMSG_ERROR)
      throw new Error(`NFT_MSG_GETGEN: errno ${-reply.readInt32LE(16)}`);
    // After the headers of netlink (16) and nfnetlink (4): attributes of length, type, value padded to four.
    for (let at = 20; at + 4 <= length; ) {
      const size = reply.readUInt16LE(at);
      if (size < 4) break;
      if ((reply.readUInt16LE(at + 2) & 0x3fff) === NFTA_GEN_ID) return reply.readUInt32BE(at + 4);
      at += (size + 3) & ~3;
    }
    throw new Error('the kernel gave no generation id');
  };
}
