/**
 * The public API: REST under `/v1`, its description at `/openapi.json` and `/docs`, `/healthz` and `/metrics`.
 *
 *     const app = await buildApi({ store, routers: delivery });
 *     await app.register(delivery.routes);
 *     await app.listen({ port: 8480 });          // or app.inject(...) in tests
 */
import { type KeyObject, randomUUID } from 'node:crypto';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { callerOf } from '../auth/caller.ts';
import { Refusal } from '../model/refusal.ts';
import type { Store } from '../store/store.ts';
import type { ApiContext, RouterLink } from './context.ts';
import { metrics } from './metrics.ts';
import { handleErrors, sendProblem } from './problem-document.ts';
import type { Register, Serve } from './register.ts';
import { Resource } from './resource.ts';
import { Plan } from './plan-answer.ts';
import { accounts } from './resources/accounts.ts';
import { apiKeys } from './resources/api-keys.ts';
import { egressRules } from './resources/egress-rules.ts';
import { events } from './resources/events.ts';
import { firewallRules } from './resources/firewall-rules.ts';
import { hosts } from './resources/hosts.ts';
import { instances } from './resources/instances.ts';
import { loadBalancers } from './resources/load-balancers.ts';
import { networkOfferings } from './resources/network-offerings.ts';
import { networks } from './resources/networks.ts';
import { operations } from './resources/operations.ts';
import { portForwards } from './resources/port-forwards.ts';
import { ports } from './resources/ports.ts';
import { publicIpRanges } from './resources/public-ip-ranges.ts';
import { publicIps } from './resources/public-ips.ts';
import { routerBundles } from './resources/router-bundles.ts';
import { routers } from './resources/routers.ts';
import { staticNats } from './resources/static-nats.ts';
import { upgradeRuns } from './resources/upgrade-runs.ts';
import { workflows } from './resources/workflows.ts';
import { zones } from './resources/zones.ts';
import { Problem, ProblemDocument } from './schemas.ts';
import { buildValidator } from './validation.ts';

/** In the order a newcomer meets them. */
const resources: readonly (readonly [name: string, register: Register])[] = [
  ['zones', zones],
  ['hosts', hosts],
  ['accounts', accounts],
  ['api-keys', apiKeys],
  ['public-ip-ranges', publicIpRanges],
  ['network-offerings', networkOfferings],
  ['networks', networks],
  ['instances', instances],
  ['public-ips', publicIps],
  ['firewall-rules', firewallRules],
  ['egress-rules', egressRules],
  ['port-forwards', portForwards],
  ['static-nats', staticNats],
  ['load-balancers', loadBalancers],
  ['ports', ports],
  ['routers', routers],
  ['router-bundles', routerBundles],
  ['workflows', workflows],
  ['upgrade-runs', upgradeRuns],
  ['operations', operations],
  ['events', events],
];

/** Bytes of a request: far more than the largest that is meant (32 KiB of user data, 1024 members). */
const BODY_LIMIT = 1 << 20;

export interface ApiOptions {
  readonly store: Store;
  /** Asks routers through their hosts' agents: `startDelivery`. */
  readonly routers: RouterLink;
  /** A pino logger; silent without one. */
  readonly logger?: FastifyBaseLogger;
  readonly version?: string;
  /** Who may sign the bundles of routers; without any no bundle is taken. */
  readonly trustedKeys?: readonly KeyObject[];
}

const describe = async (app: FastifyInstance, version: string): Promise<void> => {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info: {
        title: 'Selvage',
        version,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
        description:
          'Tenant networks and the virtual routers that serve them. Writes record intent and answer with the resource; ' +
          'where work follows, `operation` is an id to wait for (`?wait=30s`). `?dryRun=plan` answers what a write would ' +
          'do. Errors are RFC 9457 problem documents that list every problem at once.',
      },
      tags: resources.map(([name]) => ({ name })),
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'An API key: svk_...' },
        },
      },
    },
    refResolver: {
      buildLocalReference: (json, _base, _fragment, index) => String(json['$id'] ?? `def-${index}`),
    },
  });
  await app.register(swaggerUi, { routePrefix: '/docs', uiConfig: { persistAuthorization: false } });
};

/** Builds the API. The agents' routes come from delivery and are registered beside it, before it listens. */
export const buildApi = async (options: ApiOptions): Promise<FastifyInstance> => {
  const { store, version = '0.1.0', trustedKeys = [] } = options;
  const app: FastifyInstance = fastify({
    ...(options.logger === undefined ? { logger: false } : { loggerInstance: options.logger }),
    bodyLimit: BODY_LIMIT,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    routerOptions: { maxParamLength: 100 },
    forceCloseConnections: 'idle',
    // Answers are built field by field (`render`), so nothing has to be left out on the way; serialisers compiled from
    // the schemas would only cost time and memory at the start.
    schemaController: {
      compilersFactory: { buildValidator, buildSerializer: () => () => (value) => JSON.stringify(value) },
    },
    exposeHeadRoutes: false,
    frameworkErrors: (error, _request, reply) => {
      sendProblem(reply, 400, 'bad-url', error.message);
    },
  });
  handleErrors(app);
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  const context: ApiContext = { store, routers: options.routers, log: app.log, trustedKeys };
  metrics(app, context);
  await describe(app, version);
  for (const schema of [Problem, ProblemDocument, Plan]) app.addSchema(schema);

  await app.register(async (v1) => {
    v1.decorateRequest('caller');
    v1.addHook('onRequest', async (request) => {
      const caller = await callerOf(store.db, request.headers.authorization);
      if (caller === null)
        throw new Refusal(401, 'no-api-key', 'Give an API key: Authorization: Bearer svk_...');
      request.caller = caller;
    });
    // A POST without a body, such as start and stop, may still say it is JSON.
    v1.removeContentTypeParser('application/json');
    const parse = v1.getDefaultJsonParser('error', 'error');
    v1.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text, done) => {
      if (text === '' && !needsBody(request.routeOptions.schema)) done(null, undefined);
      else parse(request, text as string, done);
    });
    const serve: Serve = (kind) => new Resource(v1, context, kind);
    for (const [, register] of resources) register(serve, v1, context);
  });

  app.route({
    method: 'GET',
    url: '/healthz',
    schema: {
      operationId: 'getHealth',
      tags: ['operation'],
      summary: 'Whether the controller can read its store',
      response: { 200: Type.Object({ status: Type.String() }) },
    },
    handler: async () => {
      await store.db.selectFrom('account').select('id').limit(1).execute();
      return { status: 'ok' };
    },
  });
  app.route({
    method: 'GET',
    url: '/openapi.json',
    schema: { hide: true },
    handler: async (_request, reply) => reply.send(app.swagger()),
  });
  return app;
};

const needsBody = (schema: unknown): boolean =>
  typeof schema === 'object' && schema !== null && 'body' in schema && schema.body !== undefined;
