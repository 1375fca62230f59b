/** Flags of the message header. */

/** `NLM_F_*` of linux/netlink.h. */
export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

/** How an existing object is treated: `add` refuses it, `replace` overwrites it. */
export type WriteMode = 'add' | 'replace';

export const writeFlags = (mode: WriteMode): number =>
  NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | (mode === 'add' ? NLM_F_EXCL : NLM_F_REPLACE);
