import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { askSocket } from '../service/ask-socket.ts';
import type { Program } from '../service/program.ts';
import { ServiceError } from '../service/service-error.ts';
import { service } from '../service/services.ts';
import type { System } from '../system.ts';
import type { RenderedServer } from './render.ts';
import { haproxyPaths } from './schema.ts';
import { parseServerState, planServers, type RunningServer, type ServerChange } from './server-state.ts';

const HAPROXY = '/usr/sbin/haproxy';
/** haproxy takes a command line of up to 16 kB (tune.bufsize); commands are far below 200 bytes. */
const COMMANDS_A_LINE = 40;
/** How long a reload may take, ms; it is asked for again once. A worker with 1000 servers starts in tens of ms. */
const RELOAD_WITHIN = 4_000;

/** How long after a reload the master is left alone, ms. */
const MASTER_SETTLES = 400;

/** The folder haproxy runs in. */
export const haproxyDirectory = (system: System): string => service(system, 'haproxy').directory;

const at = (system: System, name: keyof typeof haproxyPaths): string =>
  join(haproxyDirectory(system), haproxyPaths[name]);

/** Asks the worker in charge. */
const ask = (system: System, command: string): Promise<string> =>
  askSocket(at(system, 'runtimeSocket'), command);

/** What the worker in charge has loaded, null when none answers. */
export const loadedStructure = async (system: System): Promise<string | null> => {
  try {
    const info = await ask(system, 'show info');
    return /^description: (.*)$/im.exec(info)?.[1] ?? null;
  } catch {
    return null;
  }
};

/**
 * haproxy in master-worker mode. The master stays root, for it binds ports and opens sockets at every reload; workers, which
 * touch packets, are the user haproxy in an empty root directory. All their files are open before they become so: nothing
 * on the way to the folder has to be opened to others, and paths in the configuration are relative to it.
 */
export const haproxyProgram = (system: System, subject: string): Program => ({
  path: HAPROXY,
  args: () => [
    '-W',
    '-C',
    haproxyDirectory(system),
    '-S',
    `unix@${haproxyPaths.masterSocket},mode,600`,
    '-f',
    haproxyPaths.configuration,
  ],
  marks: ['-C', haproxyDirectory(system)],
  subject,
  prepare: async () => {
    await mkdir(at(system, 'jail'), { recursive: true, mode: 0o755 });
  },
  ready: async () => (await loadedStructure(system)) !== null,
});

/** haproxy's own verdict on a configuration: null when it would take it, else its words. */
export const checkConfiguration = async (system: System, configuration: string): Promise<string | null> => {
  // Another daemon may be asking at the same time.
  const name = `${haproxyPaths.candidate}.${process.pid}`;
  const candidate = join(haproxyDirectory(system), name);
  await system.files.write(candidate, configuration, 0o600);
  await mkdir(at(system, 'jail'), { recursive: true, mode: 0o755 });
  const args = ['-c', '-C', haproxyDirectory(system), '-f', name];
  const { exitCode, stderr, stdout } = await system.exec.run(HAPROXY, args, { timeout: 10_000 });
  await system.files.remove(candidate);
  return exitCode === 0 ? null : `${stderr}${stdout}`.trim();
};

/** Failed reloads since the master started, null when it does not answer (it is just executing itself again). */
const failedReloads = async (system: System): Promise<number | null> => {
  try {
    const processes = await askSocket(at(system, 'masterSocket'), 'show proc', 500);
    return Number(/\[failed: (\d+)\]/.exec(processes)?.[1] ?? Number.NaN);
  } catch {
    return null;
  }
};

/**
 * Has a new worker take over the listening sockets with the configuration on disk; the old one finishes its connections.
 *
 * haproxy 2.6 may never answer `reload` nor close the connection, and loses commands that reach the master while it
 * executes itself again. So the answer is not waited for; that the reload happened is read from what the worker in charge says it
 * has loaded, and it is asked for a second time when that does not come.
 */
export const reload = async (system: System, structure: string): Promise<void> => {
  const { clock } = system;
  const failed = await failedReloads(system);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    askSocket(at(system, 'masterSocket'), 'reload', 1_000).catch(() => undefined);
    const asked = clock.now();
    const deadline = asked + RELOAD_WITHIN;
    for (let wait = 10; clock.now() < deadline; wait = Math.min(wait * 2, 100)) {
      await clock.sleep(wait);
      if ((await loadedStructure(system)) === structure) return;
      // While it executes itself again the master does not answer, and asking would only cost time.
      if (clock.now() - asked < MASTER_SETTLES) continue;
      const now = await failedReloads(system);
      if (failed !== null && now !== null && now > failed) {
        throw new ServiceError(
          'service-protocol',
          'haproxy refused the new configuration; the old worker goes on',
        );
      }
    }
  }
  throw new ServiceError('service-not-ready', 'haproxy did not finish its reload; the old worker goes on');
};

/** The servers of the running haproxy, by backend and name. */
export const runningServers = async (system: System): Promise<Map<string, Map<string, RunningServer>>> =>
  parseServerState(await ask(system, 'show servers state'));

/** What to change at the servers of the running haproxy to have `wanted`. */
export const serverChanges = async (
  system: System,
  wanted: ReadonlyMap<string, readonly RenderedServer[]>,
): Promise<ServerChange[]> => planServers(await runningServers(system), wanted);

/** Sends commands, many a line. Their answers are not read: what came of them is asked for afterwards. */
export const command = async (system: System, commands: readonly string[]): Promise<string> => {
  const answers: string[] = [];
  for (let index = 0; index < commands.length; index += COMMANDS_A_LINE) {
    answers.push(await ask(system, commands.slice(index, index + COMMANDS_A_LINE).join(';')));
  }
  return answers.join('').trim().replaceAll(/\n+/g, ' | ');
};
