/** The number of a namespace's nftables ruleset: NFT_MSG_GETGEN, linux/netfilter/nf_tables.h. */
import { NetlinkError } from './netlink-error.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_ACK, NLM_F_REQUEST } from './wire/flags.ts';
import { MessageWriter } from './wire/message-writer.ts';

const NFT_MSG_GETGEN = (10 << 8) | 16;
const NFTA_GEN_ID = 1;

/** Asks one namespace for the number of its ruleset. */
export interface NftablesGeneration {
  /** The number, which every transaction of anybody raises by one. One small request. Throws {@link NetlinkError}. */
  read(): number;
  close(): void;
}

/** Opens a socket for it, in the thread's network namespace or in that of the name or path `netns`. */
export const openNftablesGeneration = (options: { readonly netns?: string } = {}): NftablesGeneration => {
  const socket = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns: options.netns });
  return {
    read: () => {
      let generation: number | undefined;
      const message = new MessageWriter(NFT_MSG_GETGEN, NLM_F_REQUEST | NLM_F_ACK)
        .u8(0)
        .u8(0)
        .u16(0)
        .finish();
      const [refusal] = socket.exchange([message], (answer) => {
        // After the header of nfnetlink.
        generation = new Attributes(answer.buffer, answer.start + 4, answer.end).u32BE(NFTA_GEN_ID);
      });
      if (refusal !== null && refusal !== undefined)
        throw new NetlinkError({ request: 'read the number of the nftables ruleset', ...refusal });
      if (generation === undefined)
        throw new NetlinkError({
          request: 'read the number of the nftables ruleset',
          errno: 'EPROTO',
          kernelMessage: 'the answer has none',
        });
      return generation;
    },
    close: () => socket.close(),
  };
};
