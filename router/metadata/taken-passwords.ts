import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { System } from '../system.ts';
import type { RenderedGuest, RenderedMetadata } from './render.ts';

const digest = (password: string): string => createHash('sha256').update(password).digest('hex');

/**
 * Which passwords guests have taken. The document goes on listing a password until the controller has heard of it, and a
 * restarted daemon must not hand it out again: so it is written down, as a digest, before the guest is told that it is erased.
 */
export class TakenPasswords {
  readonly #system: System;
  #taken: Map<string, string> | null = null;

  constructor(system: System) {
    this.#system = system;
  }

  /** The password a guest may still have, null when there is none. */
  async offered({ id, password }: RenderedGuest): Promise<string | null> {
    if (password === null) return null;
    return (await this.#load()).get(id) === digest(password) ? null : password;
  }

  /** Erases a guest's password; true when it was there. */
  async take(guest: RenderedGuest): Promise<boolean> {
    const password = await this.offered(guest);
    if (password === null) return false;
    (await this.#load()).set(guest.id, digest(password));
    await this.#save();
    return true;
  }

  /** Forgets what no longer stands in the document, and returns the guests whose taken password still does. */
  async settle({ guests }: RenderedMetadata): Promise<readonly RenderedGuest[]> {
    const taken = await this.#load();
    if (taken.size === 0) return [];
    const still = [...guests.values()].filter(
      ({ id, password }) => password !== null && taken.get(id) === digest(password),
    );
    if (still.length !== taken.size) {
      this.#taken = new Map(still.map(({ id }) => [id, taken.get(id) as string]));
      await this.#save();
    }
    return still;
  }

  get #path(): string {
    return join(this.#system.directory, 'metadata', 'taken-passwords.json');
  }

  async #load(): Promise<Map<string, string>> {
    if (this.#taken !== null) return this.#taken;
    const text = await this.#system.files.read(this.#path);
    let entries: [string, string][] = [];
    try {
      entries = Object.entries(JSON.parse(text ?? '{}') as Record<string, string>);
    } catch {
      // Files are replaced whole, so this is somebody's doing. A password given twice is better than none at all.
    }
    this.#taken = new Map(entries);
    return this.#taken;
  }

  async #save(): Promise<void> {
    const text = JSON.stringify(Object.fromEntries(this.#taken ?? []));
    await this.#system.files.write(this.#path, `${text}\n`, 0o600);
  }
}
