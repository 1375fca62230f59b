/** What to think of a daemon that does not answer: does it hang, or is it, or were we, short of processor? Pure. */
import type { ProcessorUse } from '../machines/machine.ts';

/** What is known when a question was not answered in time. */
export interface Silence {
  /** ms for which the question was open. */
  readonly asked: number;
  /** ms since it said anything, without those in which we could not have heard it. */
  readonly silentFor: number;
  /** ms, of the question and the second before it, in which we ourselves did not get to do anything. */
  readonly ownLag: number;
  /** How the scheduler treated the daemon until the question was asked, and until it was given up; null: not known. */
  readonly before: ProcessorUse | null;
  readonly after: ProcessorUse | null;
}

/**
 * `void`: we were away ourselves, nothing is known. `early`: it has not been silent for long. `starved`: it wants to run and
 * is not let. `hung`: it has to be started anew.
 */
export type SilenceVerdict = 'void' | 'early' | 'starved' | 'hung';

/** More than this, ms, of our own absence makes a question void. */
export const MOST_LAG = 1000;
/** A daemon that waited for a processor for more than this part of a question is starved. */
const STARVED = 0.2;
/** Silent for so long, ms, a daemon is started anew whatever keeps it: it may be its own doing. */
export const LONGEST_SILENCE = 120_000;

/** ms that a daemon waited for a processor between the two; 0 where that is not known. */
export const waitedBetween = (
  before: ProcessorUse | null,
  after: ProcessorUse | null,
  asked: number,
): number => {
  if (before === null || after === null) return 0;
  const accounted = after.waited - before.waited;
  // Waiting is accounted for when it ends. What waits now did so for what it did not run, if it was not called just now.
  return after.runnable ? Math.max(accounted, asked - (after.ran - before.ran)) : accounted;
};

/** @param patience - ms of silence that are nothing special */
export const judgeSilence = (silence: Silence, patience: number): SilenceVerdict => {
  const { asked, silentFor, ownLag, before, after } = silence;
  if (silentFor >= LONGEST_SILENCE) return 'hung';
  if (ownLag > MOST_LAG) return 'void';
  if (silentFor < patience) return 'early';
  return waitedBetween(before, after, asked) > STARVED * asked ? 'starved' : 'hung';
};
