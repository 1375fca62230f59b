import type { Problem } from 'documents';
import { Refusal } from './refusal.ts';

/** What was found wrong with one request, gathered so that it can be told at once. */
export class Findings {
  readonly #problems: { readonly status: 404 | 409 | 422; readonly problem: Problem }[] = [];

  /** Adds problems. 404: names what is not there; 409: contradicts what is there; 422: is wrong in itself. */
  add(problems: readonly Problem[], status: 404 | 409 | 422 = 422): void {
    for (const problem of problems) this.#problems.push({ status, problem });
  }

  get any(): boolean {
    return this.#problems.length > 0;
  }

  /** @throws {Refusal} with everything added; its status is that of the worst of them: 422, then 404, then 409. */
  check(): void {
    const [first] = this.#problems;
    if (first === undefined) return;
    const status = ([422, 404, 409] as const).find((wanted) =>
      this.#problems.some((found) => found.status === wanted),
    ) as 404 | 409 | 422;
    const more = this.#problems.length - 1;
    throw new Refusal(
      status,
      { 404: 'not-found', 409: 'conflict', 422: 'invalid-request' }[status],
      `${first.problem.message}${more === 0 ? '' : ` (and ${more} more)`}`,
      this.#problems.map(({ problem }) => problem),
    );
  }
}

/** For values whose absence was a finding: behind `check()` they are there. */
export function assertFound<Value>(value: Value | undefined): asserts value is Value {
  if (value === undefined) throw new TypeError('Something is missing that was not told as a finding');
}
