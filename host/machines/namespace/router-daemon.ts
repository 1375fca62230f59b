/** The daemon of one router: kept running, and exchanged for the one of another bundle when that is wanted. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { BundleName, MachineStatus } from 'documents';
import { processStartTime } from 'node-netlink';
import { BundleError } from 'signed-bundle';
import type { BundleStore } from '../../bundles/bundle-store.ts';
import type { Program } from '../../bundles/own-bundle.ts';
import { backOffDelay } from '../../channel/back-off.ts';
import { type RunOnceBounds, RunOnceError } from '../run-once.ts';
import { runProgramOnce } from './launch.ts';
import { argumentsOf, type ProcessIdentity, processesIn } from './processes.ts';
import {
  daemonProgram,
  isLastingDaemonOf,
  type RouterPlace,
  type RouterProgram,
  supervisedDaemon,
} from './router-process.ts';
import { readRuns, type RunsRecord, writeRuns } from './router-record.ts';
import { SupervisedProcess, type SupervisionListener } from './supervised-process.ts';
import { takeOver } from './take-over.ts';

export interface RouterDaemonOptions {
  readonly place: RouterPlace;
  readonly program: RouterProgram;
  /** What this host came with. */
  readonly own: Program;
  readonly bundles: BundleStore;
  readonly listener: SupervisionListener & {
    /** What it says of its bundle changed. */
    readonly changed: () => void;
    /** Another bundle took its place, or was to and did not. */
    readonly exchanged: (from: Program, to: Program, refused: string | null) => void;
  };
}

/** Version of a program of which only its path is known: from before agents knew of bundles. */
const UNKNOWN = 'unknown';

const retry = { first: 500, longest: 15_000 };
/** A bundle that so often did not come to run on this host, though nothing is found wrong with it, is refused. */
const MOST_TRIES = 3;

const identityOf = (pid: number): ProcessIdentity | null => {
  const startTime = processStartTime(pid);
  return startTime === null ? null : { pid, startTime };
};

export class RouterDaemon {
  readonly #options: RouterDaemonOptions;
  readonly #closing = new AbortController();
  #process: SupervisedProcess | null = null;
  #record: RunsRecord | null = null;
  /** The record says something that is not on disk, as the disk did not take it. */
  #unwritten = false;
  /** How often what is wanted was tried and did not come to run. */
  #tries = 0;
  #wanted: BundleName | null = null;
  #fresh = false;
  /** One thing at a time: a first start, or an exchange. */
  #busy = false;
  #note: string | null = null;
  #attempt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RouterDaemonOptions) {
    this.#options = options;
  }

  /** Of the daemon that is kept running; null while there is none, or one takes the place of another. */
  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  /** Checksum of what its document names, null when it names none. */
  get wanted(): string | null {
    return this.#wanted?.checksum ?? null;
  }

  /** Whether another bundle is just being put in its place. */
  get exchanges(): boolean {
    return this.#process === null && this.#record !== null && this.#record.trying !== null;
  }

  /** What is to be said of it besides its state. */
  get status(): Pick<MachineStatus, 'bundle' | 'refusedBundle'> & { readonly note: string | null } {
    const { running, refused } = this.#record ?? {};
    return {
      note: this.#note,
      ...(running === undefined ? {} : { bundle: { version: running.version, checksum: running.checksum } }),
      ...(refused === null || refused === undefined ? {} : { refusedBundle: refused }),
    };
  }

  /** Adopts the daemon that runs, or starts one. `fresh`: the namespace is new, nothing can be running in it. */
  start(options: { readonly fresh: boolean; readonly wanted: BundleName | null }): void {
    this.#fresh = options.fresh;
    this.#wanted = options.wanted;
    this.#record = readRuns(this.#options.place.directory);
    this.#settle();
  }

  /** Says what it is to run; null: what it was made with. */
  want(bundle: BundleName | null): void {
    if (bundle?.checksum === this.#wanted?.checksum) return;
    this.#wanted = bundle;
    this.#attempt = 0;
    this.#tries = 0;
    this.#settle();
  }

  /** Ends the daemon, which is then started anew. While another takes its place that one does. */
  restart(): void {
    this.#process?.restart();
  }

  /** Runs its program once, beside it. Rejects with {@link RunOnceError}. */
  async runOnce(args: readonly string[], bounds: RunOnceBounds): Promise<Buffer> {
    const { place, program } = this.#options;
    const path = this.#record === null ? null : this.#pathOf(this.#record.running);
    if (path === null)
      throw new RunOnceError('cannot-run', `the program of ${place.id} is not on this host, or not signed`);
    const { signal } = this.#closing;
    return await runProgramOnce(daemonProgram(place, program, path, false), args, {
      ...bounds,
      signal: bounds.signal === undefined ? signal : AbortSignal.any([signal, bounds.signal]),
    });
  }

  /** Lets go; what runs goes on. */
  release(): void {
    this.#closing.abort();
    clearTimeout(this.#timer);
    this.#process?.release();
  }

  /** Does what is to be done next, if anything; called whenever something may have changed. */
  #settle(): void {
    if (this.#busy || this.#closing.signal.aborted) return;
    clearTimeout(this.#timer);
    let step: Promise<void> | null;
    try {
      step = this.#process === null ? this.#begin() : this.#follow();
    } catch (error) {
      // A full disk, say: again later.
      step = Promise.reject(error as Error);
    }
    if (step === null) return;
    this.#busy = true;
    step
      .then(
        () => {
          this.#attempt = 0;
          return true;
        },
        (error: Error) => {
          this.#note = error.message;
          return false;
        },
      )
      .then((well) => {
        this.#busy = false;
        if (this.#closing.signal.aborted) return;
        if (well) this.#settle();
        else {
          if (this.#process === null) this.#options.listener.failed(this.#note ?? '');
          this.#options.listener.changed();
          this.#attempt += 1;
          this.#timer = setTimeout(() => this.#settle(), backOffDelay(retry, this.#attempt, Math.random()));
        }
      })
      .catch(() => {});
  }

  /** Has a daemon run, whichever it has to be; null when that is done at once. */
  #begin(): Promise<void> | null {
    const record = this.#record ?? this.#adopted();
    if (record === null) {
      const { own } = this.#options;
      const wanted = this.#wanted;
      if (wanted === null || wanted.checksum === own.checksum) return this.#first(own);
      const path = this.#options.bundles.pathOf(wanted.checksum);
      if (path !== null) return this.#first({ ...wanted, path });
      this.#note = `Fetches the bundle ${wanted.version}`;
      return this.#options.bundles.obtain(wanted.checksum).then((obtained) => {
        if (this.#closing.signal.aborted) return;
        this.#note = null;
        void this.#first({ ...wanted, path: obtained });
      });
    }
    this.#record = record;
    if (record.trying !== null) {
      const candidate = this.#fresh ? null : this.#processOf(record.trying);
      if (candidate !== null) return this.#exchange(record, record.trying, candidate);
      this.#remember({ ...record, trying: null });
    }
    const resumed = this.#resume({ ...record, trying: null });
    if (resumed === null) this.#settleSoon();
    return resumed;
  }

  /** Goes on with what the record says that it runs; null when that is done at once. */
  #resume(record: RunsRecord): Promise<void> | null {
    // One that runs goes on, whether its key is still trusted or not.
    const known =
      this.#pathOf(record.running) ??
      (!this.#fresh && this.#processOf(record.running) !== null ? record.running.path : null);
    if (known !== null) {
      this.#keep({ ...record.running, path: known });
      return null;
    }
    return this.#options.bundles.obtain(record.running.checksum).then(
      (path) => this.#keep({ ...record.running, path }),
      (error: Error) => {
        // It cannot be had any more: a router with another program is better than none.
        const { own } = this.#options;
        const wanted = this.#wanted?.checksum === record.refused?.checksum ? null : this.#wanted;
        const program = wanted === null ? own : this.#programOf(wanted);
        if (program === null) throw error;
        const made = this.#pathOf(record.made) === null ? program : record.made;
        this.#remember({ ...record, made, running: program });
        this.#keep(program);
      },
    );
  }

  /** Brings it from what it runs to what is wanted; null when nothing is to be done. */
  #follow(): Promise<void> | null {
    const record = this.#record;
    if (record === null) return null;
    this.#flush();
    const target = this.#wanted ?? this.#ownOf(record);
    if (record.refused !== null && record.refused.checksum !== target.checksum) {
      this.#write({ ...record, refused: null });
      this.#options.listener.changed();
      return this.#follow();
    }
    if (target.checksum === record.running.checksum || record.refused !== null) {
      this.#note = null;
      return null;
    }
    return this.#patch(record, target);
  }

  async #patch(record: RunsRecord, target: BundleName): Promise<void> {
    const { bundles } = this.#options;
    let path: string;
    try {
      path = this.#programOf(target)?.path ?? (await bundles.obtain(target.checksum));
    } catch (error) {
      if (!(error instanceof BundleError)) throw error;
      this.#refuse(record, { ...target, path: '' }, error.message);
      return;
    }
    if (this.#closing.signal.aborted || this.#isOther(target)) return;
    await this.#exchange(record, { version: target.version, checksum: target.checksum, path }, null);
  }

  /** What it runs when no document names a bundle. */
  #ownOf({ made, running }: RunsRecord): Program {
    if (made.version !== UNKNOWN) return made;
    return running.version === UNKNOWN ? running : this.#options.own;
  }

  /** Whether something else came to be wanted while we waited. */
  #isOther(target: BundleName): boolean {
    return this.#wanted !== null && this.#wanted.checksum !== target.checksum;
  }

  async #exchange(record: RunsRecord, trying: Program, candidate: ProcessIdentity | null): Promise<void> {
    const { place, program, listener } = this.#options;
    const { signal } = this.#closing;
    // First of all: while it cannot be written, all stays as it is.
    if (candidate === null) {
      this.#write({ ...record, trying });
      rmSync(join(place.directory, 'proof.json'), { force: true });
    }
    // Nobody starts the one before again while the other is about to end it.
    this.#process?.release();
    this.#process = null;
    this.#note = `Is given the bundle ${trying.version}`;
    listener.changed();
    const taken = await takeOver({
      directory: place.directory,
      checksum: trying.checksum,
      beside: daemonProgram(place, program, trying.path, true),
      candidate,
      signal,
    }).catch((error: Error) => ({ outcome: 'failed', message: error.message }) as const);
    if (taken.outcome === 'left' || signal.aborted) return;
    this.#note = null;
    if (taken.outcome === 'switched') {
      this.#tries = 0;
      this.#remember({ ...record, running: trying, trying: null, refused: null });
      this.#keep(trying);
      listener.exchanged(record.running, trying, null);
      return;
    }
    if (taken.outcome === 'failed') this.#tries += 1;
    const again = taken.outcome === 'failed' && this.#tries < MOST_TRIES;
    if (again) this.#remember({ ...record, trying: null });
    else {
      const times = taken.outcome === 'failed' ? ` (tried ${MOST_TRIES} times)` : '';
      this.#refuse(record, trying, `${taken.message}${times}`);
    }
    await this.#resume(this.#record ?? record);
    if (again) throw new Error(`The bundle ${trying.version} is tried again: this time ${taken.message}`);
  }

  #refuse(record: RunsRecord, trying: Program, message: string): void {
    this.#note = null;
    this.#tries = 0;
    this.#remember({ ...record, trying: null, refused: { checksum: trying.checksum, message } });
    this.#options.listener.exchanged(record.running, trying, message);
    this.#options.listener.changed();
  }

  /** The first start of a machine; null as it is done at once. */
  #first(program: Program): null {
    this.#remember({ made: program, running: program, trying: null, refused: null });
    this.#keep(program);
    return null;
  }

  /** A daemon of which nothing is remembered: of an agent that did not know of bundles. */
  #adopted(): RunsRecord | null {
    if (this.#fresh) return null;
    const { own } = this.#options;
    const pid = this.#daemons()[0];
    if (pid === undefined) return null;
    const args = argumentsOf(pid);
    const path = args[args.indexOf('--state') - 1] ?? own.path;
    const program = path === own.path ? own : { version: UNKNOWN, checksum: '0'.repeat(64), path };
    const record = { made: program, running: program, trying: null, refused: null };
    this.#remember(record);
    return record;
  }

  #daemons(): readonly number[] {
    const { namespace, directory } = this.#options.place;
    return processesIn(namespace).filter((pid) => isLastingDaemonOf(directory, argumentsOf(pid)));
  }

  #processOf(program: Program): ProcessIdentity | null {
    const pid = this.#daemons().find((candidate) => argumentsOf(candidate).includes(program.path));
    return pid === undefined ? null : identityOf(pid);
  }

  #programOf(bundle: BundleName): Program | null {
    const { own, bundles } = this.#options;
    if (bundle.checksum === own.checksum) return own;
    const path = bundles.pathOf(bundle.checksum);
    return path === null ? null : { version: bundle.version, checksum: bundle.checksum, path };
  }

  /** Where a program of the record is now; null when it has to be fetched. What is not signed is where it was. */
  #pathOf(program: Program): string | null {
    const { own, bundles } = this.#options;
    if (program.checksum === own.checksum) return own.path;
    return bundles.pathOf(program.checksum) ?? (program.version === UNKNOWN ? program.path : null);
  }

  #keep(program: Program): void {
    if (this.#closing.signal.aborted) return;
    const { place, program: how, listener } = this.#options;
    const supervised = new SupervisedProcess(
      {
        ...supervisedDaemon(place, how, program.path),
        beforeStart: () => {
          // What was adopted may be what nobody vouches for any more: it is not started again.
          if (this.#pathOf(program) === program.path) return;
          this.#process = null;
          supervised.release();
          this.#settleSoon();
          throw new Error(`${program.path} is not what a trusted key has signed`);
        },
      },
      listener,
    );
    this.#process = supervised;
    supervised.start({ fresh: this.#fresh });
    // From now on there may be something that runs.
    this.#fresh = false;
  }

  #settleSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#settle(), 0);
  }

  /** What is about to be done: it is not, unless it is on record. Throws when the disk takes nothing. */
  #write(record: RunsRecord): void {
    writeRuns(this.#options.place.directory, record);
    this.#record = record;
    this.#unwritten = false;
  }

  /** What is so, whether it can be written down or not; it is written later when it cannot be now. */
  #remember(record: RunsRecord): void {
    this.#record = record;
    this.#unwritten = true;
    try {
      this.#flush();
    } catch {
      this.#settleSoon();
    }
  }

  #flush(): void {
    if (this.#unwritten && this.#record !== null) this.#write(this.#record);
  }
}
