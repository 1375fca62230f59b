/** The HTTP API of one router daemon, over the unix socket in its directory. */
import type { Problem, RouterEvent, RouterStatus } from 'documents';
import { type HttpAnswer, type HttpPeer, httpPeer } from '../channel/http-request.ts';

/** How a daemon took a document. */
export type Delivered =
  | { readonly outcome: 'applied'; readonly status: RouterStatus }
  /** It does not verify; the daemon goes on with the one it has. */
  | { readonly outcome: 'refused'; readonly problems: readonly Problem[] }
  /** The change does not start from the document in force. */
  | { readonly outcome: 'other-base' }
  | { readonly outcome: 'failed'; readonly message: string };

/** The daemon answered, but not as agreed. */
export class RouterAnswerError extends Error {
  override readonly name = 'RouterAnswerError';
  readonly code = 'router-answer';
}

/** Applying a document of the largest size takes seconds; haproxy and dnsmasq are started in it. */
const APPLY_TIMEOUT = 120_000;

const text = (answer: HttpAnswer, bytes = 2000): string => answer.body.toString('utf8', 0, bytes);

export class RouterClient {
  readonly #peer: HttpPeer;

  constructor(socketPath: string) {
    this.#peer = httpPeer({ socketPath });
  }

  /** `timeout`: ms. */
  async status(timeout = 30_000): Promise<RouterStatus> {
    const answer = await this.#peer.call({ method: 'GET', path: '/v1/status', timeout });
    if (answer.status !== 200)
      throw new RouterAnswerError(`GET /v1/status: ${answer.status} ${text(answer)}`);
    return JSON.parse(answer.body.toString()) as RouterStatus;
  }

  /** Gives the daemon a whole document (`PUT`) or a change (`PATCH`), as the controller wrote it. */
  async deliver(method: 'PUT' | 'PATCH', body: string): Promise<Delivered> {
    const answer = await this.#peer.call({ method, path: '/v1/document', body, timeout: APPLY_TIMEOUT });
    if (answer.status === 200) {
      return { outcome: 'applied', status: JSON.parse(answer.body.toString()) as RouterStatus };
    }
    if (answer.status === 409) return { outcome: 'other-base' };
    if (answer.status !== 422) return { outcome: 'failed', message: `${answer.status} ${text(answer)}` };
    const { problems = [] } = JSON.parse(answer.body.toString()) as {
      readonly problems?: readonly Problem[];
    };
    return { outcome: 'refused', problems };
  }

  /** Waits up to `wait` seconds for events after the one of this id, and `late` seconds longer for the answer. */
  async events(after: string | null, wait: number, late: number): Promise<readonly RouterEvent[]> {
    const query = new URLSearchParams({ wait: String(wait), ...(after === null ? {} : { after }) });
    const answer = await this.#peer.call({
      method: 'GET',
      path: `/v1/events?${query}`,
      timeout: (wait + late) * 1000,
    });
    if (answer.status !== 200)
      throw new RouterAnswerError(`GET /v1/events: ${answer.status} ${text(answer)}`);
    return (JSON.parse(answer.body.toString()) as { readonly items: readonly RouterEvent[] }).items;
  }

  /** Passes any request on. `timeout`: ms. */
  call(method: string, path: string, body: unknown, timeout = APPLY_TIMEOUT): Promise<HttpAnswer> {
    return this.#peer.call({
      method,
      path,
      ...(body === undefined || body === null ? {} : { body: JSON.stringify(body) }),
      timeout,
    });
  }

  /** Passes a request on whose body and answer are large and nobody here's business. */
  pass(
    method: string,
    path: string,
    mostBytes: number,
    body?: Buffer,
    timeout = APPLY_TIMEOUT,
  ): Promise<HttpAnswer> {
    const given = body === undefined ? {} : { body };
    return this.#peer.call({ method, path, ...given, mostBytes, timeout });
  }

  close(): void {
    this.#peer.close();
  }
}
