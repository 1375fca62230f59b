/** Where the API is and which key opens it: flags first, then the environment, then what a local stack left in its state directory. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Connection {
  readonly url: string;
  readonly key: string;
}

export interface ConnectionOptions {
  readonly url?: string;
  readonly key?: string;
  /** State directory of a local stack. */
  readonly state: string;
}

/** The command cannot be carried out for a reason the user can mend; `hint` says how. */
export class CliError extends Error {
  readonly code: string;
  readonly hint: string;

  constructor(code: string, message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CliError';
    this.code = code;
    this.hint = hint;
  }
}

/** What `selvage stack start` writes into the state directory while it runs. */
export interface StackFile {
  readonly url: string;
  readonly pid: number;
  readonly prefix: string;
}

const readText = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
};

/** The running stack of a state directory, null when there is none. */
export const readStackFile = (state: string): StackFile | null => {
  const text = readText(join(state, 'stack.json'));
  return text === null ? null : (JSON.parse(text) as StackFile);
};

/** Throws CliError `no-connection` when neither flags, environment nor a local stack say where to go. */
export const findConnection = (options: ConnectionOptions, environment: NodeJS.ProcessEnv): Connection => {
  const url = options.url ?? environment['SELVAGE_URL'] ?? readStackFile(options.state)?.url;
  const key = options.key ?? environment['SELVAGE_API_KEY'] ?? readText(join(options.state, 'admin.key'));
  if (url === undefined) {
    throw new CliError(
      'no-connection',
      'No Selvage controller is known',
      'Start one with "selvage stack start" (npm start), or set SELVAGE_URL to the URL of one.',
    );
  }
  if (key === null || key === undefined) {
    throw new CliError(
      'no-key',
      `No API key for ${url}`,
      `Set SELVAGE_API_KEY, or run this as a user who can read ${join(options.state, 'admin.key')}.`,
    );
  }
  return { url: url.replace(/\/$/, ''), key };
};
