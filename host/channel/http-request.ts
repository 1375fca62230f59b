/** HTTP as the agent speaks it: to its controller over TCP or TLS, to router daemons over a unix socket. */
import { setMaxListeners } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import { Agent as TlsAgent, request as httpsRequest } from 'node:https';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

export interface HttpCall {
  readonly method: string;
  /** Path with query, beginning with `/`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON text; a content type is sent along. */
  readonly body?: string | Buffer;
  /** ms until the call counts as failed; 30 s when absent. */
  readonly timeout?: number;
  /** Largest answer, bytes; a larger one fails with `http-too-large`. 256 MiB when absent. */
  readonly mostBytes?: number;
}

/** The call got no answer: connection refused or lost, or too late. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  /** `http-timeout`, `http-closed`, `http-too-large`, or the errno in lower case: `econnrefused`. */
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Answers larger than this, bytes, are refused unless told otherwise: the largest documents have some tens of megabytes. */
const MOST_BYTES = 256 * 1024 * 1024;

export interface HttpPeer {
  readonly call: (call: HttpCall) => Promise<HttpAnswer>;
  /** Ends open connections; calls under way fail. */
  readonly close: () => void;
}

/** A peer at a URL such as `http://127.0.0.1:8480`, or at the path of a unix socket. Connections are kept and used again. */
export const httpPeer = (where: { readonly url: string } | { readonly socketPath: string }): HttpPeer => {
  const url = 'url' in where ? new URL(where.url) : null;
  const secure = url?.protocol === 'https:';
  const agent = new (secure ? TlsAgent : Agent)({ keepAlive: true, maxFreeSockets: 2 });
  const send = secure ? httpsRequest : httpRequest;
  const target =
    url === null
      ? { socketPath: (where as { readonly socketPath: string }).socketPath }
      : {
          host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
          port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
        };
  const base = url === null ? '' : url.pathname.replace(/\/$/, '');
  const closing = new AbortController();
  // Every call under way listens to it.
  setMaxListeners(0, closing.signal);
  return {
    call: ({ method, path, headers, body, timeout = 30_000, mostBytes = MOST_BYTES }) =>
      new Promise((resolve, reject) => {
        const fail = (error: Error & { code?: string }) => {
          clearTimeout(timer);
          outgoing.destroy();
          const code = error instanceof HttpError ? error.code : (error.code ?? 'http-closed').toLowerCase();
          reject(new HttpError(code, `${method} ${path}: ${error.message}`, error));
        };
        const outgoing = send({
          ...target,
          agent,
          method,
          path: `${base}${path}`,
          signal: closing.signal,
          headers: {
            ...headers,
            ...(body === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
          },
        });
        const timer = setTimeout(
          () => fail(new HttpError('http-timeout', `no answer within ${timeout} ms`)),
          timeout,
        );
        outgoing.on('error', fail);
        outgoing.on('response', (incoming) => {
          const chunks: Buffer[] = [];
          let length = 0;
          incoming.on('data', (chunk: Buffer) => {
            length += chunk.length;
            if (length > mostBytes)
              fail(new HttpError('http-too-large', `the answer has more than ${mostBytes} bytes`));
            else chunks.push(chunk);
          });
          incoming.on('error', fail);
          incoming.on('end', () => {
            clearTimeout(timer);
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: Buffer.concat(chunks),
            });
          });
        });
        outgoing.end(body);
      }),
    close: () => {
      closing.abort();
      agent.destroy();
    },
  };
};
