import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundleName } from 'documents';
import { trimMemory } from 'node-netlink';
import { pino } from 'pino';
import { controlRoutes } from './api/routes.ts';
import { apiServer } from './api/server.ts';
import { DocumentStore } from './document/store.ts';
import { routerFeatures } from './features.ts';
import { Counters } from './observe/counters.ts';
import { type DriftWatch, watchDrift } from './observe/drift.ts';
import { EventLog } from './observe/event-log.ts';
import { metadataServer } from './metadata/apply.ts';
import { render as renderMetadata } from './metadata/render.ts';
import { type OpenSystemOptions, openSystem } from './open-system.ts';
import { ownBundle, ownFile } from './own-bundle.ts';
import { Router } from './router.ts';
import { routerServices } from './service/router-services.ts';
import { routerSync } from './sync/routes.ts';
import { proofOf, writeProof } from './takeover/proof.ts';
import { prove } from './takeover/prove.ts';
import { endDaemon, recordDaemon, runningDaemon } from './takeover/running-daemon.ts';

/** Version of the daemon, as in status, where it does not run from a bundle that has one. */
const VERSION = '0.1.0';

/** Length from which a transaction is a bulk load, characters. */
const BULK = 64 * 1024;

/** How long nothing must have been applied before memory is given back, and how often it is besides, ms. */
const REST = 10_000;
const REGULAR_REST = 10 * 60_000;

/** Exit code of a program that may not take over. */
const REFUSED = 3;

/** Unix socket paths end here (unix(7)), bytes. */
const LONGEST_SOCKET_PATH = 107;

/** From a bundle, the helper is the bundle itself, told to be it. */
const helperOf = (bundle: BundleName | null): Pick<OpenSystemOptions, 'helper' | 'helperArgs'> =>
  bundle === null ? {} : { helper: ownFile, helperArgs: ['--nft-helper'] };

const checkSocketPath = (directory: string): string => {
  const socket = join(directory, 'control.sock');
  if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH) {
    throw new Error(
      `${socket} is longer than the ${LONGEST_SOCKET_PATH} bytes of a socket path; use a shorter --state`,
    );
  }
  return socket;
};

/**
 * Looks whether this program could take over the router of a directory, and prints what it found, as JSON. Changes nothing.
 * Resolves to the exit code: 0 when it could, 3 when not.
 */
export const proveDaemon = async (directory: string): Promise<number> => {
  const bundle = ownBundle();
  const system = openSystem({ directory, ...helperOf(bundle), report: () => undefined });
  try {
    const { finding } = await prove(system, routerFeatures().features, new DocumentStore(directory));
    process.stdout.write(`${JSON.stringify(proofOf(finding, bundle))}\n`);
    return finding.outcome === 'proved' ? 0 : REFUSED;
  } finally {
    await system.nftables.close();
  }
};

/** How a daemon is started. */
export interface DaemonOptions {
  /** In place of the daemon that runs on the directory, if one does and if this one proves that it can. */
  readonly takeOver?: boolean;
}

/**
 * Runs a router on its directory until it is told to end. Resolves when it listens; with `takeOver` the process ends with
 * exit code 3 instead when this program cannot take over, and the daemon that runs has not noticed.
 */
export const runDaemon = async (directory: string, options: DaemonOptions = {}): Promise<void> => {
  const log = pino({ base: null }, pino.destination({ dest: 1, sync: true }));
  const socket = checkSocketPath(directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const other = await runningDaemon(directory);
  if (other !== null && options.takeOver !== true) {
    throw new Error(`A router daemon (pid ${other.pid}) runs on ${directory} already`);
  }

  const bundle = ownBundle();
  const { features, rulesetState } = routerFeatures();
  const events = new EventLog(randomBytes(6).readUIntBE(0, 6).toString(36), Date.now);
  const system = openSystem({
    directory,
    ...helperOf(bundle),
    report: (event) => {
      events.add({ ...event, generation: router.generation });
      log[event.level === 'warning' ? 'warn' : event.level](event, event.message);
    },
    onHelperExit: (reason) => log.warn(reason),
  });
  const store = new DocumentStore(directory);
  if (other !== null) {
    const { finding, document } = await prove(system, routerFeatures().features, store);
    const proof = proofOf(finding, bundle);
    await writeProof(directory, proof);
    if (proof.outcome === 'refused') {
      log.error(proof, 'this program cannot take over the router');
      await system.nftables.close();
      process.exit(REFUSED);
    }
    if (document !== null) await metadataServer(system).besides(renderMetadata(document));
    const how = await endDaemon(other);
    log.info({ pid: other.pid, how }, 'took over');
  }
  // Before anything is applied: whoever looks now must not start another one.
  await recordDaemon(directory, bundle);
  // Bulk loads are applied without listening to their own announcements.
  let watch: DriftWatch | null = null;
  const { nftables } = system;
  const apply = nftables.apply.bind(nftables);
  let resting: NodeJS.Timeout | undefined;
  const restSoon = (): void => {
    clearTimeout(resting);
    resting = setTimeout(() => {
      trimMemory();
      // What the collector and the checks let go of later.
      resting = setTimeout(trimMemory, 4 * REST);
      resting.unref();
    }, REST);
    resting.unref();
  };
  nftables.apply = (text) => {
    restSoon();
    return watch === null || text.length < BULK ? apply(text) : watch.deaf(() => apply(text));
  };
  const counters = new Counters(system, rulesetState);
  const services = routerServices(system, () => router);
  const { observe } = services;
  const router = new Router({
    system,
    features,
    store,
    events,
    counters,
    observe,
    version: bundle?.version ?? VERSION,
    ...(bundle === null ? {} : { bundle }),
  });
  const onError = (error: unknown): void => log.error({ err: error }, 'unexpected');

  await router.start();
  watch = watchDrift({
    heal: (only) => router.heal(only),
    rulesetGeneration: () => rulesetState.generation,
    handingOver: () => router.document?.handover !== undefined,
    onError,
  });
  // Between the start and the watch something may have changed.
  await router.heal(new Set(['handover', 'ruleset', 'legs', 'routes']));

  const sync = routerSync(system, () => router.place, onError);
  const routes = controlRoutes(router, events, { ...services.routes, ...sync.routes });
  const server = apiServer(routes, onError, sync.streams);
  await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(socket, resolve);
  });
  await chmod(socket, 0o600);
  services.start();
  restSoon();
  setInterval(trimMemory, REGULAR_REST).unref();
  log.info({ pid: process.pid, generation: router.generation }, 'listening');

  let ending = false;
  const end = (signal: string): void => {
    if (ending) return;
    ending = true;
    log.info({ signal }, 'ending; kernel and services stay as they are');
    watch?.close();
    sync.close();
    server.close();
    server.closeAllConnections();
    void Promise.all([services.finish(), router.close().then(() => system.nftables.close())])
      .catch(onError)
      .finally(() => process.exit(0));
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
};
