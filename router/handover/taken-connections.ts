import { type ConntrackEntry, type ConntrackName, type ConntrackSocket, tupleKey } from 'node-netlink';
import { REMEMBERED_FOR } from './given-connections.ts';
import { isOpenTcp } from './own-ends.ts';

/** Ticks of the kernel's clock and of ours, seconds. */
const ROUNDING = 0.05;

/** A copy as it was made. */
interface Taken {
  /** Who gave it. */
  readonly from: string;
  readonly id: number | undefined;
  readonly reply: string;
  readonly state: string | undefined;
  /** When its time is up if no packet comes, seconds of our clock: between the one and the other. */
  readonly expires: readonly [earliest: number, latest: number];
}

const seconds = (): number => performance.now() / 1000;

/**
 * Copies of TCP connections that this router was given. One that ended where it came from is taken out again, if no packet
 * has met it here. That the other router was asked first is not enough to know that: once the fabric has moved, packets of a
 * connection that was copied are this router's, and the next connection of the same four numbers is the copy's. Every packet
 * gives an entry its state's whole time anew, so a copy that has only grown older has met none.
 */
export class TakenConnections {
  readonly #taken = new Map<string, Taken>();
  #forget: NodeJS.Timeout | undefined;

  /**
   * Remembers copies.
   *
   * @param entries - as they were put in, with the time they were given
   * @param found - the same as they were read back
   * @param began - `performance.now()` before they were put in, ms
   */
  add(
    from: string,
    entries: readonly ConntrackEntry[],
    found: ReadonlyMap<string, ConntrackEntry>,
    began: number,
  ): void {
    const now = seconds();
    for (const { original, zone, reply, timeout, tcp } of entries) {
      const key = tupleKey(original, zone);
      this.#taken.set(key, {
        from,
        id: found.get(key)?.id,
        reply: tupleKey(reply),
        state: tcp?.state,
        expires: [began / 1000 + timeout, now + timeout],
      });
    }
    clearTimeout(this.#forget);
    this.#forget = setTimeout(() => this.#taken.clear(), REMEMBERED_FOR);
    this.#forget.unref();
  }

  /**
   * Removes copies of connections that ended in the router they came from: those that this router has as open ones, and as
   * they were put in.
   *
   * @param ended - names of connections that are over there
   * @param open - connections that are open there; of those with another translation than their copy the copy is of another
   * @returns how many it was, as read back
   */
  remove(
    conntrack: Pick<ConntrackSocket, 'find' | 'remove'>,
    from: string,
    ended: readonly ConntrackName[],
    open: readonly ConntrackEntry[],
  ): number {
    if (this.#taken.size === 0) return 0;
    const wanted = new Map<string, Taken>();
    const names: ConntrackName[] = [];
    const want = ({ original, zone }: ConntrackName, reply?: string): void => {
      const key = tupleKey(original, zone);
      const taken = this.#taken.get(key);
      if (taken === undefined || taken.from !== from || taken.reply === reply || wanted.has(key)) return;
      wanted.set(key, taken);
      names.push({ original, zone });
    };
    for (const name of ended) want(name);
    for (const entry of open) want(entry, tupleKey(entry.reply));
    if (names.length === 0) return 0;
    const before = seconds();
    const held = conntrack.find(names);
    const after = seconds();
    const unused = held.filter((entry) => {
      const taken = wanted.get(tupleKey(entry.original, entry.zone));
      return taken !== undefined && isUntouched(taken, entry, before, after);
    });
    // By their numbers: a later one of the same tuple is another's.
    conntrack.remove(unused);
    const left = new Set(conntrack.find(unused).map(({ id }) => id));
    const removed = unused.filter(({ id }) => !left.has(id));
    // One that was used, or is over here, is this router's own from here on.
    for (const key of wanted.keys()) this.#taken.delete(key);
    return removed.length;
  }
}

/** Whether a copy is as it was put in, but for its age. It was read between `before` and `after`, in seconds. */
const isUntouched = (
  { id, reply, state, expires: [earliest, latest] }: Taken,
  entry: ConntrackEntry,
  before: number,
  after: number,
): boolean =>
  entry.id === id &&
  isOpenTcp(entry) &&
  entry.tcp?.state === state &&
  tupleKey(entry.reply) === reply &&
  // The kernel says whole seconds, rounded down.
  entry.timeout <= latest - before + ROUNDING &&
  entry.timeout + 1 >= earliest - after - ROUNDING;
