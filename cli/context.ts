import { renderFields, renderTable } from './output/table.ts';
import { ApiError } from './api-error.ts';
import { Client, type Resource } from './client.ts';
import { CliError, findConnection } from './connection.ts';
import { reached } from './reached.ts';

/** Flags every command has. */
export interface GlobalOptions {
  readonly url?: string;
  readonly key?: string;
  readonly state: string;
  readonly output: 'table' | 'json';
  readonly wait: boolean;
}

/** What a command works with: the API, and where its answer and its progress go. */
export class Context {
  readonly options: GlobalOptions;
  #client: Client | undefined;

  constructor(options: GlobalOptions) {
    this.options = options;
  }

  /** The API; looked for when first needed, so that help works without one. */
  get client(): Client {
    this.#client ??= new Client(findConnection(this.options, process.env));
    return this.#client;
  }

  /** A list: a table for people, a JSON array for programs. */
  printList(columns: readonly string[], rows: readonly Resource[]): void {
    if (this.options.output === 'json') console.log(JSON.stringify(rows, null, 2));
    else if (rows.length === 0) console.error('none');
    else
      console.log(
        renderTable(
          ['id', ...columns].map((title) => ({ title, value: (row: Resource) => row[title] })),
          rows,
        ),
      );
  }

  /** One thing. */
  print(value: Readonly<Record<string, unknown>>): void {
    console.log(this.options.output === 'json' ? JSON.stringify(value, null, 2) : renderFields(value));
  }

  /** Progress, on stderr so that output can be piped. */
  tell(message: string): void {
    console.error(message);
  }

  /**
   * Follows the operation of a write to its end unless --no-wait was given. `look`: what shows how far it is, if not
   * `selvage operation show`.
   */
  async follow(resource: Resource | null, look?: string): Promise<void> {
    if (!this.options.wait || resource?.operation === null || resource?.operation === undefined) return;
    await this.client.wait(
      resource.operation,
      (message) => this.tell(message),
      look === undefined ? {} : { look },
    );
  }

  /** How something is after a write. With --no-wait the controller is not waited for. */
  async after<Value = Resource>(path: string, look: string): Promise<Value> {
    const ask = (): Promise<Value> => this.client.get<Value>(path);
    return this.options.wait ? reached(ask, { tell: (message) => this.tell(message), look }) : ask();
  }

  /**
   * Id of the resource that `text` names: itself when it is an id, else by name (or address).
   * Throws CliError `not-found` or `ambiguous`.
   */
  async resolve(path: string, text: string): Promise<string> {
    if (/^[a-z]+-[0-9a-z]{12}$/.test(text)) return text;
    const all = await this.client.list(path);
    const found = all.filter((resource) => resource['name'] === text || resource['address'] === text);
    const [only, ...others] = found;
    const kind = path.split('/').at(-1) ?? path;
    if (only === undefined) {
      const known = all
        .map((resource) => resource['name'] ?? resource['address'])
        .filter((known) => known !== undefined);
      throw new CliError(
        'not-found',
        `None of the ${kind} is called ${JSON.stringify(text)}`,
        known.length === 0 ? `There are no ${kind} yet.` : `There are: ${known.slice(0, 10).join(', ')}.`,
      );
    }
    if (others.length > 0)
      throw new CliError(
        'ambiguous',
        `${found.length} of the ${kind} are called ${JSON.stringify(text)}`,
        `Use an id: ${found.map(({ id }) => id).join(', ')}.`,
      );
    return only.id;
  }
}

/** An error as lines for a person: what, where, what to do. */
export const describeError = (error: unknown): string => {
  if (error instanceof CliError) return `error: ${error.message}\n  ${error.hint}`;
  if (error instanceof ApiError) {
    const problems = error.problems.map(
      ({ pointer, message, hint }) => `  ${pointer === '' ? '' : `${pointer}: `}${message}\n    ${hint}`,
    );
    return [`error: ${error.message}`, ...problems].join('\n');
  }
  return error instanceof Error ? `error: ${error.stack ?? error.message}` : `error: ${String(error)}`;
};
