/** What haproxy knows of its servers by asking them, carried from one router to the next. */
import { join } from 'node:path';
import type { System } from '../system.ts';
import { command, haproxyDirectory, runningServers } from './haproxy.ts';
import { haproxyPaths } from './schema.ts';
import type { RunningServer } from './server-state.ts';

/** Servers of the running haproxy; none where none runs or it does not answer: it is asked again by whoever needs it. */
const serversOf = async (system: System): Promise<Map<string, Map<string, RunningServer>>> => {
  const path = join(haproxyDirectory(system), haproxyPaths.configuration);
  if ((await system.files.read(path)) === null) return new Map();
  try {
    return await runningServers(system);
  } catch {
    return new Map();
  }
};

/** Servers that answer their checks, as `backend/server`. */
export const membersUp = async (system: System): Promise<readonly string[]> =>
  [...(await serversOf(system))].flatMap(([backend, servers]) =>
    [...servers].flatMap(([name, { up }]) => (up ? [`${backend}/${name}`] : [])),
  );

/**
 * Counts servers as answering, and their failed checks from nought again: a router that is to take over gets no answers to
 * its checks, as they reach the one that is active. From here on it takes three failures (six seconds) to be wrong.
 */
export const raiseMembers = async (system: System, members: readonly string[]): Promise<void> => {
  if (members.length === 0) return;
  const servers = await serversOf(system);
  const there = members.filter((member) => {
    const [backend = '', name = ''] = member.split('/');
    return servers.get(backend)?.get(name)?.maintenance === false;
  });
  if (there.length > 0)
    await command(
      system,
      there.map((member) => `set server ${member} health up`),
    );
};
