/** Notifications of nftables, gathered to one per transaction: linux/netfilter/nf_tables.h. */
import type { ReceivedMessage } from './request.ts';
import { Attributes } from './wire/attributes.ts';

const SUBSYSTEM = 10;
const NFT_MSG_NEWGEN = 15;
const NFT_MSG_TRACE = 17;

const families: Readonly<Record<number, string>> = {
  1: 'inet',
  2: 'ip',
  3: 'arp',
  5: 'netdev',
  7: 'bridge',
  10: 'ip6',
};

/** One transaction that changed the ruleset. */
export interface NftablesChange {
  /** Number of the ruleset after it. */
  readonly generation: number;
  /** The process that made it, and its name: how to tell own changes from those of others. */
  readonly pid: number;
  readonly processName: string;
  /** The tables it touched, as `inet vr`. */
  readonly tables: readonly string[];
  /** How many objects it added, changed or removed. */
  readonly objects: number;
}

/** A reader that is given all messages of a socket in order and answers at the end of each transaction. */
export const nftablesReader = (): ((message: ReceivedMessage) => NftablesChange | undefined) => {
  let tables = new Set<string>();
  let objects = 0;
  return ({ type, buffer, start, end }) => {
    if (type >> 8 !== SUBSYSTEM) return undefined;
    const kind = type & 0xff;
    if (kind === NFT_MSG_TRACE) return undefined;
    const all = new Attributes(buffer, start + 4, end);
    if (kind !== NFT_MSG_NEWGEN) {
      objects += 1;
      // The table is attribute 1 in every kind of object.
      tables.add(`${families[buffer.readUInt8(start)] ?? 'unknown'} ${all.string(1) ?? ''}`);
      return undefined;
    }
    const change = {
      generation: all.u32BE(1) ?? 0,
      pid: all.u32BE(2) ?? 0,
      processName: all.string(3) ?? '',
      tables: [...tables],
      objects,
    };
    tables = new Set();
    objects = 0;
    return change;
  };
};
