import { closeSync, fdatasync, fsync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
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

interface Draft {
  readonly path: string;
  readonly file: number;
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
    const { document, journal } = await this.#read();
    this.#latest = document;
    this.#journalLength = journal;
    // What comes next must not be joined to half a line.
    if (document !== null && journal > 0) await this.#replace(document);
    return document;
  }

  /** The same, for one who only looks: nothing on disk is touched, as another process may be writing to it. */
  async read(): Promise<RouterDocument | null> {
    return (await this.#read()).document;
  }

  async #read(): Promise<{ readonly document: RouterDocument | null; readonly journal: number }> {
    const text = await readIfThere(this.#path);
    if (text === null) return { document: null, journal: 0 };
    let document = JSON.parse(text) as RouterDocument;
    const journal = (await readIfThere(this.#journal)) ?? '';
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
    return { document, journal: Buffer.byteLength(journal) };
  }

  /**
   * Begins to store a whole document; `text` is the same as it came, if it is at hand. Kept, it survives the daemon at
   * once and the machine a moment later: what is lost with the machine's power is lost with the kernel's tables too, and
   * the host agent brings it again. Waiting for the disk here would make every rule wait for it.
   */
  whole(document: RouterDocument, text = JSON.stringify(document)): Storing {
    const draft = this.#draft(text);
    return {
      keep: async () => {
        await this.#folding;
        await this.#install(document, draft);
      },
      drop: async () => {
        closeSync(draft.file);
        await rm(draft.path, { force: true });
      },
    };
  }

  /** Stores the change that led to `document`, as lasting as {@link whole}. */
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

  /** Written at once, not in the background: that would make progress only while nothing else is to be done. */
  #draft(text: string): Draft {
    this.#drafts += 1;
    const path = `${this.#path}.${this.#drafts}`;
    const file = openSync(path, 'w', 0o600);
    try {
      writeFileSync(file, text);
    } catch (error) {
      closeSync(file);
      rmSync(path, { force: true });
      throw error;
    }
    return { path, file };
  }

  async #install(document: RouterDocument, { path, file }: Draft): Promise<void> {
    await rename(path, this.#path);
    this.#latest = document;
    this.#endJournal();
    fsync(file, () => closeSync(file));
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
    const folding = this.#install(document, this.#draft(JSON.stringify(document)));
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
