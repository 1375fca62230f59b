import { type ConntrackEntry, type ConntrackName, tupleKey } from 'node-netlink';
import { isOverTcp } from './own-ends.ts';

/** How long it is remembered what was given to another router, ms after it was given last: the late copy comes within seconds. */
export const REMEMBERED_FOR = 3_600_000;

/**
 * TCP connections that this router has told others of. What has become of them since can be said without reading what else
 * is over, which on a busy router is most of what there is.
 */
export class GivenConnections {
  readonly #given = new Map<string, ConntrackName>();
  #forget: NodeJS.Timeout | undefined;

  /** Remembers connections that are given. */
  add(open: readonly ConntrackEntry[]): void {
    for (const { original, zone } of open) this.#given.set(tupleKey(original, zone), { original, zone });
    clearTimeout(this.#forget);
    this.#forget = setTimeout(() => this.#given.clear(), REMEMBERED_FOR);
    this.#forget.unref();
  }

  /**
   * Those that were given and have ended: they are over (LAST-ACK, TIME-WAIT, CLOSE), or not there any more. Of one whose
   * ports shake hands again it is said when that has come to something.
   *
   * @param open - all that are open now
   * @param find - reads entries by their names
   */
  ended(
    open: readonly ConntrackEntry[],
    find: (names: readonly ConntrackName[]) => readonly ConntrackEntry[],
  ): readonly ConntrackName[] {
    const ended = new Map(this.#given);
    for (const { original, zone } of open) ended.delete(tupleKey(original, zone));
    for (const entry of find([...ended.values()]))
      if (!isOverTcp(entry)) ended.delete(tupleKey(entry.original, entry.zone));
    return [...ended.values()];
  }
}
