import { stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { type ProcessWatch, processStartTime, watchProcess } from 'node-netlink';
import type { System } from '../system.ts';
import { findProgram, runsProgram } from './find-program.ts';
import type { Program } from './program.ts';
import { ServiceError } from './service-error.ts';
import type { Process, Succession } from './succession.ts';

/** How long a started program may take until it answers, ms. */
const READY_WITHIN = 5_000;
/** The same for one that starts beside another, which serves meanwhile: there is less hurry, ms. */
const SUCCEED_WITHIN = 10_000;
/** How long a program may take to end after SIGTERM before it is killed, ms. */
const END_WITHIN = 2_000;
/** A program that ran this long starts with a clean slate: its end is not held against it, ms. */
const SETTLED_AFTER = 60_000;
/** A log that has grown beyond this is emptied, bytes: guests must not be able to fill the disk by making a daemon complain. */
const LARGEST_LOG = 4 * 1024 * 1024;
/** Of programs that were replaced, so many may still be finishing what they had begun. */
const MOST_LEAVING = 8;
const SUCCESSION_ATTEMPTS = 3;
/** ... of which so many may wait in vain for one that runs and does not answer. */
const LATE_ATTEMPTS = 2;
const FIRST_DELAY = 100;
const LONGEST_DELAY = 30_000;

/** ms to wait before the next start after `failures` ends or failed starts in a row: none, then 0.1 s doubling up to 30 s. */
export const restartDelay = (failures: number): number =>
  failures === 0 ? 0 : Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1));

/** What is kept on disk about a running program, so that the next router daemon knows it again. */
interface Running extends Process {
  readonly path: string;
  /** Those before it, as long as they finish what they had begun. */
  readonly leaving?: readonly Process[];
}

/** Stands in the record while a program is being started: should we end in between, there is one whose pid nobody wrote down. */
interface Starting {
  readonly starting: true;
  readonly path: string;
  /** Those that run meanwhile, the last one in charge. */
  readonly leaving?: readonly Process[];
}

const isAlive = ({ pid, startTime }: Process): boolean => processStartTime(pid) === startTime;

/** Whether a service runs and why not, as a condition of the router's status. */
export interface ServiceCondition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: number;
}

/**
 * One daemon of the router that outlives the router daemon: started detached, written down, taken over after a restart of
 * ours, started again when it ends. It is signalled by pid only, and only while that pid still has the start time that
 * was written down.
 */
export class Service {
  readonly name: string;
  /** Folder of its configuration, sockets, log (`log`) and record (`process.json`). */
  readonly directory: string;
  readonly #system: System;
  #wanted: Program | null = null;
  #running: Running | null = null;
  /** Those that were replaced and finish what they had begun. */
  #leaving: readonly Process[] = [];
  #runningSince = 0;
  #watch: ProcessWatch | null = null;
  #failures = 0;
  #restarts = 0;
  #reviving = false;
  #released = false;
  #queue: Promise<unknown> = Promise.resolve();
  #state: Omit<ServiceCondition, 'type'> | null = null;

  constructor(system: System, name: string) {
    this.#system = system;
    this.name = name;
    this.directory = join(system.directory, name);
  }

  /** Pid of the running program, null when it does not run. */
  get pid(): number | null {
    return this.#running?.pid ?? null;
  }

  /** Times it was started again after it ended by itself. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Null when the service is not wanted. */
  get condition(): ServiceCondition | null {
    if (this.#wanted === null || this.#state === null) return null;
    const type = `${this.name.charAt(0).toUpperCase()}${this.name.slice(1)}Running`;
    return { type, ...this.#state };
  }

  /**
   * Sees to it that `program` runs: does nothing when it does, takes over one that an earlier router daemon started, else
   * starts it. Resolves when it answers; throws ServiceError when it does not.
   */
  start(program: Program): Promise<'running' | 'adopted' | 'started'> {
    return this.#next(async () => {
      this.#wanted = program;
      await this.#boundLog();
      if (this.#isAlive()) {
        // It took longer than its start was waited for.
        if (!this.#isUp()) await this.#comeUp(program);
        return 'running';
      }
      if (await this.#adopt(program)) return 'adopted';
      await this.#start(program);
      return 'started';
    });
  }

  /** Ends what runs and starts `program` in its place. */
  restart(program: Program): Promise<void> {
    return this.#next(async () => {
      this.#wanted = null;
      if (!this.#isAlive()) await this.#adopt(program);
      await this.#end('SIGTERM');
      this.#wanted = program;
      await this.#start(program);
    });
  }

  /**
   * Starts `program` beside what runs, which is ended when the new one has taken its place; nobody is to notice. When that
   * cannot be done it is a restart.
   */
  replace(program: Program, succession: Succession): Promise<void> {
    return this.#next(async () => {
      this.#wanted = null;
      if (!this.#isAlive()) await this.#adopt(program);
      const old = this.#running;
      this.#running = null;
      this.#watch?.close();
      this.#watch = null;
      if (old !== null && !(await this.#succeed(program, succession, old))) {
        await this.#end('SIGTERM');
        this.#running = old;
        await this.#end('SIGTERM');
      }
      this.#wanted = program;
      if (!this.#isAlive()) await this.#start(program);
    });
  }

  /**
   * Ends the service; it stays ended. `SIGTERM` waits for the end and kills a program that does not obey; any other signal
   * is a request that the program follows in its own time. `program` lets one be ended that an earlier daemon started.
   * True when there was one.
   */
  stop(program: Program, signal: 'SIGTERM' | 'SIGUSR1' = 'SIGTERM'): Promise<boolean> {
    return this.#next(async () => {
      this.#wanted = null;
      this.#state = null;
      if (!this.#isAlive() && !(await this.#adopt(program))) return false;
      for (const one of this.#leaving) this.#dismiss(one);
      if (signal === 'SIGTERM') await this.#end(signal);
      else this.#leave(signal);
      await this.#system.files.remove(this.#record);
      return true;
    });
  }

  /** Whether `program` runs, started by us or by an earlier daemon. Takes nothing over. */
  async isRunning(program: Program): Promise<boolean> {
    if (this.#isAlive()) return true;
    const found = await this.#recorded(program);
    return found !== null && (await runsProgram(this.#system.files, found.pid, program));
  }

  /** Sends a signal to the running program; false when there is none. */
  signal(signal: NodeJS.Signals): boolean {
    if (this.#running === null || !this.#isAlive()) return false;
    process.kill(this.#running.pid, signal);
    return true;
  }

  /** Lets go of the program, which runs on. Called when the router daemon ends. */
  release(): void {
    this.#released = true;
    for (const one of this.#leaving) this.#dismiss(one);
    this.#watch?.close();
    this.#watch = null;
  }

  get #record(): string {
    return join(this.directory, 'process.json');
  }

  get #log(): string {
    return join(this.directory, 'log');
  }

  /** One thing at a time: a restart by death and one by a new configuration must not cross. */
  #next<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(task);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  #isAlive(): boolean {
    return this.#running !== null && processStartTime(this.#running.pid) === this.#running.startTime;
  }

  /** Whether it runs and has answered since it was started. */
  #isUp(): boolean {
    return this.#isAlive() && this.#state?.status === 'True';
  }

  #set(status: 'True' | 'False', reason: string, message: string): void {
    const since = this.#state?.status === status ? this.#state.lastTransitionTime : this.#system.clock.now();
    this.#state = { status, reason, message, lastTransitionTime: since };
  }

  /** Takes over the program that an earlier router daemon started, if it still runs. */
  async #adopt(program: Program): Promise<boolean> {
    const found = await this.#recorded(program);
    if (found === null || !(await runsProgram(this.#system.files, found.pid, program))) return false;
    const { leaving, ...own } = found;
    // Whoever was to end it is gone.
    for (const one of leaving ?? []) this.#kill(one, 'SIGKILL');
    this.#hold(own);
    await this.#write(own);
    this.#set('True', 'Adopted', `${this.name} runs as pid ${found.pid}, found running`);
    return true;
  }

  async #recorded(program: Program): Promise<Running | null> {
    const text = await this.#system.files.read(this.#record);
    if (text === null) return null;
    let record: Running | Starting;
    try {
      record = JSON.parse(text) as Running | Starting;
    } catch {
      return null;
    }
    if (record.path !== program.path) return null;
    if ('starting' in record) {
      const leaving = (record.leaving ?? []).filter(isAlive);
      const started = await findProgram(this.#system.files, program, leaving);
      if (started !== null) return { ...started, path: program.path, leaving };
      const last = leaving.at(-1);
      return last === undefined ? null : { ...last, path: program.path, leaving: leaving.slice(0, -1) };
    }
    return Number.isInteger(record.pid) && processStartTime(record.pid) === record.startTime ? record : null;
  }

  async #write(record: Running | Starting): Promise<void> {
    const leaving = this.#leaving.length === 0 ? {} : { leaving: this.#leaving };
    await this.#system.files.write(this.#record, `${JSON.stringify({ ...record, ...leaving })}\n`, 0o600);
  }

  /** Programs append to their log, so it can be emptied under them. */
  async #boundLog(): Promise<void> {
    try {
      if ((await stat(this.#log)).size > LARGEST_LOG) await truncate(this.#log);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  /** `last` is done just before it starts, `within` is for how long it is waited for, ms. */
  async #start(
    program: Program,
    { last, within }: { readonly last?: () => Promise<void>; readonly within?: number } = {},
  ): Promise<void> {
    const { exec } = this.#system;
    await program.prepare?.();
    await this.#write({ starting: true, path: program.path });
    await last?.();
    let pid: number;
    try {
      pid = await exec.start(program.path, program.args(), { log: this.#log });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw this.#failed('service-exited', `${program.path} cannot be started: ${message}`, '');
    }
    const startTime = processStartTime(pid);
    if (startTime !== null) {
      const running: Running = { pid, startTime, path: program.path };
      await this.#write(running);
      this.#hold(running);
    }
    await this.#comeUp(program, within);
  }

  /** Waits until the program that was started answers. Throws ServiceError when it ends, or does not answer in time: it runs on then. */
  async #comeUp(program: Program, within = READY_WITHIN): Promise<void> {
    const { clock } = this.#system;
    const { pid } = this;
    const deadline = clock.now() + within;
    for (let wait = 3; ; wait = Math.min(wait * 2, 80)) {
      if (!this.#isAlive()) {
        this.#running = null;
        throw this.#failed('service-exited', `${program.path} ended while it started`, await this.#tail());
      }
      if (await program.ready()) break;
      if (clock.now() > deadline) {
        const what = `${program.path} (pid ${pid}) runs but did not answer within ${within / 1000} s`;
        throw this.#failed('service-not-ready', what, await this.#tail());
      }
      await clock.sleep(wait);
    }
    this.#set('True', 'Running', `${this.name} runs as pid ${pid}`);
  }

  /** Starts `program` while `old` runs; false when it did not come up. */
  async #succeed(program: Program, { before, after, linger }: Succession, old: Running): Promise<boolean> {
    const { pid, startTime } = old;
    const leaving: Process = { pid, startTime };
    this.#leaving = [...this.#leaving, leaving];
    for (const one of this.#leaving.slice(0, -MOST_LEAVING)) this.#dismiss(one);
    const state = this.#state;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#start(program, { last: () => before(this.#leaving), within: SUCCEED_WITHIN });
        break;
      } catch (error) {
        // One that leaves may have been told of a new address, and have taken it, at the wrong moment; or the new one was too slow.
        if (attempt < (this.#running === null ? SUCCESSION_ATTEMPTS : LATE_ATTEMPTS) && isAlive(old)) {
          this.#state = state;
          await this.#end('SIGKILL');
          continue;
        }
        const message = error instanceof Error ? error.message : String(error);
        this.#system.report({
          type: 'router.service-not-succeeded',
          level: 'warning',
          subject: program.subject,
          message: `${this.name} could not be replaced while it ran and is restarted: ${message}`,
        });
        this.#leaving = this.#leaving.filter((one) => one !== leaving);
        for (const one of this.#leaving) this.#dismiss(one);
        await after(leaving).catch(() => undefined);
        return false;
      }
    }
    await after(leaving);
    void this.#system.clock.sleep(linger).then(async () => {
      if (this.#released || !this.#leaving.includes(leaving)) return;
      this.#dismiss(leaving);
      await this.#next(async () => {
        if (this.#running !== null) await this.#write(this.#running);
      });
    });
    return true;
  }

  /** Ends one that was replaced. Killed: asked to end it would take connections with it that its children serve. */
  #dismiss(one: Process): void {
    this.#kill(one, 'SIGKILL');
    this.#leaving = this.#leaving.filter((other) => other !== one);
  }

  #failed(code: 'service-exited' | 'service-not-ready', what: string, tail: string): ServiceError {
    const message = tail === '' ? what : `${what}; its last words: ${tail}`;
    this.#set('False', code === 'service-exited' ? 'Exited' : 'NotReady', message);
    return new ServiceError(code, message);
  }

  async #tail(): Promise<string> {
    const text = (await this.#system.files.read(this.#log)) ?? '';
    return text.trimEnd().split('\n').slice(-3).join(' | ').slice(-600);
  }

  #hold(running: Running): void {
    this.#watch?.close();
    this.#running = running;
    this.#runningSince = this.#system.clock.now();
    this.#watch = watchProcess(running.pid, () => this.#ended(running));
    // The service runs on without us; watching it is no reason for us to run on without work.
    this.#watch.unref();
  }

  /** The kernel says that the program is gone. */
  #ended(running: Running): void {
    if (this.#running !== running || this.#released) return;
    this.#running = null;
    this.#watch = null;
    if (this.#wanted === null) return;
    const lived = this.#system.clock.now() - this.#runningSince;
    if (lived > SETTLED_AFTER) this.#failures = 0;
    this.#set('False', 'Exited', `${this.name} (pid ${running.pid}) ended`);
    void this.#revive(running.pid);
  }

  /** Starts the program again and again, ever more patiently, until it runs, is no longer wanted, or another start was quicker. */
  async #revive(pid: number): Promise<void> {
    if (this.#reviving) return;
    this.#reviving = true;
    const { clock, report } = this.#system;
    const since = clock.now();
    try {
      for (let told = false; ; ) {
        const delay = restartDelay(this.#failures);
        this.#failures += 1;
        if (delay > 0) await clock.sleep(delay);
        const wanted = this.#wanted;
        if (wanted === null || this.#released || this.#isUp()) return;
        try {
          await this.#next(async () => {
            if (this.#wanted !== wanted || this.#isUp()) return;
            await (this.#isAlive() ? this.#comeUp(wanted) : this.#start(wanted));
            this.#restarts += 1;
            report({
              type: 'router.service-restarted',
              level: 'warning',
              subject: wanted.subject,
              message: `${this.name} (pid ${pid}) ended by itself; runs again as pid ${this.pid} after ${clock.now() - since} ms`,
            });
          });
          if (this.#isUp()) return;
        } catch (error) {
          if (told) continue;
          told = true;
          report({
            type: 'router.service-failed',
            level: 'error',
            subject: wanted.subject,
            message: `${this.name} ended and does not start again: ${error instanceof Error ? error.message : String(error)}`,
          });
        }
      }
    } finally {
      this.#reviving = false;
    }
  }

  /** Asks the program to end and forgets it: it finishes what it has to do unwatched. */
  #leave(signal: NodeJS.Signals): void {
    const running = this.#running;
    this.#watch?.close();
    this.#watch = null;
    this.#running = null;
    if (running !== null) this.#kill(running, signal);
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    for (const step of [signal, 'SIGKILL'] as const) {
      this.#kill(running, step);
      const deadline = this.#system.clock.now() + END_WITHIN;
      for (let wait = 2; this.#system.clock.now() < deadline; wait = Math.min(wait * 2, 40)) {
        if (processStartTime(running.pid) !== running.startTime) {
          this.#running = null;
          this.#watch?.close();
          this.#watch = null;
          return;
        }
        await this.#system.clock.sleep(wait);
      }
    }
    throw new ServiceError(
      'service-not-ending',
      `${this.name} (pid ${running.pid}) does not end, not even when killed`,
    );
  }

  #kill(running: Process, signal: NodeJS.Signals): void {
    if (processStartTime(running.pid) !== running.startTime) return;
    try {
      process.kill(running.pid, signal);
    } catch (error) {
      // ESRCH: it ended between the two calls, which is what we wanted.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
