/** What haproxy knows of its servers by asking them, carried from one router to the next. */
import { join } from 'node:path';
import { ServiceError } from '../service/service-error.ts';
import type { System } from '../system.ts';
import { command, haproxyDirectory, runningServers } from './haproxy.ts';
import { haproxyPaths } from './schema.ts';
import { configuredServers, type RunningServer } from './server-state.ts';

/**
 * A member that is down for less than this may be so only because this router was not heard until a moment ago, s: the three
 * checks that failed take six.
 */
const UNPROVED = 8;
/** Times that haproxy is asked, and told, before it counts as silent. */
const ATTEMPTS = 2;
/** Between two of them, ms: while it takes up a new configuration it refuses to be asked. */
const PAUSE = 200;

/** The configuration file on disk, null when nothing is balanced here. */
const configuration = (system: System): Promise<string | null> =>
  system.files.read(join(haproxyDirectory(system), haproxyPaths.configuration));

/** Servers of the running haproxy; null when it does not answer. */
const serversOf = async (system: System): Promise<Map<string, Map<string, RunningServer>> | null> => {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    if (attempt > 1) await system.clock.sleep(PAUSE);
    try {
      const servers = await runningServers(system);
      if (servers.size > 0) return servers;
    } catch {
      // Asked again: it may be short of processor.
    }
  }
  return null;
};

/**
 * Servers that another router is to count as answering, as `backend/server`. Doubt is in their favour: all of them when
 * haproxy does not answer, and those that went down only just now. One that is told and is not there costs connection attempts
 * until three checks have failed. One that is there and is not told gets no connections until two have passed; and a router
 * that handed on the doubts of its own start would hand them to all that come after it.
 */
export const membersUp = async (system: System): Promise<readonly string[]> => {
  const text = await configuration(system);
  const configured = configuredServers(text ?? '');
  if (configured.length === 0) return [];
  const servers = await serversOf(system);
  if (servers === null) return configured;
  return [...servers].flatMap(([backend, members]) =>
    [...members].flatMap(([name, { up, since }]) => (up || since < UNPROVED ? [`${backend}/${name}`] : [])),
  );
};

/**
 * Counts servers as answering, and their failed checks from nought again: a router that is to take over gets no answers to
 * its checks, as they reach the one that is active. From here on it takes three failures (six seconds) to be wrong. What
 * this router does not have, or has in maintenance, is left out.
 *
 * @throws {ServiceError} when haproxy does not answer, or does not do it: whoever hands over all the same sends connections to a
 *   balancer that holds everybody for dead.
 */
export const raiseMembers = async (system: System, members: readonly string[]): Promise<void> => {
  if (members.length === 0 || configuredServers((await configuration(system)) ?? '').length === 0) return;
  let answer = '';
  for (let attempt = 0; ; attempt += 1) {
    const servers = await serversOf(system);
    if (servers === null)
      throw new ServiceError('service-not-ready', 'haproxy does not say what it knows of its members');
    const there = members.flatMap((member) => {
      const [backend = '', name = ''] = member.split('/');
      const found = servers.get(backend)?.get(name);
      return found === undefined || found.maintenance ? [] : [{ member, up: found.up }];
    });
    // At first all of them: one that is up may have failed twice.
    const wanted = attempt === 0 ? there : there.filter(({ up }) => !up);
    if (wanted.length === 0) return;
    if (attempt === ATTEMPTS) {
      const names = wanted.map(({ member }) => member).join(', ');
      throw new ServiceError('service-protocol', `haproxy does not count ${names} as answering: ${answer}`);
    }
    answer = await command(
      system,
      wanted.map(({ member }) => `set server ${member} health up`),
    );
  }
};
