import { closeSync, fdatasync, openSync, rmSync, writeSync } from 'node:fs';
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

/** A document on its way to disk: it counts once `keep` has resolved. */
export interface Storing {
  readonly keep: () => Promise<void>;
  readonly drop: () => Promise<void>;
}

/**
 * Keeps the document in force on disk: the whole in `document.json`, changes since in `document.changes`, one a line, so
 * that a change costs its own size and not the document's. Both 0600, as they hold one-time passwords.
 */
export class DocumentStore {
  readonly #path: string;
  readonly #journal: string;
  #journalFile: number | null = null;
  #journalLength = 0;
  #timer: NodeJS.Timeout | undefined;
  #latest: RouterDocument | null = null;
  #folding: Promise<unknown> = Promise.resolve();
  #drafts = 0;

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
        // The daemon ended in the middle of this line: it was not in force yet.
        break;
      }
      // Changes from before the whole was written start from a generation that is not there any more.
      document = applyRouterDocumentChange(document, change) ?? document;
    }
    this.#latest = document;
    // What comes next must not be joined to half a line.
    if (journal !== '') await this.#replace(document);
    return document;
  }

  /** Begins to store a whole document; `text` is the same as it came, if it is at hand. */
  whole(document: RouterDocument, text = JSON.stringify(document)): Storing {
    const { draft, written } = this.#draft(text);
    return {
      keep: async () => {
        await this.#folding;
        await this.#install(document, draft, written);
      },
      drop: async () => {
        await written.catch(() => undefined);
        await rm(draft, { force: true });
      },
    };
  }

  /**
   * Stores the change that led to `document`. It survives the daemon at once and the machine a moment later: what is lost
   * with the machine's power is lost with the kernel's tables too, and the host agent brings it again.
   */
  change(document: RouterDocument, change: RouterDocumentChange): Storing {
    return {
      keep: async () => {
        await this.#folding;
        const line = Buffer.from(`${JSON.stringify(change)}\n`);
        this.#journalFile ??= openSync(this.#journal, 'a', 0o600);
        for (let at = 0; at < line.length; ) at += writeSync(this.#journalFile, line, at);
        fdatasync(this.#journalFile, () => undefined);
        this.#journalLength += line.length;
        this.#latest = document;
        this.#foldLater();
      },
      drop: async () => undefined,
    };
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#folding;
    if (this.#journalFile !== null) closeSync(this.#journalFile);
    this.#journalFile = null;
  }

  #draft(text: string): { readonly draft: string; readonly written: Promise<void> } {
    this.#drafts += 1;
    const draft = `${this.#path}.${this.#drafts}`;
    const write = async (): Promise<void> => {
      const file = await open(draft, 'w', 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
    };
    const written = write();
    // Whoever keeps or drops it is told; until then it is no unhandled rejection.
    written.catch(() => undefined);
    return { draft, written };
  }

  async #install(document: RouterDocument, draft: string, written: Promise<void>): Promise<void> {
    await written;
    await rename(draft, this.#path);
    this.#latest = document;
    this.#endJournal();
  }

  #endJournal(): void {
    clearTimeout(this.#timer);
    if (this.#journalFile !== null) closeSync(this.#journalFile);
    this.#journalFile = null;
    if (this.#journalLength > 0) rmSync(this.#journal, { force: true });
    this.#journalLength = 0;
  }

  /** Writes the whole document in place of document and journal. Changes wait for it. */
  #replace(document: RouterDocument): Promise<void> {
    const { draft, written } = this.#draft(JSON.stringify(document));
    const folding = this.#install(document, draft, written);
    this.#folding = folding.catch(() => undefined);
    return folding;
  }

  #foldLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        // What is not folded now is folded after the next change.
        if (this.#latest !== null) this.#replace(this.#latest).catch(() => undefined);
      },
      this.#journalLength > LONGEST_JOURNAL ? 0 : QUIET,
    );
    this.#timer.unref();
  }
}
