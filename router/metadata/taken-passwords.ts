import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { System } from '../system.ts';
import type { RenderedGuest, RenderedMetadata } from './render.ts';

const digest = (password: string): string => createHash('sha256').update(password).digest('hex');

/** A password that its guest has taken, as a digest of it. */
export interface TakenPassword {
  /** Id of the guest's entry in the document. */
  readonly guest: string;
  readonly digest: string;
}

/**
 * Which passwords guests have taken. The document goes on listing a password until the controller has heard of it, and a
 * restarted daemon must not hand it out again: so it is written down, as a digest, before the guest is told that it is erased.
 */
export class TakenPasswords {
  readonly #system: System;
  #loaded: Promise<Map<string, string>> | null = null;
  /** Guests boot together: their answers are written one after the other. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(system: System) {
    this.#system = system;
  }

  /** The password a guest may still have, null when there is none. */
  async offered({ id, password }: RenderedGuest): Promise<string | null> {
    if (password === null) return null;
    return (await this.#load()).get(id) === digest(password) ? null : password;
  }

  /** Erases a guest's password; true when it was there. */
  take(guest: RenderedGuest): Promise<boolean> {
    return this.#next(async () => {
      const password = await this.offered(guest);
      if (password === null) return false;
      const taken = await this.#load();
      await this.#save(new Map(taken).set(guest.id, digest(password)));
      return true;
    });
  }

  /** Forgets what no longer stands in the document, and returns the guests whose taken password still does. */
  settle({ guests }: RenderedMetadata): Promise<readonly RenderedGuest[]> {
    return this.#next(async () => {
      const taken = await this.#load();
      if (taken.size === 0) return [];
      const still = [...guests.values()].filter(
        ({ id, password }) => password !== null && taken.get(id) === digest(password),
      );
      if (still.length !== taken.size) {
        await this.#save(new Map(still.map(({ id }) => [id, taken.get(id) as string])));
      }
      return still;
    });
  }

  /** All of them. */
  async all(): Promise<readonly TakenPassword[]> {
    return [...(await this.#load())].map(([guest, of]) => ({ guest, digest: of }));
  }

  /** Erases passwords that guests took from another router, as far as they stand in the document; returns how many. */
  inherit(taken: readonly TakenPassword[], { guests }: RenderedMetadata): Promise<number> {
    return this.#next(async () => {
      const known = await this.#load();
      const offered = new Map(
        [...guests.values()].flatMap(({ id, password }) =>
          password === null ? [] : [[id, digest(password)]],
        ),
      );
      const more = taken.filter(
        ({ guest, digest: of }) => offered.get(guest) === of && known.get(guest) !== of,
      );
      if (more.length > 0) {
        await this.#save(new Map([...known, ...more.map(({ guest, digest: of }) => [guest, of] as const)]));
      }
      return more.length;
    });
  }

  #next<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(task);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  get #path(): string {
    return join(this.#system.directory, 'metadata', 'taken-passwords.json');
  }

  #load(): Promise<Map<string, string>> {
    this.#loaded ??= this.#read().catch((error: unknown) => {
      this.#loaded = null;
      throw error;
    });
    return this.#loaded;
  }

  async #read(): Promise<Map<string, string>> {
    const text = await this.#system.files.read(this.#path);
    try {
      return new Map(Object.entries(JSON.parse(text ?? '{}') as Record<string, string>));
    } catch {
      // Files are replaced whole, so this is somebody's doing. A password given twice is better than none at all.
      return new Map();
    }
  }

  /** On disk first: what we say is erased must stay so. */
  async #save(taken: Map<string, string>): Promise<void> {
    await this.#system.files.write(this.#path, `${JSON.stringify(Object.fromEntries(taken))}\n`, 0o600);
    this.#loaded = Promise.resolve(taken);
  }
}
