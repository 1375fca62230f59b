import type { ConntrackName, ConntrackTuple } from 'node-netlink';
import type { CarriedEntry, HandoverState } from '../handover/state.ts';

/**
 * One line of the stream from an active router to its standby. Times are ms since the epoch by the active router's clock.
 * A snapshot is everything there is: what it lacks is gone. What follows a line is younger than it.
 */
export type SyncLine =
  | { readonly type: 'snapshot-begin'; readonly time: number }
  | { readonly type: 'snapshot-end'; readonly time: number }
  | { readonly type: 'heartbeat'; readonly time: number }
  | {
      readonly type: 'conntrack';
      readonly op: 'set';
      readonly time: number;
      readonly entries: readonly CarriedEntry[];
    }
  | {
      readonly type: 'conntrack';
      readonly op: 'delete';
      readonly time: number;
      readonly entries: readonly ConntrackName[];
    }
  | { readonly type: 'neighbours'; readonly items: HandoverState['neighbours'] }
  | { readonly type: 'leases'; readonly text: string }
  | { readonly type: 'passwords'; readonly items: HandoverState['passwords'] }
  | { readonly type: 'members'; readonly items: HandoverState['members'] };

/** One line of the standby's answer. */
export interface SyncAck {
  /** Whether it has a whole snapshot, and everything since. */
  readonly synced: boolean;
  /** Connections it holds for the active router. */
  readonly entries: number;
  /** Age of the newest message when it was in force, ms; clocks of two hosts may differ. */
  readonly behind: number;
  /** Connections that its kernel did not take. */
  readonly refused: number;
  /** Why the stream ends here. */
  readonly error?: string;
}

/** Connections in one line: some 70 kB, a few ms of the standby's time. */
const IN_A_LINE = 200;

const text = (line: SyncLine): string => `${JSON.stringify(line)}\n`;

/** A line as it is sent. */
export const lineText: (line: SyncLine) => string = text;

/** Lines for connections that are there. */
export function* setLines(entries: readonly CarriedEntry[], time: number): Generator<string> {
  for (let from = 0; from < entries.length; from += IN_A_LINE) {
    yield text({ type: 'conntrack', op: 'set', time, entries: entries.slice(from, from + IN_A_LINE) });
  }
}

/** Lines for connections that are gone. */
export function* deleteLines(entries: readonly ConntrackName[], time: number): Generator<string> {
  for (let from = 0; from < entries.length; from += IN_A_LINE) {
    yield text({ type: 'conntrack', op: 'delete', time, entries: entries.slice(from, from + IN_A_LINE) });
  }
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isText = (value: unknown): value is string => typeof value === 'string';

const isTuple = (value: unknown): value is ConntrackTuple =>
  isObject(value) && isText(value['source']) && isText(value['destination']) && isNumber(value['protocol']);

const isName = (value: unknown): boolean =>
  isObject(value) && isTuple(value['original']) && isNumber(value['zone']);

const isEntry = (value: unknown): boolean =>
  isName(value) &&
  isTuple((value as Json)['reply']) &&
  ['status', 'mark', 'timeout'].every((name) => isNumber((value as Json)[name]));

const hasTexts =
  (...names: readonly string[]) =>
  (item: unknown): boolean =>
    isObject(item) && names.every((name) => isText(item[name]));

const listOf = (value: unknown, fits: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(fits);

const hasTime = ({ time }: Json): boolean => isNumber(time);

const shapes: Readonly<Record<SyncLine['type'], (line: Json) => boolean>> = {
  'snapshot-begin': hasTime,
  'snapshot-end': hasTime,
  heartbeat: hasTime,
  conntrack: (line) =>
    hasTime(line) &&
    (line['op'] === 'set' || line['op'] === 'delete') &&
    listOf(line['entries'], line['op'] === 'set' ? isEntry : isName),
  neighbours: ({ items }) => listOf(items, hasTexts('device', 'address', 'mac')),
  leases: (line) => isText(line['text']),
  passwords: ({ items }) => listOf(items, hasTexts('guest', 'digest')),
  members: ({ items }) => listOf(items, (item) => isText(item) && /^[\w.:-]+\/[\w.:-]+$/.test(item)),
};

/**
 * Reads a line. `unknown` is one of a type that this version has not heard of: a newer router may say more.
 *
 * @returns null for what no router writes
 */
export const parseLine = (written: string): SyncLine | 'unknown' | null => {
  let line: unknown;
  try {
    line = JSON.parse(written);
  } catch {
    return null;
  }
  if (!isObject(line) || !isText(line['type'])) return null;
  if (!Object.hasOwn(shapes, line['type'])) return 'unknown';
  return shapes[line['type'] as SyncLine['type']](line) ? (line as unknown as SyncLine) : null;
};
