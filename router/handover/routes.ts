import type { RouterDocument } from 'documents';
import { Refusal } from '../api/problem.ts';
import { jsonOf, type Routes } from '../api/server.ts';
import type { System } from '../system.ts';
import { NOT_OVER } from './own-ends.ts';
import { ownAddresses } from './render.ts';
import { countSessions } from './sessions.ts';
import { exportState, importState, type WrittenState } from './state.ts';
import { stateErrors } from './state-shape.ts';

/** Handlers of what two routers tell each other through the host agent. `document` is asked for when it is needed. */
export const handoverRoutes = (system: System, document: () => RouterDocument | null): Routes => {
  const inForce = (): RouterDocument => {
    const found = document();
    if (found === null) throw new Refusal(404, 'no-document', 'Put one first');
    return found;
  };
  return {
    '/v1/handover/state': {
      GET: async () => ({ status: 200, body: await exportState(system, inForce()) }),
      PUT: async (request) => {
        const state = jsonOf(request);
        const wrong = stateErrors(state);
        if (wrong.length > 0) {
          throw new Refusal(422, 'not-valid', `Not as another router writes it: ${wrong.join(', ')}`);
        }
        return { status: 200, body: await importState(system, inForce(), state as WrittenState, document) };
      },
    },
    '/v1/handover/sessions': {
      GET: async () => {
        const own = ownAddresses(inForce());
        return { status: 200, body: countSessions(system.conntrack.dump(NOT_OVER), own) };
      },
    },
  };
};
