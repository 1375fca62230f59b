/**
 * The frames between a process and its helper, over the helper's standard input and output. A request is
 * `u32le length, u8 operation, body`, a reply `u32le length, u8 status, body`; `length` counts the body. Replies come in the
 * order of the requests.
 */

/** Bytes before each body. */
export const headerSize = 5;

/** What the helper can be asked. */
export const operation = {
  apply: 1,
  check: 2,
  list: 3,
  listTerse: 4,
  listText: 5,
  listTextTerse: 6,
  generation: 7,
} as const;

/** How it went: the body is the result, or nft's words. */
export const status = { done: 0, failed: 1 } as const;
