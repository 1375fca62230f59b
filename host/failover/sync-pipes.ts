/** One pipe for each pair of a router and its standby. */
import { join } from 'node:path';
import type { Standby, StandbyStatus } from 'documents';
import { SyncPipe } from './sync-pipe.ts';

export interface SyncPipesOptions {
  /** STATE/host/routers */
  readonly directory: string;
  readonly onChange: () => void;
}

export class SyncPipes {
  readonly #options: SyncPipesOptions;
  /** By standby. */
  readonly #pipes = new Map<string, SyncPipe>();

  constructor(options: SyncPipesOptions) {
    this.#options = options;
  }

  /** These pairs are to be in step, and no others. */
  want(pairs: readonly Standby[]): void {
    const { directory, onChange } = this.#options;
    const routerOf = new Map(pairs.map(({ router, standby }) => [standby, router]));
    for (const [standby, pipe] of this.#pipes) {
      if (routerOf.get(standby) === pipe.router) continue;
      pipe.close();
      this.#pipes.delete(standby);
    }
    const socket = (router: string) => join(directory, router, 'control.sock');
    for (const [standby, router] of routerOf) {
      if (this.#pipes.has(standby)) continue;
      const pipe = new SyncPipe({ router, standby, from: socket(router), to: socket(standby), onChange });
      this.#pipes.set(standby, pipe);
    }
  }

  /** A daemon of this router listens anew. */
  listens(router: string): void {
    for (const [standby, pipe] of this.#pipes) if (standby === router || pipe.router === router) pipe.hurry();
  }

  get statuses(): readonly StandbyStatus[] {
    return [...this.#pipes.values()].map(({ status }) => status);
  }

  close(): void {
    for (const pipe of this.#pipes.values()) pipe.close();
    this.#pipes.clear();
  }
}
