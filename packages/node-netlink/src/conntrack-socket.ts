/** Lists, inserts and removes the tracked connections of a network namespace. */
import {
  CT_DELETE,
  CT_GET,
  CT_GET_STATS,
  CT_NEW,
  conntrackMessage,
  decodeConntrack,
  decodeTcpState,
  encodeByTuple,
  encodeDump,
  encodeInsert,
  encodeUpdate,
} from './conntrack-codec.ts';
import {
  type ConntrackEntry,
  type ConntrackFilter,
  type ConntrackName,
  matchesFilter,
  tupleKey,
} from './conntrack-entry.ts';
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
  /**
   * Changes timeout, status, mark and TCP state of entries that are there; says of each how it went. One that is not there
   * answers `netlink-not-found`. Translations stay as they are, and status bits once set stay set (`netlink-busy` for one
   * that would be taken away).
   */
  update(entries: readonly ConntrackEntry[]): (NetlinkError | null)[];
  /** The entries of these original tuples as they are now; those that are gone are left out. */
  find(entries: readonly ConntrackName[]): ConntrackEntry[];
  /** Those of the entries that are not there with these same two tuples; nothing missing means the copy is good. */
  missing(entries: readonly ConntrackEntry[]): ConntrackEntry[];
  /** Removes these entries, or all that fit, and returns how many it was. One that is gone already is no error. */
  remove(which: readonly ConntrackName[] | ConntrackFilter): number;
  /** Removes all entries. */
  flush(): void;
  /** How many there are. */
  count(): number;
  close(): void;
  [Symbol.dispose](): void;
}

const isList = (which: readonly ConntrackName[] | ConntrackFilter): which is readonly ConntrackName[] =>
  Array.isArray(which);

const describe = (verb: string, entry: ConntrackName): string =>
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
    const { tcpStates } = filter;
    const outcome = this.#socket.dump(encodeDump(filter), (message) => {
      if (tcpStates !== undefined) {
        const state = decodeTcpState(message);
        if (state !== undefined && !tcpStates.has(state)) return;
      }
      const entry = decodeConntrack(message);
      if (entry !== undefined && matchesFilter(entry, filter)) found.push(entry);
    });
    if (typeof outcome === 'object') throw new NetlinkError({ request: 'list connections', ...outcome });
    return found;
  }

  insert(entries: readonly ConntrackEntry[]): (NetlinkError | null)[] {
    return this.#inGroups(entries, 'insert', encodeInsert);
  }

  #inGroups<Entry extends ConntrackName>(
    entries: readonly Entry[],
    verb: string,
    encode: (entry: Entry) => Buffer,
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

  update(entries: readonly ConntrackEntry[]): (NetlinkError | null)[] {
    return this.#inGroups(entries, 'update', encodeUpdate);
  }

  find(entries: readonly ConntrackName[]): ConntrackEntry[] {
    const all: ConntrackEntry[] = [];
    this.#read(entries, (found) => all.push(found));
    return all;
  }

  missing(entries: readonly ConntrackEntry[]): ConntrackEntry[] {
    const there = new Set<number>();
    this.#read(entries, (found, number) => {
      const wanted = entries[number];
      if (wanted !== undefined && tupleKey(found.reply) === tupleKey(wanted.reply)) there.add(number);
    });
    return entries.filter((_entry, number) => !there.has(number));
  }

  /** Reads entries by their original tuples; `found` is told which one it was. */
  #read(entries: readonly ConntrackName[], each: (found: ConntrackEntry, number: number) => void): void {
    for (let from = 0; from < entries.length; from += GROUP) {
      const group = entries.slice(from, from + GROUP);
      this.#socket.exchange(
        group.map((entry) => encodeByTuple(CT_GET, entry)),
        (message, number) => {
          const found = message.type === CT_NEW ? decodeConntrack(message) : undefined;
          const wanted = group[number];
          if (found === undefined || wanted === undefined) return;
          // The kernel finds an entry by either of its tuples.
          if (tupleKey(found.original, found.zone) !== tupleKey(wanted.original, wanted.zone)) return;
          each(found, from + number);
        },
      );
    }
  }

  remove(which: readonly ConntrackName[] | ConntrackFilter): number {
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
