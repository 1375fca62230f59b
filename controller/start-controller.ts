/** Puts the controller together: store, API, delivery, network collection. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import pino, { type Logger } from 'pino';
import { readKeys } from 'signed-bundle';
import { buildApi } from './api/build-api.ts';
import { bootstrap } from './auth/bootstrap.ts';
import { startDelivery } from './deliver/delivery.ts';
import { startNetworkGc } from './network-gc.ts';
import { startSickRouters } from './redundancy/sick-routers.ts';
import { takeOwnership } from './store/single-owner.ts';
import { openStore, type Store } from './store/store.ts';
import { startWorkflows } from './workflow/engine.ts';
import { patchRouter } from './workflow/patch/patch-router.ts';
import { rebuildStandby } from './workflow/rebuild-standby/rebuild-standby.ts';
import { replaceRouter } from './workflow/replace/replace-router.ts';
import { upgradeRun } from './workflow/upgrade/upgrade-run.ts';

export interface ControllerOptions {
  /** State directory (docs/contracts.md). */
  readonly state: string;
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** How long a network may be without guests before its router goes, seconds. */
  readonly networkGc: number;
  /** Keys that may sign the bundles of routers: texts with public keys in PEM. Without any no bundle is taken. */
  readonly trustedKeys?: readonly string[];
  /** Whether sick routers are replaced without anybody asking; true if not said. */
  readonly autoReplace?: boolean;
  readonly logger?: Logger;
}

export interface Controller {
  readonly app: FastifyInstance;
  readonly store: Store;
  /** `http://127.0.0.1:8480` */
  readonly url: string;
  /** File with the administrator's API key. */
  readonly keyFile: string;
  /** Answers what is under way, tells agents good-bye, and closes the store. Routers and guests run on. */
  stop(): Promise<void>;
}

/** Starts the controller and listens. Everything it needs after a crash is in its store. */
export const startController = async (options: ControllerOptions): Promise<Controller> => {
  const log = options.logger ?? pino({ level: 'info', redact: ['req.headers.authorization'] });
  mkdirSync(options.state, { recursive: true, mode: 0o700 });
  const keyFile = join(options.state, 'admin.key');
  const release = takeOwnership(join(options.state, 'controller', 'owner.lock'));
  const store = await openStore({
    directory: join(options.state, 'controller'),
    onListenerError: (error) => log.error({ err: error }, 'listener of the store failed'),
  });
  try {
    if (await bootstrap(store, keyFile)) log.info({ keyFile }, 'the key of the admin account is written');
    const delivery = startDelivery({
      store,
      log,
      decryptPassword: (instance, text) => store.secrets.decrypt(text, instance),
    });
    const gc = startNetworkGc({
      store,
      wait: options.networkGc * 1000,
      onError: (error) => log.error({ err: error }, 'collecting idle networks failed'),
    });
    const workflows = startWorkflows({
      store,
      link: delivery,
      log,
      types: [patchRouter, rebuildStandby, replaceRouter, upgradeRun],
    });
    const sickRouters = startSickRouters({
      store,
      link: delivery,
      log,
      autoReplace: options.autoReplace ?? true,
    });
    const trustedKeys = (options.trustedKeys ?? []).flatMap((text) => readKeys(text));
    const app = await buildApi({ store, routers: delivery, logger: log, trustedKeys });
    await app.register(delivery.routes);
    const url = await app.listen({ host: options.host, port: options.port });
    log.info({ url, state: options.state }, 'listening');
    return {
      app,
      store,
      url,
      keyFile,
      stop: async () => {
        await gc.stop();
        const looked = sickRouters.stop();
        const stopped = workflows.stop();
        // Ends what workflows wait for.
        await delivery.close();
        await stopped;
        await looked;
        await app.close();
        await store.close();
        release();
      },
    };
  } catch (error) {
    await store.close();
    release();
    throw error;
  }
};
