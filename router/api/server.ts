import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { problemDocument, Refusal } from './problem.ts';

/** Largest request body, bytes: a document at its schema's limits fits. */
const LARGEST_BODY = 256 * 1024 * 1024;

/** A request as handlers see it. */
export interface ApiRequest {
  readonly query: URLSearchParams;
  /** The body's text, empty when there is none. */
  readonly text: string;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** What a handler answers: JSON, or bytes with their type. */
export interface ApiResponse {
  readonly status: number;
  readonly body: unknown;
  readonly contentType?: string;
  /** What took how long, ms: the header Server-Timing (W3C). */
  readonly serverTiming?: Readonly<Record<string, number>>;
}

const timingText = (timing: Readonly<Record<string, number>>): string =>
  Object.entries(timing)
    .map(([name, duration]) => `${name};dur=${duration.toFixed(3)}`)
    .join(', ');

export type Handler = (request: ApiRequest) => Promise<ApiResponse>;

/** Path to method to handler. */
export type Routes = Readonly<Record<string, Readonly<Record<string, Handler>>>>;

/** Takes over a whole exchange: body and answer may stream for as long as both ends like. Resolves when it is in its hands. */
export type StreamHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Path to method to handler, for exchanges that stream. */
export type StreamRoutes = Readonly<Record<string, Readonly<Record<string, StreamHandler>>>>;

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > LARGEST_BODY) throw new Refusal(413, 'too-large', `Bodies end at ${LARGEST_BODY} bytes`);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] as Buffer).toString() : Buffer.concat(chunks).toString();
};

/** The body as JSON; undefined when it is empty. Throws {@link Refusal}. */
export const jsonOf = (request: ApiRequest): unknown => {
  if (request.text.trim() === '') return undefined;
  try {
    return JSON.parse(request.text) as unknown;
  } catch (error) {
    throw new Refusal(400, 'not-json', (error as Error).message);
  }
};

const send = (response: ServerResponse, { status, body, contentType, serverTiming }: ApiResponse): void => {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(`${JSON.stringify(body)}\n`);
  response.writeHead(status, {
    'content-type': contentType ?? (status >= 400 ? 'application/problem+json' : 'application/json'),
    'content-length': bytes.length,
    ...(serverTiming === undefined ? {} : { 'server-timing': timingText(serverTiming) }),
  });
  response.end(bytes);
};

/** A server of these routes; the caller lets it listen. `onError` is told of what handlers throw besides refusals. */
export const apiServer = (
  routes: Routes,
  onError: (error: unknown) => void,
  streams: StreamRoutes = {},
): Server => {
  const streamOf = ({ url, method }: IncomingMessage): StreamHandler | undefined => {
    const [pathname = '/'] = (url ?? '/').split('?');
    return Object.hasOwn(streams, pathname) ? streams[pathname]?.[method ?? 'GET'] : undefined;
  };
  const refused = (error: unknown): ApiResponse => {
    if (error instanceof Refusal) return { status: error.document.status, body: error.document };
    onError(error);
    const detail = error instanceof Error ? error.message : String(error);
    return { status: 500, body: problemDocument(500, 'internal', detail) };
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<ApiResponse> => {
    const url = new URL(request.url ?? '/', 'http://router');
    const methods = routes[url.pathname];
    if (methods === undefined) throw new Refusal(404, 'not-found', `There is nothing at ${url.pathname}`);
    const handler = methods[request.method ?? 'GET'];
    if (handler === undefined) {
      throw new Refusal(
        405,
        'method-not-allowed',
        `${url.pathname} takes ${Object.keys(methods).join(', ')}`,
      );
    }
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const text = await bodyOf(request);
    return await handler({ query: url.searchParams, text, signal: gone.signal });
  };
  const server = createServer((request, response) => {
    const stream = streamOf(request);
    if (stream !== undefined) {
      stream(request, response).catch((error: unknown) => {
        const answered = refused(error);
        if (response.headersSent) response.destroy();
        else send(response, answered);
      });
      return;
    }
    answer(request, response)
      .catch(refused)
      .then((answered) => send(response, answered))
      .catch(onError);
  });
  // A body that streams has no end to wait for.
  server.requestTimeout = 0;
  return server;
};
