import { RouterDocument, RouterStatus } from 'documents';
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { isAdmin } from '../../auth/caller.ts';
import { AgentError } from '../../deliver/agent-error.ts';
import { routerConditions, routerState } from '../../model/conditions.ts';
import { notFound, Refusal } from '../../model/refusal.ts';
import { findRow } from '../../store/rows.ts';
import { routerViews } from '../../store/routers.ts';
import type { Db } from '../../store/transaction.ts';
import { deliveredRouterDocument, readRouterDocument } from '../plan-answer.ts';
import type { Register } from '../register.ts';
import { patchBody, patchRouterTo } from '../patch-request.ts';
import { replaceBody, replaceRouterOf } from '../replace-request.ts';
import { routerMakes } from '../router-makes.ts';
import { routerWorkflows } from '../router-workflows.ts';
import type { Kind } from '../kind.ts';
import { problems, requireAdmin } from '../conventions.ts';
import { Id, Ip, isoTime, numberOrNull, oneOf, resourceSchema, textOrNull } from '../schemas.ts';

const role = oneOf(['active', 'successor', 'draining', 'standby'], {
  description:
    'active: serves the network. successor: stands ready to. draining: handed over, and keeps its sessions. standby: takes over should the active one die.',
});

const needs = oneOf(['upToDate', 'patch', 'replace'], {
  description: 'What it takes until it is as if it were made now.',
});

const bundleOrNull = (description: string) =>
  Type.Unsafe<{ id: string | null; version: string; checksum: string } | null>({
    description,
    anyOf: [
      {
        type: 'object',
        properties: {
          id: { type: ['string', 'null'] },
          version: { type: 'string' },
          checksum: { type: 'string' },
        },
        required: ['id', 'version', 'checksum'],
        additionalProperties: false,
      },
      { type: 'null' },
    ],
  });

const Router = resourceSchema('Router', 'The virtual router of a network.', {
  network: Id,
  host: Id,
  role,
  ordinal: Type.Integer({ description: "Number among the network's routers, in the order they were made." }),
  workflow: textOrNull('Id of the workflow that is replacing it, putting it in place, or taking it away.'),
  state: oneOf(['starting', 'running', 'degraded', 'unreachable']),
  generation: Type.Integer({ description: 'Generation of what is wanted.' }),
  observedGeneration: Type.Integer({ description: 'Last generation whose apply ended, well or not.' }),
  appliedGeneration: Type.Integer({ description: 'Generation in force in kernel and daemons.' }),
  version: textOrNull('Version of the daemon.'),
  bundle: bundleOrNull('The program it runs; its id is null when it was never uploaded.'),
  wantedBundle: bundleOrNull('The program it was told to run; null: what its host came with.'),
  image: textOrNull('What its machine was made from.'),
  memory: numberOrNull('Most memory of its daemon, bytes; null: as much as its host gives.'),
  needs,
  needsBecause: Type.String({ description: 'Why; empty when it needs nothing.' }),
  reportedAt: textOrNull('ISO 8601.'),
  legs: Type.Array(Type.Object({ port: Id, role: Type.String(), mac: Type.String() })),
  health: Type.Array(
    Type.Object({
      name: Type.String(),
      status: Type.String(),
      message: Type.String(),
      checkedAt: numberOrNull(),
    }),
  ),
});

const kind: Kind<'router', typeof Router> = {
  name: 'router',
  path: 'routers',
  word: 'Router',
  table: 'router',
  schema: Router,
  readers: 'owner',
  writers: 'owner',
  ownerOf: async (db, row) => (await findRow(db, 'network', row.network_id))?.account_id ?? null,
  render: async (db, rows, now) => {
    const ids = rows.map(({ id }) => id);
    const places = await routerWorkflows(db, rows);
    const views = new Map((await routerViews(db, { routers: ids })).map((view) => [view.id, view]));
    const makes = await routerMakes(db, rows, new Map([...views].map(([id, view]) => [id, view.status])));
    const ports =
      ids.length === 0
        ? []
        : await db.selectFrom('port').selectAll().where('router_id', 'in', ids).orderBy('role').execute();
    return rows.flatMap((row) => {
      const view = views.get(row.id);
      const make = makes.get(row.id);
      if (view === undefined || make === undefined) return [];
      return [
        {
          id: row.id,
          network: row.network_id,
          host: row.host_id,
          role: row.role,
          ordinal: row.ordinal,
          workflow: places.get(row.id)?.workflow ?? null,
          state: routerState(view, now),
          generation: row.generation,
          observedGeneration: view.observedGeneration,
          appliedGeneration: view.appliedGeneration,
          version: view.status?.version ?? null,
          ...make,
          reportedAt: view.reportedAt === null ? null : isoTime(view.reportedAt),
          legs: ports
            .filter(({ router_id }) => router_id === row.id)
            .map((port) => ({ port: port.id, role: port.role.replace('router-', ''), mac: port.mac })),
          health: [...(view.status?.health ?? [])],
          createdAt: isoTime(row.created_at),
          conditions: [
            ...routerConditions(view, row.created_at, now),
            ...(places.get(row.id)?.conditions ?? []),
          ],
        },
      ];
    });
  },
};

/** Ids of all routers that need this. */
const routersThatNeed = async (db: Db, wanted: string): Promise<string[]> => {
  const rows = await db.selectFrom('router').selectAll().execute();
  const views = await routerViews(db, { routers: rows.map(({ id }) => id) });
  const makes = await routerMakes(db, rows, new Map(views.map((view) => [view.id, view.status])));
  return [...makes].filter(([, make]) => make.needs === wanted).map(([id]) => id);
};

/** How a request that a host did not answer is told. */
const agentRefusal = (error: AgentError): Refusal => {
  switch (error.code) {
    case 'ROUTER_UNKNOWN':
      return new Refusal(404, 'not-found', error.message);
    case 'HOST_NOT_CONNECTED':
      return new Refusal(503, 'host-not-connected', error.message);
    case 'AGENT_TIMEOUT':
      return new Refusal(504, 'host-timeout', error.message);
    case 'AGENT_REFUSED':
      return new Refusal(502, 'host-refused', error.message);
  }
};

const Diagnostic = Type.Object(
  {
    type: oneOf(['ping', 'traceroute', 'arping']),
    address: Ip,
    leg: Type.Optional(Type.String({ pattern: '^[a-z][a-z0-9-]{0,62}$', description: 'Device or port id.' })),
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: 20 })),
  },
  { additionalProperties: false },
);

const idParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) });

export const routers: Register = (resource, app, { store, routers: link }) => {
  for (const schema of [RouterDocument, RouterStatus]) app.addSchema(schema);
  const served = resource(kind)
    .list({
      filters: {
        network: { column: 'network_id', schema: Id },
        role: { column: 'role', schema: role },
        host: { column: 'host_id', schema: Id },
      },
      lookups: {
        needs: { column: 'id', schema: needs, values: routersThatNeed },
      },
      scope: async (db, caller) => {
        if (isAdmin(caller)) return {};
        const networks = await db
          .selectFrom('network')
          .select('id')
          .where('account_id', '=', caller.account)
          .execute();
        return { network_id: networks.map(({ id }) => id) };
      },
    })
    .show()
    .action(
      'POST',
      '/replace',
      { operationId: 'replaceRouter', summary: 'Replaces, without losing a packet,' },
      replaceBody,
      async (write, row) => replaceRouterOf(write, row.id),
    )
    .action(
      'POST',
      '/patch',
      { operationId: 'patchRouter', summary: 'Exchanges the program, without losing a packet, of' },
      patchBody,
      async (write, row) => patchRouterTo(write, row.id),
    );

  const schema = (operationId: string, summary: string) => ({
    operationId,
    tags: ['routers'],
    summary,
    security: [{ apiKey: [] }],
    params: idParams,
  });

  /** Passes a request on to the router, and its answer back. */
  const ask = async (
    reply: FastifyReply,
    id: string,
    request: { method: 'GET' | 'POST'; path: string; body?: unknown; timeout?: number },
  ): Promise<unknown> => {
    try {
      const answer = await link.requestRouter(id, request);
      reply.code(answer.status).type(answer.contentType);
      if (Buffer.isBuffer(answer.body)) return answer.body;
      reply.serializer((value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value)));
      return answer.body;
    } catch (error) {
      throw error instanceof AgentError ? agentRefusal(error) : error;
    }
  };

  app.route({
    method: 'GET',
    url: '/v1/routers/:id/document',
    schema: {
      ...schema('getRouterDocument', 'Shows the document a router is to have, without passwords'),
      response: { 200: Type.Unsafe<RouterDocument>({ $ref: 'RouterDocument#' }), ...problems },
    },
    handler: async (request, reply) => {
      const row = await served.visible(store.db, request.caller, (request.params as { id: string }).id);
      const document = await store.transaction((trx) => readRouterDocument(trx, row.id));
      if (document === null) throw notFound('router', row.id);
      return reply.header('etag', `"${document.generation}"`).send(document);
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/routers/:id/status',
    schema: {
      ...schema('getRouterStatus', 'Shows what a router reported last'),
      response: { 200: Type.Unsafe<RouterStatus>({ $ref: 'RouterStatus#' }), ...problems },
    },
    handler: async (request, reply) => {
      const row = await served.visible(store.db, request.caller, (request.params as { id: string }).id);
      const [view] = await routerViews(store.db, { routers: [row.id] });
      if (view === undefined || view.status === null)
        throw new Refusal(409, 'not-reported', `The router ${row.id} has not reported yet`);
      return reply.send(view.status);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/routers/:id/diff',
    schema: {
      ...schema('diffRouter', 'Says what would change in a router if its document were applied now'),
      description: 'As nft, ip and the services see it: the wanted document against what is there.',
      response: {
        200: Type.Object({ text: Type.String() }, { additionalProperties: true }),
        ...problems,
      },
    },
    handler: async (request, reply) => {
      const row = await served.visible(store.db, request.caller, (request.params as { id: string }).id);
      // With passwords, or a guest that has not taken its own yet would differ; the answer says which, never what.
      const document = await deliveredRouterDocument(store, row.id);
      if (document === null) throw notFound('router', row.id);
      return ask(reply, row.id, { method: 'POST', path: '/v1/diff', body: document });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/routers/:id/diagnostics',
    schema: {
      ...schema('diagnoseRouter', 'Runs ping, traceroute or arping in a router'),
      body: Diagnostic,
      response: {
        200: Type.Object(
          { exitCode: numberOrNull(), stdout: Type.String(), stderr: Type.String() },
          { additionalProperties: true },
        ),
        ...problems,
      },
    },
    handler: async (request, reply) => {
      const row = await served.visible(store.db, request.caller, (request.params as { id: string }).id);
      requireAdmin(request.caller);
      return ask(reply, row.id, {
        method: 'POST',
        path: '/v1/diagnostics',
        body: request.body,
        timeout: 90_000,
      });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/routers/:id/support-bundle',
    schema: {
      ...schema('getRouterSupportBundle', 'Fetches a gzipped tar of all that helps to find a fault'),
      response: { ...problems },
    },
    handler: async (request, reply) => {
      const row = await served.visible(store.db, request.caller, (request.params as { id: string }).id);
      requireAdmin(request.caller);
      return ask(reply, row.id, { method: 'GET', path: '/v1/support-bundle', timeout: 60_000 });
    },
  });
};
