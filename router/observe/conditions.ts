import type { Condition } from 'documents';

/** The conditions of a router, each with the time since when it is so. */
export class Conditions {
  readonly #known = new Map<string, Condition>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  set(
    type: string,
    status: Condition['status'],
    reason: string,
    message: string,
    observedGeneration: number,
  ): void {
    const before = this.#known.get(type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : this.#now();
    this.#known.set(type, {
      type,
      status,
      reason,
      message: message.slice(0, 4096),
      observedGeneration,
      lastTransitionTime,
    });
  }

  get(type: string): Condition | undefined {
    return this.#known.get(type);
  }

  list(): Condition[] {
    return [...this.#known.values()];
  }
}
