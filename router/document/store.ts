import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { applyRouterDocumentChange, type RouterDocument, type RouterDocumentChange } from 'documents';

/** Size of the journal at which it is folded into the document, in bytes. */
const LONGEST_JOURNAL = 4 * 1024 * 1024;
/** How long nothing must have changed before a journal is folded, in ms. */
const QUIET = 20_000;

const readIfThere = async (path: string): Promise<string | null> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
};

/**
 * Keeps the document in force on disk: the whole in `document.json`, changes since in `document.changes`, one a line, so
 * that a change costs its own size and not the document's. Both 0600, as they hold one-time passwords.
 */
export class DocumentStore {
  readonly #path: string;
  readonly #journal: string;
  #journalLength = 0;
  #timer: NodeJS.Timeout | undefined;
  #latest: RouterDocument | null = null;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#path = join(directory, 'document.json');
    this.#journal = join(directory, 'document.changes');
  }

  /** The document last stored, null when there is none. Throws for a file that is not JSON. */
  async load(): Promise<RouterDocument | null> {
    const text = await readIfThere(this.#path);
    if (text === null) return null;
    let document = JSON.parse(text) as RouterDocument;
    const journal = (await readIfThere(this.#journal)) ?? '';
    this.#journalLength = Buffer.byteLength(journal);
    for (const line of journal.split('\n')) {
      if (line === '') continue;
      let change: RouterDocumentChange;
      try {
        change = JSON.parse(line) as RouterDocumentChange;
      } catch {
        // The machine stopped in the middle of this line: it was not in force yet.
        break;
      }
      // Changes from before the whole was written start from a generation that is not there any more.
      document = applyRouterDocumentChange(document, change) ?? document;
    }
    this.#latest = document;
    return document;
  }

  /** Stores a whole document; on disk, not only in the cache, when it resolves. */
  write(document: RouterDocument, text = JSON.stringify(document)): Promise<void> {
    return this.#next(async () => {
      this.#latest = document;
      const draft = `${this.#path}.new`;
      const file = await open(draft, 'w', 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, this.#path);
      if (this.#journalLength > 0) await rm(this.#journal, { force: true });
      this.#journalLength = 0;
    });
  }

  /** Stores the change that led to `document`. */
  append(document: RouterDocument, change: RouterDocumentChange): Promise<void> {
    return this.#next(async () => {
      this.#latest = document;
      const line = `${JSON.stringify(change)}\n`;
      const file = await open(this.#journal, 'a', 0o600);
      try {
        await file.writeFile(line);
        await file.datasync();
      } finally {
        await file.close();
      }
      this.#journalLength += Buffer.byteLength(line);
      this.#foldLater();
    });
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#queue;
  }

  #foldLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        const latest = this.#latest;
        // What is not folded now is folded after the next change.
        if (latest !== null) void this.write(latest).catch(() => undefined);
      },
      this.#journalLength > LONGEST_JOURNAL ? 0 : QUIET,
    );
    this.#timer.unref();
  }

  #next<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(task);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}
