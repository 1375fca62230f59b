/** Short spellings of the schema's commonest forms, so that rules written in TypeScript stay readable. Pure. */
import type { Expression, MatchOperator, SetItem, Statement, Verdict } from './types.ts';

/** `ip daddr`, `tcp dport`, `th dport`, `ether saddr`, `arp operation` ... */
export const payload = (protocol: string, field: string): Expression => ({ payload: { protocol, field } });

/** `meta mark`, `iifname`, `meta l4proto` ... */
export const meta = (key: string): Expression => ({ meta: { key } });

/** `ct state`, `ct mark`, `ct original ip daddr` ... */
export const ct = (key: string, dir?: 'original' | 'reply'): Expression => ({
  ct: dir === undefined ? { key } : { key, dir },
});

/** `a . b . c` */
export const concat = (...parts: readonly Expression[]): Expression => ({ concat: parts });

/** `{ a, b }` */
export const anonymousSet = (...items: readonly SetItem[]): Expression => ({ set: items });

/** `10.0.0.0/8` */
export const prefix = (addr: string, len: number): Expression => ({ prefix: { addr, len } });

/** `from-to` */
export const range = (from: string | number, to: string | number): Expression => ({ range: [from, to] });

/** `left & mask` */
export const masked = (left: Expression, mask: Expression): Expression => ({ '&': [left, mask] });

/** `left right`, or with an operator. `in` is how flags are asked for (`ct state new`). */
export const match = (left: Expression, right: Expression, op: MatchOperator = '=='): Statement => ({
  match: { op, left, right },
});

/** `ct state established,related` */
export const ctState = (...states: readonly string[]): Statement =>
  match(ct('state'), states.length === 1 ? (states[0] as string) : states, 'in');

/** `key set value` */
export const mangle = (key: Expression, value: Expression): Statement => ({ mangle: { key, value } });

/** `key vmap data` */
export const vmap = (key: Expression, data: Expression): Statement => ({ vmap: { key, data } });

/** `counter` */
export const counter: Statement = { counter: null };

/** `accept` */
export const accept: Verdict = { accept: null };

/** `drop` */
export const drop: Verdict = { drop: null };

/** `return`, which is a word of TypeScript's. */
export const returns: Verdict = { return: null };

/** `jump target` */
export const jump = (target: string): Verdict => ({ jump: { target } });

/** `goto target` */
export const goTo = (target: string): Verdict => ({ goto: { target } });
