import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { processStartTime, trimMemory } from 'node-netlink';
import { pino } from 'pino';
import { controlRoutes } from './api/routes.ts';
import { apiServer } from './api/server.ts';
import { DocumentStore } from './document/store.ts';
import { routerFeatures } from './features.ts';
import { Counters } from './observe/counters.ts';
import { type DriftWatch, watchDrift } from './observe/drift.ts';
import { EventLog } from './observe/event-log.ts';
import { openSystem } from './open-system.ts';
import { Router } from './router.ts';
import { routerServices } from './service/router-services.ts';

/** Version of the daemon, as in status. */
const VERSION = '0.1.0';

/** Length from which a transaction is a bulk load, characters. */
const BULK = 64 * 1024;

/** How long nothing must have been applied before memory is given back, and how often it is besides, ms. */
const REST = 10_000;
const REGULAR_REST = 10 * 60_000;

/** Unix socket paths end here (unix(7)), bytes. */
const LONGEST_SOCKET_PATH = 107;

interface DaemonRecord {
  readonly pid: number;
  /** Ticks since boot: tells the process from a later one of the same id. */
  readonly startTime: number | null;
  readonly bundle: string;
}

/** A daemon that runs on this directory already, null when there is none. */
const runningDaemon = async (path: string): Promise<number | null> => {
  try {
    const { pid, startTime } = JSON.parse(await readFile(path, 'utf8')) as DaemonRecord;
    return pid !== process.pid && startTime !== null && processStartTime(pid) === startTime ? pid : null;
  } catch {
    return null;
  }
};

/** Runs a router on its directory until it is told to end. Resolves when it listens. */
export const runDaemon = async (directory: string): Promise<void> => {
  const log = pino({ base: null }, pino.destination({ dest: 1, sync: true }));
  const socket = join(directory, 'control.sock');
  if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH) {
    throw new Error(
      `${socket} is longer than the ${LONGEST_SOCKET_PATH} bytes of a socket path; use a shorter --state`,
    );
  }
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const record = join(directory, 'daemon.json');
  const other = await runningDaemon(record);
  if (other !== null) throw new Error(`A router daemon (pid ${other}) runs on ${directory} already`);

  const { features, rulesetState } = routerFeatures();
  const events = new EventLog(randomBytes(6).readUIntBE(0, 6).toString(36), Date.now);
  const beside = join(dirname(fileURLToPath(import.meta.url)), 'nft-helper.mjs');
  const system = openSystem({
    directory,
    ...(existsSync(beside) ? { helper: beside } : {}),
    report: (event) => {
      events.add({ ...event, generation: router.generation });
      log[event.level === 'warning' ? 'warn' : event.level](event, event.message);
    },
    onHelperExit: (reason) => log.warn(reason),
  });
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
  const store = new DocumentStore(directory);
  const services = routerServices(system, () => router);
  const { observe } = services;
  const router = new Router({ system, features, store, events, counters, version: VERSION, observe });
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

  const server = apiServer(controlRoutes(router, events, services.routes), onError);
  await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(socket, resolve);
  });
  await chmod(socket, 0o600);
  const own: DaemonRecord = {
    pid: process.pid,
    startTime: processStartTime(process.pid),
    bundle: fileURLToPath(import.meta.url),
  };
  await writeFile(record, `${JSON.stringify(own)}\n`, { mode: 0o600 });
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
    services.close();
    server.close();
    server.closeAllConnections();
    void router
      .close()
      .then(() => system.nftables.close())
      .catch(onError)
      .finally(() => process.exit(0));
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
};
