import type { System } from '../system.ts';
import { ServiceError } from './service-error.ts';

/** How long a program may think about a configuration, ms; it takes some ten of them. */
const WITHIN = 10_000;

/**
 * What a program says of a configuration that it only reads: null when it would take it, else its words. `refusals` are the
 * exit codes it has for configurations it would not take.
 *
 * @throws {ServiceError} `service-no-verdict` when it ended in any other way: killed because it took too long, not started, short
 *   of memory. That says nothing about the configuration, and asking again may bring an answer.
 */
export const configurationVerdict = async (
  { exec }: System,
  program: string,
  args: readonly string[],
  refusals: readonly number[],
): Promise<string | null> => {
  const { exitCode, stderr, stdout } = await exec.run(program, args, { timeout: WITHIN });
  if (exitCode === 0) return null;
  const words = `${stderr}${stdout}`.trim();
  if (refusals.includes(exitCode)) return words;
  const message = `${program} was asked about a configuration and ended with ${exitCode} instead of a verdict`;
  throw new ServiceError('service-no-verdict', words === '' ? message : `${message}: ${words}`);
};
