import type { Size } from './run-screen.ts';

/** The terminal that is written to; `process.stderr` is one. */
export interface Terminal {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** What a terminal has that does not say (VT100). */
const COLUMNS = 80;
const ROWS = 24;

/** Lines that are drawn over and over at the same place of a terminal. */
export class LiveScreen {
  readonly #terminal: Terminal;
  #drawn: readonly string[] = [];

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  get #size(): Size {
    // A terminal of which nothing is known says 0.
    return { columns: this.#terminal.columns || COLUMNS, rows: this.#terminal.rows || ROWS };
  }

  /** Draws what `layout` makes of the terminal's present size, over what was drawn before. */
  show(layout: (size: Size) => readonly string[]): void {
    const lines = layout(this.#size);
    this.#terminal.write(`${this.#back()}${lines.map((line) => `${line}\n`).join('')}`);
    this.#drawn = lines;
  }

  /** Takes away what was drawn. */
  clear(): void {
    this.#terminal.write(this.#back());
    this.#drawn = [];
  }

  /** Leaves what was drawn where it is: other text follows, and what is shown next comes below it. */
  leave(): void {
    this.#drawn = [];
  }

  /** Back to where it began, and away with what is below (ECMA-48, CPL and ED). */
  #back(): string {
    if (this.#drawn.length === 0) return '';
    const { columns, rows } = this.#size;
    // A terminal that became narrower has wrapped what was drawn.
    const height = this.#drawn.reduce(
      (sum, line) => sum + Math.max(1, Math.ceil([...line].length / columns)),
      0,
    );
    return `\u001b[${Math.min(height, Math.max(1, rows - 1))}F\u001b[J`;
  }
}
