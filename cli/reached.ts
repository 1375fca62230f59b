import { ApiError } from './api-error.ts';
import { CliError } from './connection.ts';

export interface Patience {
  /** Gets a line when the controller stops answering, once until it answers again. */
  readonly tell: (message: string) => void;
  /** What shows how far the work is that goes on meanwhile: `selvage workflow show ID`. */
  readonly look: string;
  /** How long a controller that is away is waited for, ms; default a minute. */
  readonly away?: number;
  /** Between two tries, ms; default a second. */
  readonly every?: number;
}

const AWAY = 60_000;
const EVERY = 1000;

/** What a proxy, or a controller that is ending, answers (RFC 9110, 15.6.3 to 15.6.5). */
const UNAVAILABLE: readonly number[] = [502, 503, 504];

const isAway = (error: unknown): boolean =>
  error instanceof CliError
    ? error.code === 'unreachable'
    : error instanceof ApiError && UNAVAILABLE.includes(error.status);

/**
 * Asks the API for how far something is. A controller that is away, such as one that is restarted, is waited for: what it was
 * asked to do goes on when it is back. Only for questions that may be repeated. Throws CliError `unreachable` when it stays
 * away, and whatever else `ask` throws at once.
 */
export const reached = async <Value>(ask: () => Promise<Value>, patience: Patience): Promise<Value> => {
  const { tell, look, away = AWAY, every = EVERY } = patience;
  let since: number | null = null;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isAway(error)) throw error;
      const now = performance.now();
      if (since === null) {
        since = now;
        tell(`${(error as Error).message}: the controller is waited for, up to ${away / 1000} s`);
      }
      if (now - since >= away)
        throw new CliError(
          'unreachable',
          `${(error as Error).message}, for ${away / 1000} s`,
          `What was asked for is not undone: it goes on when the controller runs. See how far it is: ${look}`,
          { cause: error },
        );
      await new Promise((resolve) => setTimeout(resolve, every));
    }
  }
};
