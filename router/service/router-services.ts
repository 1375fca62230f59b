import type { RouterDocument, RouterStatus } from 'documents';
import { Refusal } from '../api/problem.ts';
import { jsonOf, type Routes } from '../api/server.ts';
import { diagnose } from '../diagnostics/diagnose.ts';
import { supportBundle } from '../diagnostics/support-bundle.ts';
import { HealthMonitor } from '../health/health-monitor.ts';
import { handoverRoutes } from '../handover/routes.ts';
import { drainMember } from '../loadbalancer/apply.ts';
import { metadataServer } from '../metadata/apply.ts';
import type { System } from '../system.ts';
import { dnsmasqOf } from './dnsmasq-of.ts';
import { releaseServices, serviceConditions } from './services.ts';

/** What is asked of the router the services belong to. */
export interface ServedRouter {
  /** Document in force without passwords, null before the first. */
  readonly document: RouterDocument | null;
  readonly generation: number;
  readonly status: () => Promise<RouterStatus>;
  readonly diff: () => Promise<{ readonly text: string } | { readonly problems: unknown }>;
}

/** The services of a router as its daemon needs them besides their features. */
export interface RouterServices {
  /** For `Router`: health, leases and conditions of status. */
  readonly observe: () => Promise<Pick<RouterStatus, 'health' | 'leases' | 'conditions'>>;
  /** For the control API: diagnostics, support bundle, drain, health on demand. */
  readonly routes: Routes;
  /** Begins to check the services' health. */
  readonly start: () => void;
  /** Ends what runs inside this process and lets go of what does not: daemons go on. */
  readonly close: () => void;
  /** The same, once guests that were being answered have their answers; soon in any case. */
  readonly finish: () => Promise<void>;
}

const drain = async (system: System, body: unknown): Promise<void> => {
  const { loadBalancer, member } = (body ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof loadBalancer !== 'string' || typeof member !== 'string') {
    throw new Refusal(422, 'not-valid', 'Send {"loadBalancer","member"}, ids of the document in force');
  }
  if (!(await drainMember(system, loadBalancer, member))) {
    throw new Refusal(404, 'not-found', `Load balancer ${loadBalancer} has no member ${member} here`);
  }
};

/** Ties the services of `system` to the router that applies them. `router` is asked for when it is needed, not before. */
export const routerServices = (system: System, router: () => ServedRouter): RouterServices => {
  const monitor = new HealthMonitor(system, {
    document: () => router().document,
    drift: async () => {
      const result = await router().diff();
      return 'text' in result ? result.text : '';
    },
  });
  const observe: RouterServices['observe'] = async () => ({
    health: [...monitor.results],
    leases: (await dnsmasqOf(system).leases()).map(({ mac, address, expiresAt }) => ({
      mac,
      address,
      expiresAt: expiresAt === null ? 0 : expiresAt * 1000,
    })),
    conditions: serviceConditions(system).map((condition) => ({
      ...condition,
      message: condition.message.slice(0, 4096),
      observedGeneration: router().generation,
    })),
  });
  const routes: Routes = {
    ...handoverRoutes(system, () => router().document),
    '/v1/diagnostics': {
      POST: async (request) => {
        const outcome = await diagnose(system, { legs: router().document?.legs ?? [] }, jsonOf(request));
        if ('exitCode' in outcome) return { status: 200, body: outcome };
        throw new Refusal(422, 'not-valid', 'Nothing was run', outcome);
      },
    },
    '/v1/support-bundle': {
      GET: async () => {
        const status = await router().status();
        const body = await supportBundle(system, {
          document: router().document,
          json: { status },
          health: await monitor.check({ thorough: true }),
        });
        return { status: 200, body, contentType: 'application/gzip' };
      },
    },
    '/v1/drain': {
      POST: async (request) => {
        await drain(system, jsonOf(request));
        return { status: 200, body: {} };
      },
    },
    '/v1/health': {
      POST: async () => ({ status: 200, body: { items: await monitor.check({ thorough: true }) } }),
    },
  };
  const close = (): void => {
    monitor.stop();
    metadataServer(system).close();
    releaseServices(system);
  };
  return {
    observe,
    routes,
    start: () => monitor.start(),
    close,
    finish: async () => {
      monitor.stop();
      releaseServices(system);
      await metadataServer(system).finish();
    },
  };
};
