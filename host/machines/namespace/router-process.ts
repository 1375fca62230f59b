/** The daemon of a router in a network namespace, as a program. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { LaunchedProgram } from './launch.ts';
import type { SupervisedProgram } from './supervised-process.ts';

export interface RouterProgram {
  /** Path of Node. */
  readonly node: string;
  /** Path of the daemon's bundle that this host came with. */
  readonly bundle: string;
  /** Further arguments of Node, before the bundle. */
  readonly nodeArgs?: readonly string[];
}

/**
 * Hundreds of daemons share a host: a small young generation, and one thread for the collector. Not `--optimize-for-size`:
 * it saves an idle router two megabytes, but stops one with 30,000 rules for 40 ms every hundred changes (measured).
 */
const memoryFlags = ['--max-semi-space-size=1', '--v8-pool-size=1', '--no-warnings'];

/** Folder of node_modules that has koffi: what has a native part is not in a bundle, and found by this (NODE_PATH). */
const nativeModules = (() => {
  const path = createRequire(import.meta.url).resolve('koffi');
  return path.slice(0, path.lastIndexOf('/koffi/'));
})();

export interface RouterPlace {
  readonly id: string;
  readonly namespace: string;
  /** The directory of the router. */
  readonly directory: string;
  /** Most memory of its heap, bytes; null: as Node has it. */
  readonly memory: number | null;
}

/** Prints what another router needs to go on with what this one does (router/print-state.ts). */
export const EXPORT_STATE = '--export-state';

/** Whether a process with these arguments runs the program of the daemon on this directory, whatever bundle it is from. */
export const isDaemonOf = (directory: string, args: readonly string[]): boolean =>
  args.includes('--state') && args[args.indexOf('--state') + 1] === directory;

/** The same, and it is the daemon, not its program run once for what it prints. */
export const isLastingDaemonOf = (directory: string, args: readonly string[]): boolean =>
  isDaemonOf(directory, args) && !args.includes(EXPORT_STATE);

/** How a daemon is started from a bundle. `beside`: while another runs, whose place it takes. */
export const daemonProgram = (
  place: RouterPlace,
  program: RouterProgram,
  bundle: string,
  beside: boolean,
): LaunchedProgram => {
  const { directory, namespace, memory } = place;
  const heap = memory === null ? [] : [`--max-old-space-size=${Math.floor(memory / 2 ** 20)}`];
  return {
    namespace,
    program: program.node,
    args: [...memoryFlags, ...heap, ...(program.nodeArgs ?? []), bundle, '--state', directory].concat(
      beside ? ['--take-over'] : [],
    ),
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C',
      NODE_PATH: nativeModules,
      // Each thread of the pool and each arena of malloc costs memory in every router (mallopt(3)).
      UV_THREADPOOL_SIZE: '2',
      MALLOC_ARENA_MAX: '1',
      // Larger blocks go back to the system when they are freed: those of a start would stay for ever.
      MALLOC_MMAP_THRESHOLD_: '65536',
      // Where Node keeps compiled code of the bundle from one start to the next: shared by all routers of this state.
      NODE_COMPILE_CACHE: join(directory, '..', '..', 'compile-cache'),
    },
    log: join(directory, 'daemon.log'),
  };
};

/** The same, to be kept running. */
export const supervisedDaemon = (
  place: RouterPlace,
  program: RouterProgram,
  bundle: string,
): SupervisedProgram => ({
  ...daemonProgram(place, program, bundle, false),
  name: `daemon of ${place.id}`,
  record: join(place.directory, 'daemon.json'),
  extra: { bundle },
  isOurs: (args) => isLastingDaemonOf(place.directory, args),
});
