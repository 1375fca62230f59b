/** The daemon of a router in a network namespace. */
import { join } from 'node:path';
import { SupervisedProcess, type SupervisionListener } from './supervised-process.ts';

export interface RouterProgram {
  /** Path of Node. */
  readonly node: string;
  /** Path of the daemon's bundle. */
  readonly bundle: string;
  /** Further arguments of Node, before the bundle. */
  readonly nodeArgs?: readonly string[];
}

/**
 * Hundreds of daemons share a host: a small young generation, and one thread for the collector. Not `--optimize-for-size`:
 * it saves an idle router two megabytes, but stops one with 30,000 rules for 40 ms every hundred changes (measured).
 */
const memoryFlags = ['--max-semi-space-size=1', '--v8-pool-size=1', '--no-warnings'];

/** What starts, adopts and restarts the daemon of one router, whose directory is `directory`. */
export const routerProcess = (
  id: string,
  namespace: string,
  directory: string,
  program: RouterProgram,
  listener: SupervisionListener,
): SupervisedProcess =>
  new SupervisedProcess(
    {
      name: `daemon of ${id}`,
      namespace,
      program: program.node,
      args: [...memoryFlags, ...(program.nodeArgs ?? []), program.bundle, '--state', directory],
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        LC_ALL: 'C',
        // Each thread of the pool and each arena of malloc costs memory in every router (mallopt(3)).
        UV_THREADPOOL_SIZE: '2',
        MALLOC_ARENA_MAX: '1',
        // Larger blocks go back to the system when they are freed: those of a start would stay for ever.
        MALLOC_MMAP_THRESHOLD_: '65536',
        // Where Node keeps compiled code of the bundle from one start to the next: shared by all routers of this state.
        NODE_COMPILE_CACHE: join(directory, '..', '..', 'compile-cache'),
      },
      record: join(directory, 'daemon.json'),
      extra: { bundle: program.bundle },
      log: join(directory, 'daemon.log'),
      isOurs: (args) => args.at(-2) === '--state' && args.at(-1) === directory,
    },
    listener,
  );
