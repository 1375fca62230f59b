// Its types let a route's schema say `hide`.
import type {} from '@fastify/swagger';
import websocket from '@fastify/websocket';
import { checker, HostStatus, type Problem, RouterEvent, RouterStatus } from 'documents';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { bundleContent } from '../store/router-bundles.ts';
import type { Store } from '../store/store.ts';
import type { Channels } from './channels.ts';
import type { Doorbell } from './doorbell.ts';
import { hostDocument } from './host-document.ts';
import { takeHostStatus } from './host-status.ts';
import { hostOfToken } from './host-token.ts';
import type { Log } from './log.ts';
import { problemReply } from './problem-reply.ts';
import { routerDocument } from './router-document.ts';
import { takeRouterEvents } from './router-events.ts';
import type { DecryptPassword } from './router-facts.ts';
import { takeRouterStatus } from './router-status.ts';

export interface AgentRoutesOptions {
  readonly store: Store;
  readonly channels: Channels;
  readonly doorbell: Doorbell;
  readonly seen: (host: string) => void;
  readonly decryptPassword: DecryptPassword;
  readonly log: Log;
}

const checkHostStatus = checker(HostStatus);
const checkRouterStatus = checker(RouterStatus);
const checkEvents = checker(
  Type.Object({ items: Type.Array(RouterEvent, { maxItems: 10_000 }) }, { additionalProperties: false }),
);

/** Reports and support bundles of the biggest routers, with room to spare; bytes. */
const BODY_LIMIT = 32 << 20;

/** A status must be that of the one it is sent for. */
const otherId = (expected: string, found: string): Problem[] =>
  expected === found
    ? []
    : [
        {
          pointer: '/id',
          code: 'other-id',
          message: `This is the status of ${found}, sent for ${expected}`,
          hint: `Give the id ${expected}.`,
        },
      ];

/** Whether `If-None-Match` (RFC 9110, 13.1.2) names the generation. */
const isNotModified = (request: FastifyRequest, generation: number): boolean =>
  (request.headers['if-none-match'] ?? '')
    .split(',')
    .some((tag) => tag.trim().replace(/^W\//, '') === `"${generation}"`);

/** `/v1/agent/**` of docs/contracts.md: what a host agent calls, with its own token. Nothing else is let in here. */
export const agentRoutes =
  (options: AgentRoutesOptions): FastifyPluginAsync =>
  async (instance) => {
    const { store, channels, doorbell, decryptPassword, log } = options;
    const hosts = new WeakMap<FastifyRequest, string>();
    const hostOf = (request: FastifyRequest): string => {
      const host = hosts.get(request);
      if (host === undefined) throw new TypeError('The request was not authenticated');
      return host;
    };
    /** Whether the router is on the asking host. */
    const owns = async (request: FastifyRequest, router: string): Promise<boolean> =>
      (await store.db
        .selectFrom('router')
        .select('id')
        .where('id', '=', router)
        .where('host_id', '=', hostOf(request))
        .executeTakeFirst()) !== undefined;
    const noRouter = (reply: FastifyReply, router: string): FastifyReply =>
      problemReply(reply, 404, 'not-found', `There is no router ${router} on this host`);

    await instance.register(websocket, { options: { maxPayload: BODY_LIMIT, perMessageDeflate: false } });
    instance.addHook('preValidation', async (request, reply) => {
      const host = await hostOfToken(store.db, request.headers.authorization);
      if (host === undefined)
        return problemReply(
          reply.header('www-authenticate', 'Bearer'),
          401,
          'no-host-token',
          'Give the token of a host; POST /v1/hosts makes one',
        );
      hosts.set(request, host);
      options.seen(host);
      return undefined;
    });
    instance.setErrorHandler<Error & { statusCode?: number; code?: string }>((error, request, reply) => {
      const status = error.statusCode ?? 500;
      if (status >= 500) log.error({ err: error, url: request.url }, 'agent request failed');
      return problemReply(
        reply,
        status,
        status >= 500 ? 'internal' : (error.code ?? 'bad-request').toLowerCase().replaceAll('_', '-'),
        status >= 500 ? 'The controller could not answer; its log says why' : error.message,
      );
    });

    // The handler runs in one go: the first frame must not arrive before its listener (@fastify/websocket).
    instance.get('/v1/agent/channel', { websocket: true, schema: hidden }, (socket, request) =>
      channels.attach(socket, hostOf(request)),
    );
    documentRoutes();
    reportRoutes();

    function documentRoutes(): void {
      instance.get('/v1/agent/document', { schema: hidden }, async (request, reply) => {
        const row = await store.db
          .selectFrom('host')
          .select('generation')
          .where('id', '=', hostOf(request))
          .executeTakeFirstOrThrow();
        if (isNotModified(request, row.generation))
          return reply.code(304).header('etag', `"${row.generation}"`).send();
        const document = await hostDocument(store, hostOf(request));
        return reply.header('etag', `"${document?.generation}"`).send(document);
      });

      instance.get<{ Params: { checksum: string } }>(
        '/v1/agent/bundles/:checksum',
        { schema: hidden },
        async (request, reply) => {
          const { checksum } = request.params;
          const content = await bundleContent(store.db, checksum);
          if (content === undefined)
            return problemReply(reply, 404, 'not-found', `There is no bundle with the checksum ${checksum}`);
          return reply.type('application/octet-stream').header('etag', `"${checksum}"`).send(content);
        },
      );

      instance.get('/v1/agent/routers', { schema: hidden }, async (request) => ({
        items: await store.db
          .selectFrom('router')
          .select(['id', 'generation'])
          .where('host_id', '=', hostOf(request))
          .orderBy('id')
          .execute(),
      }));

      instance.get<{ Params: { id: string }; Querystring: { since?: string } }>(
        '/v1/agent/routers/:id/document',
        { schema: hidden },
        async (request, reply) => {
          const { since } = request.query;
          if (since !== undefined && !/^[0-9]{1,15}$/.test(since))
            return problemReply(reply, 400, 'bad-request', 'since is a generation', [
              {
                pointer: '/since',
                code: 'wrong-type',
                message: `${JSON.stringify(since)} is not a generation`,
                hint: 'Give the generation of the document you have, or leave since out.',
              },
            ]);
          const { id } = request.params;
          const held = await store.db
            .selectFrom('router')
            .select('generation')
            .where('id', '=', id)
            .where('host_id', '=', hostOf(request))
            .executeTakeFirst();
          if (held === undefined) return noRouter(reply, id);
          if (isNotModified(request, held.generation))
            return reply.code(304).header('etag', `"${held.generation}"`).send();
          const answer = await routerDocument(store, id, {
            host: hostOf(request),
            since: since === undefined ? undefined : Number(since),
            decryptPassword,
          });
          if (answer.kind === 'unknown') return noRouter(reply, id);
          reply.header('etag', `"${answer.generation}"`);
          if (answer.kind === 'current') return reply.code(304).send();
          return reply.send(answer.kind === 'change' ? answer.change : answer.document);
        },
      );
    }

    function reportRoutes(): void {
      instance.put('/v1/agent/status', { schema: hidden, bodyLimit: BODY_LIMIT }, async (request, reply) => {
        const host = hostOf(request);
        const shape = checkHostStatus(request.body);
        const status = request.body as HostStatus;
        const problems = shape.length > 0 ? shape : otherId(host, status.id);
        if (problems.length > 0)
          return problemReply(reply, 422, 'invalid-status', 'This is not a host status', problems);
        if (await takeHostStatus(store, status))
          doorbell.answered({ host, router: null, generation: status.observedGeneration });
        return reply.code(204).send();
      });

      instance.put<{ Params: { id: string } }>(
        '/v1/agent/routers/:id/status',
        { schema: hidden, bodyLimit: BODY_LIMIT },
        async (request, reply) => {
          const { id } = request.params;
          if (!(await owns(request, id))) return noRouter(reply, id);
          const shape = checkRouterStatus(request.body);
          const status = request.body as RouterStatus;
          const problems = shape.length > 0 ? shape : otherId(id, status.id);
          if (problems.length > 0)
            return problemReply(reply, 422, 'invalid-status', 'This is not a router status', problems);
          if (await takeRouterStatus(store, status))
            doorbell.answered({ host: hostOf(request), router: id, generation: status.appliedGeneration });
          return reply.code(204).send();
        },
      );

      instance.post('/v1/agent/events', { schema: hidden, bodyLimit: BODY_LIMIT }, async (request, reply) => {
        const problems = checkEvents(request.body);
        if (problems.length > 0)
          return problemReply(reply, 422, 'invalid-events', 'These are not events', problems);
        const { items } = request.body as { items: RouterEvent[] };
        await takeRouterEvents(store, hostOf(request), items);
        return reply.code(204).send();
      });
    }
  };

/** Agents have docs/contracts.md; the public API description leaves these out (@fastify/swagger). */
const hidden = { hide: true } as const satisfies { hide: boolean };
