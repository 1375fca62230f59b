import { type Static, Type } from 'typebox';
import { recorded } from '../../model/conditions.ts';
import { getRow } from '../../store/rows.ts';
import { durationOf } from '../formats.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { problems } from '../conventions.ts';
import { Id, isoTime, oneOf, Problem, ref, resourceSchema, textOrNull } from '../schemas.ts';
import { waitForOperation } from '../wait.ts';

const state = oneOf(['running', 'succeeded', 'failed']);

const Operation = resourceSchema('Operation', 'Work that follows a write, from start to end.', {
  account: Id,
  type: Type.String({ description: 'network.implement, port-forward.create ...' }),
  resource: Type.String({ description: 'Id of what it is about.' }),
  state,
  steps: Type.Array(Type.Object({ time: Type.String(), message: Type.String() })),
  problem: Type.Optional(ref(Problem)),
  endedAt: textOrNull('ISO 8601.'),
});

const kind: Kind<'operation', typeof Operation> = {
  name: 'operation',
  path: 'operations',
  word: 'Operation',
  table: 'operation',
  schema: Operation,
  readers: 'owner',
  writers: 'nobody',
  render: async (_db, rows) =>
    rows.map((row) => ({
      id: row.id,
      account: row.account_id,
      type: row.type,
      resource: row.resource,
      state: row.state,
      steps: JSON.parse(row.steps) as { time: string; message: string }[],
      ...(row.problem === null ? {} : { problem: JSON.parse(row.problem) as Static<typeof Problem> }),
      endedAt: row.ended_at === null ? null : isoTime(row.ended_at),
      createdAt: isoTime(row.created_at),
      conditions: recorded(
        row.ended_at ?? row.created_at,
        row.state === 'succeeded',
        { running: 'Running', succeeded: 'Succeeded', failed: 'Failed' }[row.state],
      ),
    })),
};

export const operations: Register = (resource, app, { store }) => {
  const served = resource(kind).list({
    filters: {
      state: { column: 'state', schema: state },
      resource: { column: 'resource', schema: Type.String({ maxLength: 64 }) },
      type: { column: 'type', schema: Type.String({ maxLength: 64 }) },
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/operations/:id',
    schema: {
      operationId: 'getOperation',
      tags: ['operations'],
      summary: 'Shows an operation, waiting for its end when asked to',
      security: [{ apiKey: [] }],
      params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
      querystring: Type.Object(
        { wait: Type.Optional(Type.String({ format: 'duration' })) },
        { additionalProperties: false },
      ),
      response: { 200: ref(Operation), ...problems },
    },
    handler: async (request) => {
      const { id } = request.params as { id: string };
      const { wait } = request.query as { wait?: string };
      const row = await served.visible(store.db, request.caller, id);
      if (wait !== undefined && row.state === 'running')
        await waitForOperation(store, id, durationOf(wait) ?? 0);
      const now = await getRow(store.db, 'operation', id);
      return (await kind.render(store.db, [now], store.now()))[0];
    },
  });
};
