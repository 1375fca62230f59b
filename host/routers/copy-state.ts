/** Carries what one router knows (connections, neighbours, leases) to another: as text, without reading it. */
import { HttpError } from '../channel/http-request.ts';
import type { RouterClient } from './router-client.ts';

/** The state could not be carried over. */
export class CopyStateError extends Error {
  override readonly name = 'CopyStateError';
  readonly code: 'no-such-router' | 'router-refused' | 'no-answer';
  /** Which parameter it concerns, as a JSON pointer. */
  readonly pointer: '/params/from' | '/params/to';

  constructor(
    code: CopyStateError['code'],
    pointer: CopyStateError['pointer'],
    message: string,
    cause?: unknown,
  ) {
    super(message, { cause });
    this.code = code;
    this.pointer = pointer;
  }
}

/** As many bytes as a state may have; an entry has some 300. */
export const MOST_STATE_BYTES = 64 * 1024 * 1024;

export interface CopyStateSide {
  readonly id: string;
  /** Undefined when there is no such router on this host. */
  readonly client: RouterClient | undefined;
}

export interface CopyStateSource extends CopyStateSide {
  /** The same state read without the daemon, as its kernel, files and services live on; undefined where that cannot be. */
  readonly withoutDaemon?: (signal: AbortSignal) => Promise<Buffer> | undefined;
}

/** A daemon that says nothing for so long, ms, may hang: its state is read without it then, and what comes first is taken. */
const SILENT_AFTER = 5_000;
/** For all of a state, ms. Who asked for the copy waits for a minute (controller/deliver), and the receiver needs some of that. */
const READ_WITHIN = 40_000;

const PATH = '/v1/handover/state';

const ask = async (
  side: CopyStateSide,
  pointer: CopyStateError['pointer'],
  method: 'GET' | 'PUT',
  options: { readonly body?: Buffer; readonly within?: number } = {},
): Promise<Buffer> => {
  const { id, client } = side;
  const { body, within } = options;
  if (client === undefined)
    throw new CopyStateError('no-such-router', pointer, `There is no router ${id} on this host`);
  const answer = await client.pass(method, PATH, MOST_STATE_BYTES, body, within).catch((cause: unknown) => {
    throw new CopyStateError(
      'no-answer',
      pointer,
      `${id} does not answer: ${(cause as Error).message}`,
      cause,
    );
  });
  if (answer.status === 200) return answer.body;
  const said = answer.body.toString('utf8', 0, 1000);
  throw new CopyStateError(
    'router-refused',
    pointer,
    `${id} answered ${method} ${PATH} with ${answer.status}: ${said}`,
  );
};

/** Whether it said nothing at all; one that refuses, or says too much, lives. */
const isSilence = (error: unknown): boolean =>
  error instanceof CopyStateError &&
  error.code === 'no-answer' &&
  !(error.cause instanceof HttpError && error.cause.code === 'http-too-large');

type Read = { readonly state: Buffer; readonly withoutDaemon: boolean } | { readonly refusal: unknown };

/** From the daemon; when it is dead, or has been silent for a while, from what it leaves behind. Throws {@link CopyStateError}. */
const readState = async (from: CopyStateSource): Promise<Exclude<Read, { readonly refusal: unknown }>> => {
  let timer: NodeJS.Timeout | undefined;
  const enough = new AbortController();
  const asked = ask(from, '/params/from', 'GET', { within: READ_WITHIN }).then(
    (state): Read => ({ state, withoutDaemon: false }),
    (error: unknown): Read => {
      if (isSilence(error)) throw error;
      return { refusal: error };
    },
  );
  const silent = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, SILENT_AFTER);
    asked.catch(() => resolve());
  });
  const beside = silent.then(async (): Promise<Read> => {
    const state = enough.signal.aborted ? undefined : from.withoutDaemon?.(enough.signal);
    if (state === undefined) throw new Error('it cannot be read without its daemon');
    return { state: await state, withoutDaemon: true };
  });
  try {
    const read = await Promise.any([asked, beside]);
    if ('refusal' in read) throw read.refusal;
    return read;
  } catch (error) {
    if (!(error instanceof AggregateError)) throw error;
    const [unanswered, unread] = error.errors as [CopyStateError, Error];
    const message = `${unanswered.message}; nor could its state be read without it: ${unread.message}`;
    throw new CopyStateError('no-answer', '/params/from', message, unanswered);
  } finally {
    clearTimeout(timer);
    enough.abort();
  }
};

/**
 * What `to` answered, parsed; with `"withoutDaemon":true` when the daemon of `from` did not answer, and its state was read
 * beside it. Throws {@link CopyStateError}.
 */
export const copyState = async (from: CopyStateSource, to: CopyStateSide): Promise<unknown> => {
  if (to.client === undefined)
    throw new CopyStateError('no-such-router', '/params/to', `There is no router ${to.id} on this host`);
  const { state, withoutDaemon } = await readState(from);
  const answer = await ask(to, '/params/to', 'PUT', { body: state });
  const taken = answer.length === 0 ? null : (JSON.parse(answer.toString()) as object | null);
  return withoutDaemon ? { ...taken, withoutDaemon } : taken;
};
