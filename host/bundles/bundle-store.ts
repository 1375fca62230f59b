/** Programs of routers on this host: each fetched once, and none that a trusted key has not signed. */
import { createHash, type KeyObject } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BundleError, openBundle } from 'signed-bundle';

export interface BundleStoreOptions {
  /** STATE/host/bundles */
  readonly directory: string;
  /** Keys that may sign bundles; without any none is taken. */
  readonly trusted: readonly KeyObject[];
  /** The file with this checksum, from the controller. */
  readonly fetch: (checksum: string) => Promise<Buffer>;
}

const EXTENSION = '.mjs';

const checksumOf = (file: Buffer): string => createHash('sha256').update(file).digest('hex');

export class BundleStore {
  readonly #options: BundleStoreOptions;
  /** Checksums of files that were checked by this process. */
  readonly #checked = new Set<string>();
  readonly #fetching = new Map<string, Promise<string>>();

  constructor(options: BundleStoreOptions) {
    this.#options = options;
  }

  /** Path of a bundle that is here and what it should be; null when it has to be fetched. */
  pathOf(checksum: string): string | null {
    const path = this.#path(checksum);
    if (this.#checked.has(checksum)) return path;
    try {
      const file = readFileSync(path);
      if (checksumOf(file) !== checksum) throw new TypeError(`${path} was changed`);
      openBundle(file, this.#options.trusted);
    } catch {
      // Not there, damaged, or signed with a key that is trusted no more: fetched again it says why.
      return null;
    }
    this.#checked.add(checksum);
    return path;
  }

  /**
   * Has a bundle here, fetching it if need be. Returns its path.
   * @throws {BundleError} when it is not what it should be; whatever `fetch` throws when it cannot be had now.
   */
  obtain(checksum: string): Promise<string> {
    const path = this.pathOf(checksum);
    if (path !== null) return Promise.resolve(path);
    let fetching = this.#fetching.get(checksum);
    if (fetching === undefined) {
      fetching = this.#fetch(checksum).finally(() => this.#fetching.delete(checksum));
      this.#fetching.set(checksum, fetching);
    }
    return fetching;
  }

  /**
   * Has a copy here of a file that this host came with, signed or not, and returns its path. That makes it none of those
   * that `pathOf` and `obtain` know. Throws when it cannot be written.
   */
  keep(file: Buffer): string {
    const checksum = checksumOf(file);
    const path = this.#path(checksum);
    try {
      if (checksumOf(readFileSync(path)) === checksum) return path;
    } catch {
      // There is none yet.
    }
    return this.#write(checksum, file);
  }

  /** Removes all but these. */
  prune(keep: ReadonlySet<string>): void {
    const { directory } = this.#options;
    for (const name of this.#names()) {
      const checksum = name.slice(0, -EXTENSION.length);
      if (name.endsWith(EXTENSION) && (keep.has(checksum) || this.#fetching.has(checksum))) continue;
      rmSync(join(directory, name), { force: true });
      this.#checked.delete(checksum);
    }
  }

  async #fetch(checksum: string): Promise<string> {
    const file = await this.#options.fetch(checksum);
    if (checksumOf(file) !== checksum)
      throw new BundleError(
        'BAD_SIGNATURE',
        `The bundle fetched as ${checksum} is another: ${checksumOf(file)}`,
      );
    openBundle(file, this.#options.trusted);
    const path = this.#write(checksum, file);
    this.#checked.add(checksum);
    return path;
  }

  #write(checksum: string, file: Buffer): string {
    const path = this.#path(checksum);
    mkdirSync(this.#options.directory, { recursive: true, mode: 0o700 });
    writeFileSync(`${path}.new`, file, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    return path;
  }

  #path(checksum: string): string {
    return join(this.#options.directory, `${checksum}${EXTENSION}`);
  }

  #names(): readonly string[] {
    try {
      return readdirSync(this.#options.directory);
    } catch {
      return [];
    }
  }
}
