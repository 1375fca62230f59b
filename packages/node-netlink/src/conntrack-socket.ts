/** Lists, inserts and removes the tracked connections of a network namespace. */
import {
  CT_DELETE,
  CT_GET,
  CT_GET_STATS,
  CT_NEW,
  conntrackMessage,
  decodeConntrack,
  encodeByTuple,
  encodeDump,
  encodeInsert,
} from './conntrack-codec.ts';
import { type ConntrackEntry, type ConntrackFilter, matchesFilter, tupleKey } from './conntrack-entry.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts';
import { NetlinkError } from './netlink-error.ts';
import { Attributes } from './wire/attributes.ts';
import { NLM_F_ACK, NLM_F_REQUEST } from './wire/flags.ts';

export interface ConntrackSocketOptions {
  /** A name of `ip netns` or a path; that of the thread when absent. */
  readonly netns?: string | undefined;
}

/** A socket for connection tracking. */
export interface ConntrackSocket {
  /** All entries, or those that fit. Entries may come and go meanwhile: this is no snapshot. */
  dump(filter?: ConntrackFilter): ConntrackEntry[];
  /**
   * Puts entries in, translation included; says of each how it went. One that is there answers `netlink-exists`.
   * Success of the call is not success of the translation: see {@link ConntrackSocket.missing}.
   */
  insert(entries: readonly ConntrackEntry[]): (NetlinkError | null)[];
  /** Those of the entries that are not there with these same two tuples; nothing missing means the copy is good. */
  missing(entries: readonly ConntrackEntry[]): ConntrackEntry[];
  /** Removes these entries, or all that fit, and returns how many it was. One that is gone already is no error. */
  remove(which: readonly ConntrackEntry[] | ConntrackFilter): number;
  /** Removes all entries. */
  flush(): void;
  /** How many there are. */
  count(): number;
  close(): void;
  [Symbol.dispose](): void;
}

const isList = (which: readonly ConntrackEntry[] | ConntrackFilter): which is readonly ConntrackEntry[] =>
  Array.isArray(which);

const describe = (verb: string, entry: ConntrackEntry): string =>
  `${verb} connection ${tupleKey(entry.original, entry.zone)}`;

/** Entries handled in one go: keeps the messages in memory few. */
const GROUP = 512;

class KernelConntrackSocket implements ConntrackSocket {
  readonly #socket: NetlinkSocket;

  constructor(options: ConntrackSocketOptions) {
    this.#socket = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns: options.netns });
  }

  dump(filter: ConntrackFilter = {}): ConntrackEntry[] {
    const found: ConntrackEntry[] = [];
    const outcome = this.#socket.dump(encodeDump(filter), (message) => {
      const entry = decodeConntrack(message);
      if (entry !== undefined && matchesFilter(entry, filter)) found.push(entry);
    });
    if (typeof outcome === 'object') throw new NetlinkError({ request: 'list connections', ...outcome });
    return found;
  }

  insert(entries: readonly ConntrackEntry[]): (NetlinkError | null)[] {
    return this.#inGroups(entries, 'insert', encodeInsert);
  }

  #inGroups(
    entries: readonly ConntrackEntry[],
    verb: string,
    encode: (entry: ConntrackEntry) => Buffer,
  ): (NetlinkError | null)[] {
    const errors: (NetlinkError | null)[] = [];
    for (let from = 0; from < entries.length; from += GROUP) {
      const group = entries.slice(from, from + GROUP);
      this.#socket.exchange(group.map(encode)).forEach((refusal, i) => {
        const entry = group[i];
        errors.push(
          refusal === null || entry === undefined
            ? null
            : new NetlinkError({ request: describe(verb, entry), ...refusal }),
        );
      });
    }
    return errors;
  }

  missing(entries: readonly ConntrackEntry[]): ConntrackEntry[] {
    const missing: ConntrackEntry[] = [];
    for (let from = 0; from < entries.length; from += GROUP) {
      const group = entries.slice(from, from + GROUP);
      const there = new Set<number>();
      this.#socket.exchange(
        group.map((entry) => encodeByTuple(CT_GET, entry)),
        (message, number) => {
          const found = message.type === CT_NEW ? decodeConntrack(message) : undefined;
          const wanted = group[number];
          if (found === undefined || wanted === undefined) return;
          if (tupleKey(found.original, found.zone) !== tupleKey(wanted.original, wanted.zone)) return;
          if (tupleKey(found.reply) === tupleKey(wanted.reply)) there.add(number);
        },
      );
      group.forEach((entry, number) => {
        if (!there.has(number)) missing.push(entry);
      });
    }
    return missing;
  }

  remove(which: readonly ConntrackEntry[] | ConntrackFilter): number {
    const entries = isList(which) ? which : this.dump(which);
    const errors = this.#inGroups(entries, 'remove', (entry) => encodeByTuple(CT_DELETE, entry));
    let removed = 0;
    for (const error of errors) {
      if (error === null) removed += 1;
      else if (error.code !== 'netlink-not-found') throw error;
    }
    return removed;
  }

  flush(): void {
    const [refusal] = this.#socket.exchange([
      conntrackMessage(CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, 0).finish(),
    ]);
    if (refusal !== null && refusal !== undefined)
      throw new NetlinkError({ request: 'remove all connections', ...refusal });
  }

  count(): number {
    let count = 0;
    const message = conntrackMessage(CT_GET_STATS, NLM_F_REQUEST | NLM_F_ACK, 0).finish();
    const [refusal] = this.#socket.exchange([message], (answer) => {
      count = new Attributes(answer.buffer, answer.start + 4, answer.end).u32BE(1) ?? 0;
    });
    if (refusal !== null && refusal !== undefined)
      throw new NetlinkError({ request: 'count connections', ...refusal });
    return count;
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens a socket for connection tracking; `netlink-not-found` when there is no such namespace. */
export const openConntrackSocket = (options: ConntrackSocketOptions = {}): ConntrackSocket =>
  new KernelConntrackSocket(options);
