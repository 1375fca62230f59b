import { type ConntrackEntry, type ConntrackName, IPS_SEEN_REPLY, tupleKey } from 'node-netlink';
import { endsHere, isLasting } from '../handover/own-ends.ts';
import type { CarriedEntry } from '../handover/state.ts';

/** linux/in.h */
const TCP = 6;

/** TCP states a connection comes out of for good; the standby was told when it came there. */
const ENDED: ReadonlySet<string> = new Set(['last-ack', 'time-wait', 'close']);
const BEGINNING: ReadonlySet<string> = new Set(['none', 'syn-sent', 'syn-sent2', 'syn-recv']);

/**
 * Whether a standby is told of a connection: what a hand-over carries, once it was answered. A question that nobody has
 * answered is asked again, and makes the same entry in whichever router it reaches.
 */
export const isWorthSyncing = (
  entry: Pick<ConntrackEntry, 'original' | 'status' | 'timeout' | 'tcp'>,
): boolean => isLasting(entry) && (entry.original.protocol === TCP || (entry.status & IPS_SEEN_REPLY) !== 0);

/** Without counters and the kernel's own number, which are big integers and mean nothing elsewhere. */
export const carriedEntry = ({ counters: _counters, id: _id, ...entry }: ConntrackEntry): CarriedEntry =>
  entry;

/** What is told at once. */
export interface ChangedConnections {
  readonly set: readonly CarriedEntry[];
  readonly deleted: readonly ConntrackName[];
}

interface Pending {
  readonly entry: ConntrackEntry;
  readonly gone: boolean;
}

const nameOf = ({ original, zone }: ConntrackName): ConntrackName => ({ original, zone });

/** Gathers what the kernel tells of connections; of each, only what it came to. */
export class ConnectionChanges {
  readonly #pending = new Map<string, Pending>();

  /** True while there is nothing to tell. */
  get isEmpty(): boolean {
    return this.#pending.size === 0;
  }

  /** @param own - addresses of the router's legs: what ends here is nobody else's */
  add(change: 'new' | 'update' | 'destroy', entry: ConntrackEntry, own: ReadonlySet<string>): void {
    const isTcp = entry.original.protocol === TCP;
    if (change === 'destroy') {
      const state = entry.tcp?.state;
      if (state !== undefined && (ENDED.has(state) || BEGINNING.has(state))) {
        // An end of which the standby was told, or a beginning of which it was not: unless both fall into this moment.
        if (!this.#pending.has(tupleKey(entry.original, entry.zone))) return;
      } else if (!isTcp && (entry.status & IPS_SEEN_REPLY) === 0) return;
      if (!endsHere(entry, own)) this.#put(entry, true);
      return;
    }
    if (isTcp && entry.tcp !== undefined) {
      if (BEGINNING.has(entry.tcp.state)) return;
      if (endsHere(entry, own)) return;
      this.#put(entry, ENDED.has(entry.tcp.state));
      return;
    }
    if ((!isTcp && !isWorthSyncing(entry)) || endsHere(entry, own)) return;
    // The kernel leaves the TCP state out when it is something else that has changed.
    const before = isTcp ? this.#pending.get(tupleKey(entry.original, entry.zone)) : undefined;
    if (before?.gone === true) return;
    this.#put(before?.entry.tcp === undefined ? entry : { ...entry, tcp: before.entry.tcp }, false);
  }

  #put(entry: ConntrackEntry, gone: boolean): void {
    this.#pending.set(tupleKey(entry.original, entry.zone), { entry, gone });
  }

  /** All there is to tell, which is then told. `find` reads entries of which the event said too little. */
  take(find: (entries: readonly ConntrackName[]) => readonly ConntrackEntry[]): ChangedConnections {
    const set: CarriedEntry[] = [];
    const deleted: ConntrackName[] = [];
    const unsure: ConntrackName[] = [];
    for (const { entry, gone } of this.#pending.values()) {
      if (gone) deleted.push(nameOf(entry));
      else if (entry.original.protocol === TCP && entry.tcp === undefined) unsure.push(nameOf(entry));
      else if (isWorthSyncing(entry)) set.push(carriedEntry(entry));
    }
    this.#pending.clear();
    if (unsure.length > 0) set.push(...find(unsure).filter(isWorthSyncing).map(carriedEntry));
    return { set, deleted };
  }

  clear(): void {
    this.#pending.clear();
  }
}
