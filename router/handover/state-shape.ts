import type { HandoverState } from './state.ts';

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): boolean => typeof value === 'string';
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value);
const listOf = (value: unknown, fits: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(fits);

const isTuple = (value: unknown): boolean =>
  isObject(value) && isText(value['source']) && isText(value['destination']) && isNumber(value['protocol']);

const isEntry = (value: unknown): boolean =>
  isObject(value) &&
  isTuple(value['original']) &&
  isTuple(value['reply']) &&
  ['status', 'mark', 'timeout', 'zone'].every((name) => isNumber(value[name]));

/** As many connections as are given at once; the kernel's own limit is 262,144 where there is much memory. */
export const MOST_ENDED = 300_000;

const isName = (value: unknown): boolean =>
  isObject(value) && isTuple(value['original']) && isNumber(value['zone']);

const parts: Readonly<Record<keyof HandoverState, (value: unknown) => boolean>> = {
  conntrack: (value) => listOf(value, isEntry),
  // Routers of earlier versions say neither.
  from: (value) => value === undefined || (isText(value) && (value as string).length <= 100),
  ended: (value) =>
    value === undefined || (Array.isArray(value) && value.length <= MOST_ENDED && listOf(value, isName)),
  neighbours: (value) =>
    listOf(
      value,
      (item) => isObject(item) && ['device', 'address', 'mac'].every((name) => isText(item[name])),
    ),
  leases: isText,
  passwords: (value) =>
    listOf(value, (item) => isObject(item) && isText(item['guest']) && isText(item['digest'])),
  ports: (value) =>
    listOf(value, (item) => Number.isInteger(item) && (item as number) > 0 && (item as number) < 65_536),
  members: (value) => listOf(value, (item) => isText(item) && /^[\w.:-]+\/[\w.:-]+$/.test(item as string)),
};

/** The parts of a state that are not as another router would write them; none when all are right. */
export const stateErrors = (value: unknown): readonly string[] =>
  isObject(value)
    ? Object.entries(parts).flatMap(([name, fits]) => (fits(value[name]) ? [] : [name]))
    : Object.keys(parts);
