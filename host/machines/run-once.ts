/** A program of a machine that is run once, for what it prints. */
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable } from 'node:stream';

/** It printed nothing that can be used. */
export class RunOnceError extends Error {
  override readonly name = 'RunOnceError';
  readonly code: 'cannot-run' | 'failed' | 'too-late' | 'too-large' | 'ended';

  constructor(code: RunOnceError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

export interface RunOnceBounds {
  /** ms after which it is killed. */
  readonly within: number;
  /** Most bytes it may print. */
  readonly mostBytes: number;
  /** Nobody waits for it any more: it is killed. */
  readonly signal?: AbortSignal;
}

const LAST_WORDS = 2000;

/** What a program that was just started prints until it ends well. Rejects with {@link RunOnceError}; it has been killed by then. */
export const printed = (
  child: ChildProcessByStdio<null, Readable, Readable>,
  { within, mostBytes, signal }: RunOnceBounds,
): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    let words = '';
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const fail = (code: RunOnceError['code'], message: string, cause?: unknown): void => {
      finish();
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      reject(new RunOnceError(code, message, cause));
    };
    const abort = (): void => fail('ended', 'it is not needed any more');
    const timer = setTimeout(() => fail('too-late', `it did not end within ${within / 1000} s`), within);
    if (signal?.aborted === true) return abort();
    signal?.addEventListener('abort', abort, { once: true });
    child.on('error', (error) => fail('cannot-run', error.message, error));
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > mostBytes) fail('too-large', `it printed more than ${mostBytes} bytes`);
      else chunks.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      words = `${words}${chunk.toString()}`.slice(-LAST_WORDS);
    });
    child.on('close', (code, killedBy) => {
      if (code !== 0)
        return fail('failed', `it ended with ${killedBy ?? `exit code ${code}`}: ${words.trim()}`);
      finish();
      resolve(Buffer.concat(chunks));
    });
  });
