/** Carries what one router knows (connections, neighbours, leases) to another: as text, without reading it. */
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

const ask = async (
  side: CopyStateSide,
  pointer: CopyStateError['pointer'],
  method: 'GET' | 'PUT',
  body?: Buffer,
): Promise<Buffer> => {
  const { id, client } = side;
  if (client === undefined)
    throw new CopyStateError('no-such-router', pointer, `There is no router ${id} on this host`);
  const path = '/v1/handover/state';
  const answer = await client.pass(method, path, MOST_STATE_BYTES, body).catch((cause: unknown) => {
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
    `${id} answered ${method} ${path} with ${answer.status}: ${said}`,
  );
};

/** What `to` answered, parsed. Throws {@link CopyStateError}. */
export const copyState = async (from: CopyStateSide, to: CopyStateSide): Promise<unknown> => {
  if (to.client === undefined)
    throw new CopyStateError('no-such-router', '/params/to', `There is no router ${to.id} on this host`);
  const state = await ask(from, '/params/from', 'GET');
  const taken = await ask(to, '/params/to', 'PUT', state);
  return taken.length === 0 ? null : (JSON.parse(taken.toString()) as unknown);
};
