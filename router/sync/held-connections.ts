import { type ConntrackEntry, type ConntrackName, type ConntrackSocket, tupleKey } from 'node-netlink';
import { endsHere } from '../handover/own-ends.ts';

/**
 * Least time that an entry is given, seconds: no packet comes by here that would lengthen it, and the active router says how
 * long it really has once a minute. What ends there before is said at once.
 */
const FLOOR = 180;

/** Connections that a standby holds for the active router, in its own kernel. */
export class HeldConnections {
  readonly #conntrack: ConntrackSocket;
  #count = 0;
  #refused = 0;
  /** Both tuples of the connections of the snapshot that is coming in, and what of it was not taken; null between snapshots. */
  #snapshot: { readonly tuples: Map<string, string>; readonly refused: ConntrackEntry[] } | null = null;

  constructor(conntrack: ConntrackSocket) {
    this.#conntrack = conntrack;
  }

  get count(): number {
    return this.#count;
  }

  /** Of the last snapshot and since, those that the kernel did not take. */
  get refused(): number {
    return this.#refused;
  }

  begin(): void {
    this.#snapshot = { tuples: new Map(), refused: [] };
  }

  /** Forgets a snapshot that did not come to its end. What is held stays. */
  abandon(): void {
    this.#snapshot = null;
  }

  /** Puts connections in, or changes them. `own` are the addresses of this router's legs: what ends here is left out. */
  set(entries: readonly ConntrackEntry[], own: ReadonlySet<string>): void {
    const wanted = entries
      // Checked again: this router's own TCP would answer for the other's sessions, with resets.
      .filter((entry) => !endsHere(entry, own))
      .map((entry) => ({ ...entry, timeout: Math.max(entry.timeout, FLOOR) }));
    const snapshot = this.#snapshot;
    for (const entry of wanted)
      snapshot?.tuples.set(tupleKey(entry.original, entry.zone), tupleKey(entry.reply));
    // What is told by itself is mostly new, what comes in a later snapshot is mostly known.
    const refused =
      snapshot !== null && this.#count > 0 ? this.#update(wanted) : this.#insertOrUpdate(wanted);
    if (snapshot === null) this.#refused += refused.length;
    else snapshot.refused.push(...refused);
  }

  #insertOrUpdate(wanted: readonly ConntrackEntry[]): readonly ConntrackEntry[] {
    const errors = this.#conntrack.insert(wanted);
    this.#count += errors.filter((error) => error === null).length;
    const there = wanted.filter((_entry, index) => errors[index]?.code === 'netlink-exists');
    const refused = wanted.filter(
      (_entry, index) => errors[index] !== null && errors[index]?.code !== 'netlink-exists',
    );
    return [...refused, ...this.#update(there)];
  }

  /** Changes entries; those that are not there, or are other connections by now, are made anew. Returns what is not right then. */
  #update(wanted: readonly ConntrackEntry[]): readonly ConntrackEntry[] {
    if (wanted.length === 0) return [];
    const errors = this.#conntrack.update(wanted);
    // A change says nothing of the translation, and cannot make one: it is looked at.
    const other = new Set(this.#conntrack.missing(wanted));
    const anew = wanted.filter((entry, index) => errors[index] !== null || other.has(entry));
    if (anew.length === 0) return [];
    this.#count -= this.#conntrack.remove(anew.map(({ original, zone }) => ({ original, zone })));
    const again = this.#conntrack.insert(anew);
    this.#count += again.filter((error) => error === null).length;
    return this.#conntrack.missing(anew);
  }

  delete(names: readonly ConntrackName[], own: ReadonlySet<string>): void {
    const theirs = names.filter(({ original }) => !own.has(original.source));
    this.#count -= this.#conntrack.remove(theirs);
  }

  /**
   * The snapshot is complete: what it did not have is gone, and what found no place because of that has another try. That
   * all is as it should be is read back, not believed. False when there was none.
   */
  end(own: ReadonlySet<string>): boolean {
    const snapshot = this.#snapshot;
    if (snapshot === null) return false;
    this.#snapshot = null;
    const { tuples } = snapshot;
    const wrong: ConntrackName[] = [];
    let kept = 0;
    for (const entry of this.#conntrack.dump()) {
      if (endsHere(entry, own)) continue;
      if (tuples.get(tupleKey(entry.original, entry.zone)) === tupleKey(entry.reply)) kept += 1;
      else wrong.push(entry);
    }
    this.#conntrack.remove(wrong);
    this.#count = kept;
    if (snapshot.refused.length > 0) this.#insertOrUpdate(snapshot.refused);
    this.#refused = Math.max(0, tuples.size - this.#count);
    return true;
  }
}
