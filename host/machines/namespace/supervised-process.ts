/** One program that is to run in a machine for as long as the machine does: started, adopted after our restart, restarted when it ends. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { processStartTime, type ProcessWatch, watchProcess } from 'node-netlink';
import { launch, type LaunchedProgram } from './launch.ts';
import { argumentsOf, isAlive, type ProcessIdentity, processesIn } from './processes.ts';

export interface SupervisedProgram extends LaunchedProgram {
  /** What it is called in messages. */
  readonly name: string;
  /** File that remembers the running process: {"pid","startTime",...extra}. */
  readonly record: string;
  readonly extra?: Readonly<Record<string, string>>;
  /** Called before each start, not when it is adopted. */
  readonly beforeStart?: () => void;
  /** Tells its process from others in the namespace, should the record be lost. */
  readonly isOurs: (args: readonly string[]) => boolean;
}

export interface SupervisionListener {
  /** It runs: newly started, or found running. */
  readonly started: (how: 'started' | 'adopted', pid: number) => void;
  /** It ended unasked; it is started again after that many ms. */
  readonly ended: (pid: number, delay: number) => void;
  readonly failed: (message: string) => void;
}

/** Alive that long, ms, a program counts as well again. */
const STEADY = 30_000;
const LONGEST_DELAY = 10_000;

/** Delay before restart number `attempt` (0 for the first): at once, then doubling. */
export const restartDelay = (attempt: number): number =>
  attempt === 0 ? 0 : Math.min(LONGEST_DELAY, 50 * 2 ** Math.min(attempt, 20));

const readRecord = (path: string): ProcessIdentity | null => {
  try {
    const { pid, startTime } = JSON.parse(readFileSync(path, 'utf8')) as Partial<ProcessIdentity>;
    return Number.isInteger(pid) && Number.isFinite(startTime)
      ? ({ pid, startTime } as ProcessIdentity)
      : null;
  } catch {
    return null;
  }
};

/** Runs until `release` (it goes on without us) or until the machine is halted, which begins with `release`. */
export class SupervisedProcess {
  readonly #program: SupervisedProgram;
  readonly #listener: SupervisionListener;
  #watch: ProcessWatch | null = null;
  #timer: NodeJS.Timeout | undefined;
  #identity: ProcessIdentity | null = null;
  #startedAt = 0;
  #attempt = 0;
  #released = false;

  constructor(program: SupervisedProgram, listener: SupervisionListener) {
    this.#program = program;
    this.#listener = listener;
  }

  /** Pid of the running process, or null between an end and the next start. */
  get pid(): number | null {
    return this.#identity?.pid ?? null;
  }

  /** Adopts the process that runs, or starts one. `fresh`: the namespace is new, nothing can be running in it. */
  start(options: { readonly fresh: boolean } = { fresh: false }): void {
    if (this.#released || this.#identity !== null) return;
    clearTimeout(this.#timer);
    let running: ProcessIdentity | null = null;
    try {
      running = this.#find(options.fresh);
      this.#identity = running ?? this.#spawn();
      const { pid } = this.#identity;
      this.#watch = watchProcess(pid, () => this.#ended(pid));
    } catch (error) {
      // One that was started and cannot be watched is adopted next time.
      this.#identity = null;
      this.#listener.failed(`${this.#program.name} does not start: ${(error as Error).message}`);
      this.#again();
      return;
    }
    this.#startedAt = performance.now();
    const { pid } = this.#identity;
    this.#listener.started(running === null ? 'started' : 'adopted', pid);
  }

  /** Ends the process at once; it is started again without delay, as it is when it was waiting for its next start. */
  restart(): void {
    if (this.#released) return;
    this.#attempt = 0;
    if (this.#identity === null) {
      this.start();
      return;
    }
    // By another start time the pid is somebody else's by now, and its end is about to be told.
    if (!isAlive(this.#identity)) return;
    try {
      process.kill(this.#identity.pid, 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }

  /** Lets go; the process goes on. */
  release(): void {
    this.#released = true;
    clearTimeout(this.#timer);
    this.#watch?.close();
    this.#watch = null;
  }

  #find(fresh: boolean): ProcessIdentity | null {
    const { record, namespace, isOurs } = this.#program;
    const recorded = readRecord(record);
    if (recorded !== null && isAlive(recorded) && isOurs(argumentsOf(recorded.pid))) return recorded;
    // A crash between start and record leaves a process that nobody remembers: two of a kind would fight.
    if (fresh) return null;
    for (const pid of processesIn(namespace)) {
      const startTime = processStartTime(pid);
      if (startTime === null || !isOurs(argumentsOf(pid))) continue;
      this.#remember({ pid, startTime });
      return { pid, startTime };
    }
    return null;
  }

  #spawn(): ProcessIdentity {
    mkdirSync(dirname(this.#program.log), { recursive: true, mode: 0o700 });
    this.#program.beforeStart?.();
    const identity = launch(this.#program, (error) =>
      this.#listener.failed(`${this.#program.name}: ${error.message}`),
    );
    this.#remember(identity);
    return identity;
  }

  /** On a full disk it is watched all the same: who comes after us finds it in the namespace. */
  #remember(identity: ProcessIdentity): void {
    const { record, extra } = this.#program;
    const temporary = `${record}.new`;
    try {
      writeFileSync(temporary, `${JSON.stringify({ ...identity, ...extra })}\n`, { mode: 0o600 });
      renameSync(temporary, record);
    } catch {
      rmSync(temporary, { force: true });
    }
  }

  #ended(pid: number): void {
    this.#watch = null;
    this.#identity = null;
    rmSync(this.#program.record, { force: true });
    if (this.#released) return;
    if (performance.now() - this.#startedAt > STEADY) this.#attempt = 0;
    this.#listener.ended(pid, this.#again());
  }

  #again(): number {
    const delay = restartDelay(this.#attempt);
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.start(), delay);
    return delay;
  }
}
