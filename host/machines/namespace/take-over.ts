/**
 * One daemon of a router takes the place of another while the router runs. It is started beside the one that runs, proves
 * itself (`proof.json`), ends the other and says that it is the daemon now (`daemon.json`); then it has to be ready in time.
 * Nothing of this is lost with us: whoever looks later sees by the processes and the two files how far it is.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { RouterStatus } from 'documents';
import { RouterClient } from '../../routers/router-client.ts';
import { launch, type LaunchedProgram } from './launch.ts';
import { isAlive, type ProcessIdentity } from './processes.ts';

export interface TakeOver {
  /** The directory of the router. */
  readonly directory: string;
  readonly checksum: string;
  /** The new daemon beside the one that runs, if that still does. */
  readonly beside: LaunchedProgram;
  /** The new daemon, when a predecessor of ours started it already. */
  readonly candidate: ProcessIdentity | null;
  /** We are about to end, or the router is. What runs goes on. */
  readonly signal: AbortSignal;
}

export type TakenOver =
  | { readonly outcome: 'switched' }
  /** It is no good. */
  | { readonly outcome: 'refused'; readonly message: string }
  /** It did not come about this time, which may be the fault of a host that is short of something. */
  | { readonly outcome: 'failed'; readonly message: string }
  | { readonly outcome: 'left' };

/** What `proof.json` has; written by the daemon (router/takeover). */
interface Proof {
  readonly checksum?: string;
  readonly outcome: 'proved' | 'refused';
  readonly generation: number;
  readonly kernel: string;
  readonly problems: readonly { readonly message: string }[];
}

/** A daemon on a host that is not overloaded has come to a proof long before, ms. Three tries are over before the controller gives up (90 s). */
const PROVE_WITHIN = 20_000;
/** From the proof to ready, ms: ending the one before takes five seconds at most. */
const READY_WITHIN = 15_000;
/** How long the kernel may take to end what was killed, ms. */
const GONE_WITHIN = 5000;
const LOOK_EVERY = 20;
const STATUS_TIMEOUT = 1000;
const LONGEST_MESSAGE = 1500;

const readJson = <Value>(path: string): Value | null => {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Value;
  } catch {
    return null;
  }
};

const isReady = ({ conditions }: RouterStatus): boolean =>
  conditions.find(({ type }) => type === 'Ready')?.status === 'True';

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** How a program that ended explained itself, for people: what it wrote since, without what is for its log. */
const lastWords = (log: string, since: number): string => {
  try {
    const lines = readFileSync(log).subarray(since).toString().split('\n');
    const words = lines.filter((line) => line.trim() !== '' && !line.startsWith('{'));
    return (words.length > 0 ? words : lines.slice(-3)).join(' | ').replaceAll(/\s+/g, ' ').slice(0, 600);
  } catch {
    return '';
  }
};

const describeRefusal = ({ problems, kernel }: Proof): string => {
  const parts = problems.map(({ message }) => message);
  if (kernel !== '') parts.push(`it would change: ${kernel.trim()}`);
  return parts.join('; ').slice(0, LONGEST_MESSAGE);
};

const kill = (identity: ProcessIdentity): void => {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
};

/** Resolves when the process is gone, which it is soon, as it was killed; or when that has taken too long. */
const gone = async (identity: ProcessIdentity): Promise<void> => {
  for (const deadline = performance.now() + GONE_WITHIN; isAlive(identity) && performance.now() < deadline; )
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
};

/** Why there is no proof. */
interface Unproved {
  readonly why: 'refused' | 'failed' | 'ended';
  readonly message: string;
}

export const takeOver = async (options: TakeOver): Promise<TakenOver> => {
  const { directory, checksum, signal } = options;
  const client = new RouterClient(join(directory, 'control.sock'));
  let failure: string | null = null;
  let logged = 0;
  const begin = (program: LaunchedProgram): ProcessIdentity => {
    logged = sizeOf(program.log);
    return launch(program, (error) => {
      failure = error.message;
    });
  };
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
  const status = (): Promise<RouterStatus | null> => client.status(STATUS_TIMEOUT).catch(() => null);
  const isDaemon = ({ pid, startTime }: ProcessIdentity): boolean => {
    const record = readJson<ProcessIdentity>(join(directory, 'daemon.json'));
    return record?.pid === pid && record.startTime === startTime;
  };
  const proof = (): Proof | null => {
    const found = readJson<Proof>(join(directory, 'proof.json'));
    return found?.checksum === undefined || found.checksum === checksum ? found : null;
  };

  /** The proof, or null where it is the daemon without one as there was none before; else why neither comes. */
  const proved = async (candidate: ProcessIdentity): Promise<Proof | null | Unproved> => {
    const deadline = performance.now() + PROVE_WITHIN;
    for (;;) {
      // In this order: a daemon that ends has written its proof before.
      const alive = isAlive(candidate);
      const found = proof();
      if (found !== null)
        return found.outcome === 'refused' ? { why: 'refused', message: describeRefusal(found) } : found;
      if (alive && isDaemon(candidate)) return null;
      if (!alive) {
        if (failure !== null) return { why: 'failed', message: `it cannot be started: ${failure}` };
        return { why: 'ended', message: lastWords(options.beside.log, logged) };
      }
      if (performance.now() > deadline)
        return { why: 'failed', message: `it had not proved itself after ${PROVE_WITHIN / 1000} s` };
      await pause();
      if (signal.aborted) return null;
    }
  };

  try {
    // One that is not well has to be no better after it than before.
    const before = options.candidate === null ? await status() : null;
    if (signal.aborted) return { outcome: 'left' };
    let candidate = options.candidate ?? begin(options.beside);
    const fail = async (outcome: 'refused' | 'failed', message: string): Promise<TakenOver> => {
      kill(candidate);
      await gone(candidate);
      return { outcome, message };
    };
    let found = await proved(candidate);
    if (found !== null && 'why' in found && found.why === 'ended' && !signal.aborted) {
      // Somebody may have ended it; twice is its own doing.
      candidate = begin(options.beside);
      found = await proved(candidate);
    }
    if (signal.aborted) return { outcome: 'left' };
    if (found !== null && 'why' in found) {
      return found.why === 'ended'
        ? await fail('refused', `it ended twice before it had proved itself: ${found.message}`)
        : await fail(found.why, found.message);
    }
    const mustBeReady = before === null || isReady(before);
    const generation = found?.generation ?? 0;
    const deadline = performance.now() + READY_WITHIN;
    let ended = 0;
    let last = 'it did not listen';
    while (performance.now() < deadline) {
      if (!isAlive(candidate)) {
        ended += 1;
        if (ended === 2)
          return await fail('refused', `it ended twice: ${lastWords(options.beside.log, logged)}`);
        // The one before may run still: it had proved itself, and not ended that yet.
        candidate = begin(options.beside);
      }
      const now = isDaemon(candidate) ? await status() : null;
      if (signal.aborted) return { outcome: 'left' };
      if (now !== null) {
        if (now.appliedGeneration < generation)
          last = `it has generation ${now.appliedGeneration} of ${generation} in force`;
        else if (!mustBeReady || isReady(now)) return { outcome: 'switched' };
        else
          last =
            now.conditions.find(({ type }) => type === 'Ready')?.message ??
            'it does not say that it is ready';
      }
      await pause();
      if (signal.aborted) return { outcome: 'left' };
    }
    return await fail('failed', `it was not ready within ${READY_WITHIN / 1000} s: ${last}`);
  } finally {
    client.close();
  }
};
