import { join } from 'node:path';
import type { Problem } from 'documents';
import type { Applied, ServiceOutlook } from '../feature.ts';
import { ServiceError } from '../service/service-error.ts';
import { service } from '../service/services.ts';
import { textDiff } from '../service/text-diff.ts';
import type { System } from '../system.ts';
import {
  checkConfiguration,
  command,
  haproxyDirectory,
  haproxyProgram,
  serverChanges,
  structureInForce,
} from './haproxy.ts';
import { reload } from './reload.ts';
import type { RenderedLoadBalancers, RenderedServer } from './render.ts';
import { haproxyPaths } from './schema.ts';

/** Members told to drain ahead of the document that says so, as `backend/server`; the next document decides. */
const draining = new WeakMap<System, Set<string>>();

const configurationPath = (system: System): string =>
  join(haproxyDirectory(system), haproxyPaths.configuration);

const wantedServers = (
  system: System,
  { backends }: RenderedLoadBalancers,
): ReadonlyMap<string, readonly RenderedServer[]> => {
  const early = draining.get(system);
  if (early === undefined || early.size === 0) return backends;
  return new Map(
    [...backends].map(([backend, servers]) => [
      backend,
      servers.map((server) => (early.has(`${backend}/${server.name}`) ? { ...server, weight: 0 } : server)),
    ]),
  );
};

const runs = (system: System, { subject }: RenderedLoadBalancers): Promise<boolean> =>
  service(system, 'haproxy').isRunning(haproxyProgram(system, subject));

/** Brings the servers of the running haproxy to what is wanted; reads back that they are. */
const applyServers = async (system: System, next: RenderedLoadBalancers): Promise<string[]> => {
  const sentences: string[] = [];
  let answer = '';
  // A command may still reach a worker that is being replaced, so what counts is what the next look finds.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const changes = await serverChanges(system, wantedServers(system, next));
    if (changes.length === 0) return sentences;
    const essential = changes.filter(({ leaving }) => leaving !== true);
    if (attempt > 0 && essential.length === 0) return sentences;
    if (attempt === 0) sentences.push(...essential.map(({ sentence }) => sentence));
    answer = await command(
      system,
      changes.flatMap(({ commands }) => commands),
    );
  }
  const left = (await serverChanges(system, wantedServers(system, next))).filter(
    ({ leaving }) => leaving !== true,
  );
  if (left.length === 0) return sentences;
  const what = left.map(({ sentence }) => sentence).join(', ');
  throw new ServiceError('service-protocol', `haproxy does not take over: ${what}. It says: ${answer}`);
};

/** Asks `haproxy -c`. Throws ServiceError when it gives no verdict. */
export const check = async (system: System, next: RenderedLoadBalancers): Promise<Problem[]> => {
  if (next.configuration === '') return [];
  if (next.configuration === (await system.files.read(configurationPath(system)))) return [];
  const words = await checkConfiguration(system, next.configuration);
  if (words === null) return [];
  const hint =
    'Correct what it names; if nothing in the document explains it, the installed haproxy is another one than 2.6.';
  return [
    {
      pointer: '/loadBalancers',
      code: 'haproxy-refuses',
      message: `haproxy refuses the configuration: ${words}`,
      hint,
    },
  ];
};

/**
 * Difference of the configuration file, and the commands the running haproxy would get. Throws ServiceError when it runs and
 * does not answer.
 */
export const diff = async (system: System, next: RenderedLoadBalancers): Promise<string> => {
  const path = configurationPath(system);
  const before = await system.files.read(path);
  const text = textDiff(
    `haproxy/${haproxyPaths.configuration}`,
    before,
    next.configuration === '' ? null : next.configuration,
  );
  if (next.configuration === '') return text;
  if (!(await runs(system, next))) return `${text}haproxy: start\n`;
  if ((await structureInForce(system)) !== next.structure) return `${text}haproxy: reload\n`;
  const changes = await serverChanges(system, wantedServers(system, next));
  const commands = changes.filter(({ leaving }) => leaving !== true).flatMap((change) => change.commands);
  return text + commands.map((line) => `haproxy: ${line}\n`).join('');
};

/** What haproxy would be told. */
export const outlook = async (system: System, next: RenderedLoadBalancers): Promise<ServiceOutlook> => {
  const text = await diff(system, next);
  const change = async (): Promise<ServiceOutlook['change']> => {
    const running = await runs(system, next);
    if (next.configuration === '') return running ? 'stop' : 'none';
    if (!running) return 'start';
    if ((await structureInForce(system)) !== next.structure) return 'reload';
    return text === '' ? 'none' : 'told';
  };
  return { name: 'haproxy', change: await change(), text };
};

/** Ends haproxy when there is nothing to balance: its connections may still finish. */
const withdraw = async (system: System, next: RenderedLoadBalancers): Promise<Applied> => {
  const stopped = await service(system, 'haproxy').stop(haproxyProgram(system, next.subject), 'SIGUSR1');
  const removed = await system.files.remove(configurationPath(system));
  return {
    changes: stopped || removed ? ['haproxy is no longer needed: it ends with its last connection'] : [],
  };
};

const bringAbout = async (system: System, next: RenderedLoadBalancers): Promise<Applied> => {
  if (next.configuration === '') return withdraw(system, next);
  // The file comes first: should haproxy or we end at any moment, the next start finds what is wanted.
  const written = await system.files.write(configurationPath(system), next.configuration, 0o600);
  const outcome = await service(system, 'haproxy').start(haproxyProgram(system, next.subject));
  if (outcome === 'started') return { changes: ['haproxy started'] };
  const changes: string[] = [];
  if ((await structureInForce(system)) !== next.structure) {
    await reload(system, next.structure);
    changes.push('haproxy reloaded with new listeners; earlier connections go on in the old worker');
  }
  changes.push(...(await applyServers(system, next)));
  if (changes.length === 0 && written) changes.push('haproxy.cfg brought in line with what runs');
  return { changes };
};

/** Members by the runtime socket, everything else by a reload that passes the listening sockets on. */
export const apply = (system: System, next: RenderedLoadBalancers): Promise<Applied> => {
  draining.delete(system);
  return bringAbout(system, next);
};

/** Starts haproxy when it does not run, reloads or commands it when it runs with something else. */
export const heal = (system: System, current: RenderedLoadBalancers): Promise<Applied> =>
  bringAbout(system, current);

/**
 * Sets a member to drain at once, ahead of the document that will say so; false when the running haproxy has no such member.
 * Healing leaves it so until another document is applied.
 */
export const drainMember = async (system: System, loadBalancer: string, member: string): Promise<boolean> => {
  const name = `${loadBalancer}/${member}`;
  const wanted = [{ name: member, address: '', port: 0, weight: 0 }];
  const missing = (await serverChanges(system, new Map([[loadBalancer, wanted]]))).some(({ commands }) =>
    commands.some((line) => line.startsWith(`add server ${name} `)),
  );
  if (missing) return false;
  const early = draining.get(system) ?? new Set();
  draining.set(system, early.add(name));
  await command(system, [`set server ${name} weight 0`]);
  return true;
};
