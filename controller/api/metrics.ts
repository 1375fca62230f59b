/** What Prometheus reads: what is wanted, what is there, how long things take. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from '@prometheus-io/client';
import type { HostStatus, RouterStatus } from 'documents';
import type { FastifyInstance } from 'fastify';
import { callerOf, isAdmin } from '../auth/caller.ts';
import { faults, routerState } from '../model/conditions.ts';
import { hostState } from '../model/host-state.ts';
import { Refusal } from '../model/refusal.ts';
import { routerViews } from '../store/routers.ts';
import type { ApiContext } from './context.ts';

const counted = [
  'zone',
  'host',
  'account',
  'network',
  'instance',
  'router',
  'public_ip',
  'firewall_rule',
  'egress_rule',
  'port_forward',
  'static_nat',
  'load_balancer',
] as const;

/** The `/metrics` route and the measuring hooks. Read by administrators, and by anyone on this machine. */
export const metrics = (app: FastifyInstance, { store }: ApiContext): void => {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'selvage_controller_' });
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers });

  const resources = gauge('selvage_resources', 'How many there are, by kind and state.', ['kind', 'state']);
  const wanted = gauge('selvage_router_wanted_generation', 'Generation a router is to have.', [
    'router',
    'network',
  ]);
  const applied = gauge('selvage_router_applied_generation', 'Generation a router has in force.', [
    'router',
    'network',
  ]);
  const hostWanted = gauge('selvage_host_wanted_generation', 'Generation a host is to have.', ['host']);
  const hostObserved = gauge('selvage_host_observed_generation', 'Generation a host reported last.', [
    'host',
  ]);
  const unwell = gauge('selvage_conditions_not_well', 'Conditions that say something is not well.', [
    'kind',
    'id',
    'type',
    'reason',
  ]);
  const workflows = gauge('selvage_workflows', 'Workflows by type, status and step.', [
    'type',
    'status',
    'step',
  ]);
  const operationSeconds = new Histogram({
    name: 'selvage_operation_seconds',
    help: 'From a write to what it led to being in force.',
    labelNames: ['type', 'state'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  });
  const requestSeconds = new Histogram({
    name: 'selvage_http_request_seconds',
    help: 'How long requests took.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30],
    registers,
  });
  const eventsTotal = new Counter({
    name: 'selvage_changes_total',
    help: 'Committed transactions that touched a document, an event or an operation.',
    registers,
  });

  app.addHook('onResponse', async (request, reply) => {
    requestSeconds.observe(
      {
        method: request.method,
        route: request.routeOptions.url ?? 'none',
        status: String(reply.statusCode),
      },
      reply.elapsedTime / 1000,
    );
  });
  const seen = new Set<string>();
  const stop = store.onChange(({ routers, hosts, events, operations }) => {
    if (routers.length + hosts.length + events + operations.length > 0) eventsTotal.inc();
    if (operations.length === 0) return;
    store.db
      .selectFrom('operation')
      .select(['id', 'type', 'state', 'created_at', 'ended_at'])
      .where('id', 'in', [...operations])
      .where('state', '!=', 'running')
      .execute()
      .then((rows) => {
        for (const row of rows) {
          if (seen.has(row.id)) continue;
          if (seen.size > 10_000) seen.clear();
          seen.add(row.id);
          operationSeconds.observe(
            { type: row.type, state: row.state },
            ((row.ended_at ?? row.created_at) - row.created_at) / 1000,
          );
        }
      })
      .catch((error: unknown) => app.log.warn({ err: error }, 'operation not measured'));
  });
  app.addHook('onClose', async () => stop());

  /** Reads the state of everything into the gauges. */
  const collect = async (): Promise<void> => {
    const { db } = store;
    const now = store.now();
    for (const one of [resources, wanted, applied, hostWanted, hostObserved, unwell, workflows]) one.reset();
    const counts = await db
      .selectFrom('workflow')
      .select(['type', 'status', 'step', (eb) => eb.fn.countAll<number>().as('count')])
      .groupBy(['type', 'status', 'step'])
      .execute();
    for (const { type, status, step, count } of counts) workflows.set({ type, status, step }, Number(count));
    for (const table of counted) {
      if (table === 'network') {
        const rows = await db
          .selectFrom('network')
          .select(['state', (eb) => eb.fn.countAll<number>().as('count')])
          .groupBy('state')
          .execute();
        for (const { state, count } of rows) resources.set({ kind: 'network', state }, Number(count));
        continue;
      }
      if (table === 'router' || table === 'host' || table === 'instance') continue;
      const row = await db
        .selectFrom(table)
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      resources.set({ kind: table.replaceAll('_', '-'), state: '' }, Number(row.count));
    }
    const ids = (await db.selectFrom('router').select('id').execute()).map(({ id }) => id);
    for (const view of await routerViews(db, { routers: ids })) {
      resources.inc({ kind: 'router', state: routerState(view, now) });
      wanted.set({ router: view.id, network: view.network }, view.generation);
      applied.set({ router: view.id, network: view.network }, view.appliedGeneration);
      for (const { type, reason } of faults((view.status as RouterStatus | null)?.conditions ?? []))
        unwell.set({ kind: 'router', id: view.id, type, reason }, 1);
    }
    const states = new Map<string, string>();
    const hosts = await db
      .selectFrom('host')
      .leftJoin('host_status', 'host_status.host_id', 'host.id')
      .select([
        'host.id',
        'host.generation',
        'host.last_seen_at',
        'host_status.status',
        'observed_generation',
      ])
      .execute();
    for (const host of hosts) {
      const state = hostState(host.last_seen_at, now);
      resources.inc({ kind: 'host', state });
      hostWanted.set({ host: host.id }, host.generation);
      hostObserved.set({ host: host.id }, host.observed_generation ?? 0);
      if (state !== 'up') unwell.set({ kind: 'host', id: host.id, type: 'Ready', reason: state }, 1);
      if (host.status === null) continue;
      const status = JSON.parse(host.status) as HostStatus;
      for (const machine of status.machines) states.set(machine.id, machine.state);
      for (const { type, reason } of faults(status.conditions))
        unwell.set({ kind: 'host', id: host.id, type, reason }, 1);
    }
    for (const { id } of await db.selectFrom('instance').select('id').execute())
      resources.inc({ kind: 'instance', state: states.get(id) ?? 'starting' });
  };

  app.route({
    method: 'GET',
    url: '/metrics',
    schema: {
      operationId: 'getMetrics',
      tags: ['operation'],
      summary: 'Metrics for Prometheus',
      description: "With an administrator's key, or from this machine itself (not by way of a proxy).",
      response: { 200: { type: 'string', description: 'Prometheus text format' } },
    },
    handler: async (request, reply) => {
      const local =
        ['127.0.0.1', '::1', '::ffff:127.0.0.1'].includes(request.ip) &&
        request.headers['x-forwarded-for'] === undefined &&
        request.headers.forwarded === undefined;
      if (!local) {
        const caller = await callerOf(store.db, request.headers.authorization);
        if (caller === null || !isAdmin(caller))
          throw new Refusal(401, 'no-api-key', "Metrics are read with an administrator's key");
      }
      await collect();
      return reply.type(registry.contentType).send(await registry.metrics());
    },
  });
};
