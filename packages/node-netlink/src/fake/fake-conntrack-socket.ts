/** A {@link ConntrackSocket} on connections in memory. */
import {
  type ConntrackEntry,
  type ConntrackFilter,
  type ConntrackName,
  invertTuple,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_DST_NAT,
  IPS_SEEN_REPLY,
  IPS_SRC_NAT,
  matchesFilter,
  translationOf,
  tupleKey,
} from '../conntrack-entry.ts';
import type { ConntrackSocket } from '../conntrack-socket.ts';
import type { NetlinkError } from '../netlink-error.ts';
import { refuse } from './fake-namespace.ts';

const isList = (which: readonly ConntrackName[] | ConntrackFilter): which is readonly ConntrackName[] =>
  Array.isArray(which);

const keyOf = (entry: ConntrackName): string => tupleKey(entry.original, entry.zone);

/** Keeps entries by their original tuple, as the kernel does, in a map that sockets of one namespace share. */
export class FakeConntrackSocket implements ConntrackSocket {
  readonly #entries: Map<string, ConntrackEntry>;
  #closed = false;

  constructor(entries: Map<string, ConntrackEntry> = new Map()) {
    this.#entries = entries;
  }

  #live(): Map<string, ConntrackEntry> {
    if (this.#closed) throw refuse('use netlink socket', 'EBADF', 'closed');
    return this.#entries;
  }

  dump(filter: ConntrackFilter = {}): ConntrackEntry[] {
    return [...this.#live().values()].filter((entry) => matchesFilter(entry, filter));
  }

  insert(entries: readonly ConntrackEntry[]): (NetlinkError | null)[] {
    const kept = this.#live();
    return entries.map((entry) => {
      const key = keyOf(entry);
      if (kept.has(key)) return refuse(`insert connection ${key}`, 'EEXIST');
      const { source, destination } = translationOf(entry);
      const translated = (source === null ? 0 : IPS_SRC_NAT) | (destination === null ? 0 : IPS_DST_NAT);
      const reply = translated === 0 ? invertTuple(entry.original) : entry.reply;
      kept.set(key, {
        ...entry,
        reply,
        status: entry.status | IPS_CONFIRMED | translated,
        id: kept.size + 1,
      });
      return null;
    });
  }

  update(entries: readonly ConntrackEntry[]): (NetlinkError | null)[] {
    const kept = this.#live();
    return entries.map((entry) => {
      const key = keyOf(entry);
      const found = kept.get(key);
      if (found === undefined) return refuse(`update connection ${key}`, 'ENOENT');
      const lost = found.status & ~entry.status & (IPS_SEEN_REPLY | IPS_ASSURED);
      if (lost !== 0) return refuse(`update connection ${key}`, 'EBUSY');
      const { timeout, mark, tcp } = entry;
      const status = found.status | (entry.status & (IPS_SEEN_REPLY | IPS_ASSURED));
      kept.set(key, { ...found, timeout, mark, status, ...(tcp === undefined ? {} : { tcp }) });
      return null;
    });
  }

  find(entries: readonly ConntrackName[]): ConntrackEntry[] {
    const kept = this.#live();
    return entries.flatMap(({ original, zone }) => kept.get(tupleKey(original, zone)) ?? []);
  }

  missing(entries: readonly ConntrackEntry[]): ConntrackEntry[] {
    const kept = this.#live();
    return entries.filter((entry) => {
      const found = kept.get(keyOf(entry));
      return found === undefined || tupleKey(found.reply) !== tupleKey(entry.reply);
    });
  }

  remove(which: readonly ConntrackName[] | ConntrackFilter): number {
    const kept = this.#live();
    const entries = isList(which) ? which : this.dump(which);
    let removed = 0;
    for (const entry of entries) {
      const found = kept.get(keyOf(entry));
      if (found === undefined || (entry.id !== undefined && entry.id !== found.id)) continue;
      kept.delete(keyOf(entry));
      removed += 1;
    }
    return removed;
  }

  flush(): void {
    this.#live().clear();
  }

  count(): number {
    return this.#live().size;
  }

  close(): void {
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
