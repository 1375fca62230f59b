import type { EventLog } from '../observe/event-log.ts';
import type { Outcome, Router } from '../router.ts';
import { Refusal } from './problem.ts';
import { type ApiResponse, type Handler, jsonOf, type Routes } from './server.ts';

/** Longest wait for an event, seconds. */
const LONGEST_WAIT = 60;

const conclude = async (router: Router, outcome: Outcome): Promise<ApiResponse> => {
  switch (outcome.outcome) {
    case 'refused':
      throw new Refusal(422, 'not-valid', 'The running document stays in force', outcome.problems);
    case 'other-base':
      throw new Refusal(
        409,
        'base-generation',
        `The document in force is generation ${router.generation} of ${router.id}; send the whole document`,
      );
    case 'in-force':
      return { status: 200, body: await router.status(false), serverTiming: { ...outcome.timing } };
    case 'failed': {
      const status = await router.status(false);
      const applied = status.conditions.find(({ type }) => type === 'Applied');
      // A leg that is not there yet is no failure: the document waits for it.
      if (applied?.reason !== 'ApplyFailed')
        return { status: 200, body: status, serverTiming: { ...outcome.timing } };
      throw new Refusal(500, 'apply-failed', applied.message);
    }
  }
};

/** Handlers that other features bring, by path and method. */
export type FurtherRoutes = Routes;

/** The control API, as docs/contracts.md has it. */
export const controlRoutes = (router: Router, events: EventLog, further: FurtherRoutes = {}): Routes => {
  const put: Handler = async (request) => conclude(router, await router.put(jsonOf(request), request.text));
  const patch: Handler = async (request) => conclude(router, await router.patch(jsonOf(request)));
  const get: Handler = async () => {
    const { document } = router;
    if (document === null) throw new Refusal(404, 'no-document', 'Put one first');
    return { status: 200, body: document };
  };
  const diff: Handler = async (request) => {
    const result = await router.diff(jsonOf(request));
    if ('problems' in result) throw new Refusal(422, 'not-valid', 'Nothing was changed', result.problems);
    return { status: 200, body: result };
  };
  const listen: Handler = async ({ query, signal }) => {
    const wait = Math.min(LONGEST_WAIT, Math.max(0, Number(query.get('wait') ?? 0) || 0));
    return { status: 200, body: { items: await events.wait(query.get('after'), wait * 1000, signal) } };
  };
  return {
    '/v1/document': { GET: get, PUT: put, PATCH: patch },
    '/v1/status': { GET: async () => ({ status: 200, body: await router.status() }) },
    '/v1/diff': { POST: diff },
    '/v1/events': { GET: listen },
    ...further,
  };
};
