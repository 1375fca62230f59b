import { ApiError, type ApiProblem } from './api-error.ts';
import { CliError, type Connection } from './connection.ts';
import { type Patience, reached } from './reached.ts';

export { ApiError } from './api-error.ts';

/** Any resource: an id and fields the table of resources knows by name. */
export type Resource = { readonly id: string; readonly operation?: string | null } & Readonly<
  Record<string, unknown>
>;

export interface Operation {
  readonly id: string;
  readonly type: string;
  readonly resource: string;
  readonly state: 'running' | 'succeeded' | 'failed';
  readonly steps: readonly { readonly time: string | number; readonly message: string }[];
  readonly problem: ApiProblem | null;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** ms; default 60,000. */
  readonly timeout?: number;
}

/** The public API as the command line uses it: JSON in, JSON out, errors as ApiError. */
export class Client {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get url(): string {
    return this.#connection.url;
  }

  /** Any call, raw: for streams. Throws CliError `unreachable`, ApiError. */
  async fetch(method: string, path: string, { body, headers, timeout }: CallOptions = {}): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${this.#connection.url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.#connection.key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(timeout === 0 ? {} : { signal: AbortSignal.timeout(timeout ?? 60_000) }),
      });
    } catch (error) {
      throw this.#unreachable(error);
    }
    if (!response.ok) {
      const text = await this.#text(response);
      let problem: Record<string, unknown> = {};
      try {
        problem = JSON.parse(text) as Record<string, unknown>;
      } catch {
        problem = { detail: text.slice(0, 200) };
      }
      throw new ApiError(response.status, problem);
    }
    return response;
  }

  #unreachable(cause: unknown): CliError {
    return new CliError(
      'unreachable',
      `Nothing answers at ${this.#connection.url}`,
      'Check that the controller runs ("selvage stack start") and that SELVAGE_URL is right.',
      { cause },
    );
  }

  /** Whoever answered may go away before all of it is here. */
  async #text(response: Response): Promise<string> {
    try {
      return await response.text();
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  async #json<T>(method: string, path: string, options?: CallOptions): Promise<T> {
    const text = await this.#text(await this.fetch(method, path, options));
    return (text === '' ? null : JSON.parse(text)) as T;
  }

  get<T = Resource>(path: string, options?: CallOptions): Promise<T> {
    return this.#json('GET', path, options);
  }

  post<T = Resource>(path: string, body: unknown, options?: CallOptions): Promise<T> {
    return this.#json('POST', path, { ...options, body });
  }

  patch<T = Resource>(path: string, body: unknown): Promise<T> {
    return this.#json('PATCH', path, { body });
  }

  delete<T = Resource | null>(path: string): Promise<T> {
    return this.#json('DELETE', path);
  }

  /** Every item of a collection, page after page. */
  async list(path: string, filters: Readonly<Record<string, string>> = {}): Promise<Resource[]> {
    const items: Resource[] = [];
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({ limit: '500', ...filters, ...(cursor === null ? {} : { cursor }) });
      const page: { items: Resource[]; next: string | null } = await this.get(`${path}?${query}`);
      items.push(...page.items);
      cursor = page.next;
    } while (cursor !== null);
    return items;
  }

  /**
   * Waits for an operation, telling each of its steps once. A controller that goes away meanwhile is waited for (`patience`).
   * Throws CliError `operation-failed`, `unreachable`.
   */
  async wait(
    id: string,
    tell: (message: string) => void,
    patience: Partial<Patience> = {},
  ): Promise<Operation> {
    const waiting: Patience = { tell, look: `selvage operation show ${id}`, ...patience };
    let told = 0;
    for (;;) {
      const operation = await reached(() => this.get<Operation>(`/v1/operations/${id}?wait=20s`), waiting);
      for (const step of operation.steps.slice(told)) tell(step.message);
      told = operation.steps.length;
      if (operation.state === 'succeeded') return operation;
      if (operation.state === 'failed') {
        throw new CliError(
          'operation-failed',
          operation.problem?.message ?? `Operation ${id} failed`,
          operation.problem?.hint ?? `See "selvage operation show ${id}".`,
        );
      }
    }
  }
}
