/** The controller's agent API over REST: the only state that travels between the two. */
import type { HostStatus, RouterEvent, RouterStatus } from 'documents';
import { type HttpAnswer, type HttpPeer, httpPeer } from './http-request.ts';

/** The controller answered, but not with what was asked for. */
export class ControllerError extends Error {
  override readonly name = 'ControllerError';
  /** `controller-<status>` */
  readonly code: string;
  readonly status: number;

  constructor(what: string, answer: HttpAnswer) {
    const detail = answer.body.toString('utf8', 0, 500);
    super(`${what}: the controller answered ${answer.status}${detail === '' ? '' : ` (${detail})`}`);
    this.status = answer.status;
    this.code = `controller-${answer.status}`;
  }
}

/** A body with its tag; null when it is the one we have. */
export interface Fetched {
  readonly body: string;
  readonly etag: string | null;
}

export class ControllerClient {
  readonly #peer: HttpPeer;
  readonly #authorization: string;

  constructor(url: string, token: string) {
    this.#peer = httpPeer({ url });
    this.#authorization = `Bearer ${token}`;
  }

  /** The host document; null when it is still the one with this tag. */
  async hostDocument(etag: string | null): Promise<Fetched | null> {
    const answer = await this.#call('GET', '/v1/agent/document', undefined, etag);
    if (answer.status === 304) return null;
    if (answer.status !== 200) throw new ControllerError('host document', answer);
    const tag = answer.headers['etag'];
    return { body: answer.body.toString(), etag: typeof tag === 'string' ? tag : null };
  }

  /** Routers of this host and the generations there are. */
  async routers(): Promise<ReadonlyMap<string, number>> {
    const answer = await this.#call('GET', '/v1/agent/routers');
    if (answer.status !== 200) throw new ControllerError('routers', answer);
    const { items } = JSON.parse(answer.body.toString()) as {
      readonly items: readonly { readonly id: string; readonly generation: number }[];
    };
    return new Map(items.map(({ id, generation }) => [id, generation]));
  }

  /** A router's document, or the change from generation `since`; null when `since` is current. 0 for the whole. */
  async routerDocument(router: string, since: number): Promise<string | null> {
    const query = since > 0 ? `?since=${since}` : '';
    const answer = await this.#call(
      'GET',
      `/v1/agent/routers/${encodeURIComponent(router)}/document${query}`,
    );
    if (answer.status === 304) return null;
    if (answer.status !== 200) throw new ControllerError(`document of ${router}`, answer);
    return answer.body.toString();
  }

  /** The router bundle with this checksum, as it was uploaded. */
  async bundle(checksum: string): Promise<Buffer> {
    const answer = await this.#call('GET', `/v1/agent/bundles/${encodeURIComponent(checksum)}`);
    if (answer.status !== 200) throw new ControllerError(`bundle ${checksum}`, answer);
    return answer.body;
  }

  async putStatus(status: HostStatus): Promise<void> {
    await this.#put('/v1/agent/status', status);
  }

  async putRouterStatus(status: RouterStatus): Promise<void> {
    await this.#put(`/v1/agent/routers/${encodeURIComponent(status.id)}/status`, status);
  }

  async postEvents(items: readonly RouterEvent[]): Promise<void> {
    const answer = await this.#call('POST', '/v1/agent/events', JSON.stringify({ items }));
    if (answer.status >= 300) throw new ControllerError('events', answer);
  }

  close(): void {
    this.#peer.close();
  }

  async #put(path: string, body: unknown): Promise<void> {
    const answer = await this.#call('PUT', path, JSON.stringify(body));
    if (answer.status >= 300) throw new ControllerError(path, answer);
  }

  #call(method: string, path: string, body?: string, etag: string | null = null): Promise<HttpAnswer> {
    return this.#peer.call({
      method,
      path,
      headers: {
        authorization: this.#authorization,
        accept: 'application/json',
        ...(etag === null ? {} : { 'if-none-match': etag }),
      },
      ...(body === undefined ? {} : { body }),
    });
  }
}
