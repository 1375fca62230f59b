/** Answers what the controller asks over the doorbell socket. */
import type { AgentFrame, ControllerFrame, ProbeReading, Problem } from 'documents';
import { CopyStateError } from '../routers/copy-state.ts';
import type { HttpAnswer } from './http-request.ts';

type Request = Extract<ControllerFrame, { readonly type: 'request' }>;
type Response = Extract<AgentFrame, { readonly type: 'response' }>;

export interface RequestTargets {
  readonly routers: {
    /** Passes a request to a router daemon, for `timeout` ms at most; undefined when there is no such router here. */
    readonly request: (
      router: string,
      method: string,
      path: string,
      body: unknown,
      timeout?: number,
    ) => Promise<HttpAnswer> | undefined;
    /** Throws {@link CopyStateError}. */
    readonly copyState: (from: string, to: string) => Promise<unknown>;
  };
  /** Ends the daemon of a router and resolves true when the new one listens, false when it does not in time; undefined when there is no such router here. */
  readonly restartDaemon: (router: string) => Promise<boolean> | undefined;
  /** What a probe measured from `from` until before `to`, ms since the epoch; null when there is no such probe here. */
  readonly probeReading: (probe: string, from: number, to: number) => Promise<ProbeReading | null>;
  /** Reports at once; resolves to what was reported. */
  readonly status: () => Promise<unknown>;
}

const problem = (pointer: string, code: string, message: string, hint: string): Problem => ({
  pointer,
  code,
  message,
  hint,
});

const copyHints: Readonly<Record<CopyStateError['code'], string>> = {
  'no-such-router': 'Ask its host.',
  'router-refused': 'Read what it says of the state it was given, or asked for.',
  'no-answer': 'Try again; the daemon may be starting.',
};

/** JSON as JSON, text as text, and what is neither as `{"contentType","base64"}`. */
const bodyOf = (answer: HttpAnswer): unknown => {
  const contentType = String(answer.headers['content-type'] ?? '');
  if (answer.body.length === 0) return null;
  if (/^application\/(?:[a-z.]+\+)?json/.test(contentType))
    return JSON.parse(answer.body.toString()) as unknown;
  if (contentType.startsWith('text/')) return answer.body.toString();
  return { contentType, base64: answer.body.toString('base64') };
};

/** Never rejects: what goes wrong is the answer. */
export const answerRequest = async (request: Request, targets: RequestTargets): Promise<Response> => {
  const { id, method, params } = request;
  const refuse = (refusal: Problem): Response => ({ type: 'response', id, problem: refusal });
  try {
    if (method === 'status') return { type: 'response', id, result: await targets.status() };
    if (method === 'copy-state') {
      const { from, to } = params;
      if (typeof from !== 'string' || typeof to !== 'string' || from === to) {
        return refuse(
          problem('/params', 'bad-request', 'from and to, two routers, are needed', 'Give the ids of both.'),
        );
      }
      return { type: 'response', id, result: await targets.routers.copyState(from, to) };
    }
    if (method === 'restart-daemon') {
      const { router } = params;
      if (typeof router !== 'string')
        return refuse(problem('/params/router', 'bad-request', 'router is needed', 'Give its id.'));
      const asked = targets.restartDaemon(router);
      if (asked === undefined) {
        const message = `There is no router ${router} on this host`;
        return refuse(problem('/params/router', 'unknown-router', message, 'Ask its host.'));
      }
      if (await asked) return { type: 'response', id, result: { router } };
      const message = `The daemon of ${router} was ended, and the new one does not listen yet`;
      const hint = 'Read daemon.log in its directory; replace the router if it stays so.';
      return refuse(problem('', 'daemon-not-listening', message, hint));
    }
    if (method === 'probe-reading') {
      const { probe, from, to } = params;
      if (typeof probe !== 'string' || typeof from !== 'number' || typeof to !== 'number' || !(from <= to)) {
        const hint = 'Times are ms since the epoch, the earlier first.';
        return refuse(problem('/params', 'bad-request', 'probe, from and to are needed', hint));
      }
      const reading = await targets.probeReading(probe, from, to);
      if (reading !== null) return { type: 'response', id, result: reading };
      const message = `There is no probe ${probe} at work on this host`;
      return refuse(
        problem('/params/probe', 'unknown-probe', message, 'Ask its host, or ask again in a moment.'),
      );
    }
    if (method !== 'router') {
      return refuse(
        problem(
          '/method',
          'unknown-method',
          `There is no method ${String(method)}`,
          'Ask for router, copy-state, restart-daemon, probe-reading or status.',
        ),
      );
    }
    const { router, method: verb, path, body, timeout } = params;
    if (
      typeof router !== 'string' ||
      typeof verb !== 'string' ||
      typeof path !== 'string' ||
      !path.startsWith('/v1/')
    ) {
      return refuse(
        problem(
          '/params',
          'bad-request',
          'router, method and a path below /v1/ are needed',
          'Give all three.',
        ),
      );
    }
    const asked = targets.routers.request(
      router,
      verb,
      path,
      body,
      typeof timeout === 'number' && timeout > 0 ? timeout : undefined,
    );
    if (asked === undefined) {
      return refuse(
        problem(
          '/params/router',
          'unknown-router',
          `There is no router ${router} on this host`,
          'Ask its host.',
        ),
      );
    }
    const answer = await asked;
    return { type: 'response', id, result: { status: answer.status, body: bodyOf(answer) } };
  } catch (error) {
    if (error instanceof CopyStateError)
      return refuse(problem(error.pointer, error.code, error.message, copyHints[error.code]));
    const hint = 'Try again; the daemon may be starting.';
    return refuse(problem('', 'no-answer', (error as Error).message, hint));
  }
};
