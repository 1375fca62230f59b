import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { askSocket } from '../service/ask-socket.ts';
import { configurationVerdict } from '../service/configuration-verdict.ts';
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
/** A haproxy that is short of processor is asked so many times what it has loaded... */
const LOOKS = 3;
/** ... with this much time in between, ms: connections are refused for a moment while the master executes itself again. */
const PAUSE = 200;

/** The folder haproxy runs in. */
export const haproxyDirectory = (system: System): string => service(system, 'haproxy').directory;

/** Where haproxy has one of its files. */
export const at = (system: System, name: keyof typeof haproxyPaths): string =>
  join(haproxyDirectory(system), haproxyPaths[name]);

/** Asks the worker in charge. */
const ask = (system: System, command: string): Promise<string> =>
  askSocket(at(system, 'runtimeSocket'), command);

/** What the worker in charge has loaded; null when none answers, which says nothing about it. */
export const loadedStructure = async (system: System): Promise<string | null> => {
  try {
    const info = await ask(system, 'show info');
    return /^description: (.*)$/im.exec(info)?.[1] ?? null;
  } catch {
    return null;
  }
};

/**
 * What the haproxy that runs has loaded.
 *
 * @throws {ServiceError} `service-not-ready` when it does not answer, which is no reason to touch it: it may only be short
 *   of processor, and a new worker would be so too.
 */
export const structureInForce = async (system: System): Promise<string> => {
  for (let look = 1; look <= LOOKS; look += 1) {
    const loaded = await loadedStructure(system);
    if (loaded !== null) return loaded;
    await system.clock.sleep(PAUSE);
  }
  const message = 'haproxy runs but does not say what it has loaded; it is left as it is and asked again';
  throw new ServiceError('service-not-ready', message);
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

/**
 * haproxy's own verdict on a configuration: null when it would take it, else its words.
 *
 * @throws {ServiceError} `service-no-verdict`
 */
export const checkConfiguration = async (system: System, configuration: string): Promise<string | null> => {
  // Another daemon may be asking at the same time.
  const name = `${haproxyPaths.candidate}.${process.pid}`;
  const candidate = join(haproxyDirectory(system), name);
  await mkdir(at(system, 'jail'), { recursive: true, mode: 0o755 });
  await system.files.write(candidate, configuration, 0o600);
  try {
    const args = ['-c', '-C', haproxyDirectory(system), '-f', name];
    // 1: it has errors; 2: it has none but would not start (haproxy.c, MODE_CHECK).
    return await configurationVerdict(system, HAPROXY, args, [1, 2]);
  } finally {
    await system.files.remove(candidate);
  }
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
