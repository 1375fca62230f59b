/** The ruleset of a network namespace through a helper process that holds libnftables. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { headerSize, operation, status } from './helper/protocol.ts';
import { listCommand } from './list-command.ts';
import type { ListOptions, ListScope, Nftables } from './nftables.ts';
import { NftablesError, nftablesError } from './nftables-error.ts';
import { parseRuleset } from './parse-ruleset.ts';
import type { NftObject } from './types.ts';
import { withUnlisted } from './unlisted.ts';

/** Where and how. */
export type OpenNftablesOptions = {
  /** Path of the network namespace (`/run/netns/x`); absent: the one of this process. */
  readonly netns?: string;
  /** Milliseconds without a call after which the helper ends; the next call starts it again. Absent: it stays. */
  readonly idleExit?: number;
  /** File of the helper, when bundled. Default: the source beside this module. */
  readonly helper?: string;
  /** Arguments of that file, before the namespace, by which a program of several parts knows that it is to be the helper. */
  readonly helperArgs?: readonly string[];
  /** Called when a helper ends unasked: how, and the last of what it said. */
  readonly onExit?: (reason: string) => void;
};

type Call = {
  readonly text: string;
  readonly resolve: (body: Buffer) => void;
  readonly reject: (error: NftablesError) => void;
};

/** Small heaps: the helper holds next to nothing in JavaScript. Measured; see README. */
const nodeFlags = [
  '--max-old-space-size=64',
  '--max-semi-space-size=1',
  '--single-threaded',
  '--no-warnings',
] as const;
/** A text this long leaves tens of megabytes behind even when trimmed: end the helper once it is idle. Characters. */
const recycleAbove = 4 * 1024 * 1024;
/** How long a helper stays after such a text, milliseconds. */
const recycleAfter = 1_000;
const stderrKept = 2_000;

class Helper {
  readonly #child: ChildProcess;
  readonly #calls: Call[] = [];
  #chunks: Buffer[] = [];
  #buffered = 0;
  #stderr = '';
  #ending = false;
  readonly ended: Promise<void>;

  constructor(options: OpenNftablesOptions, onEnd: (helper: Helper, unasked: string | undefined) => void) {
    const file = options.helper ?? fileURLToPath(new URL('./helper/main.ts', import.meta.url));
    const args = [
      ...nodeFlags,
      file,
      ...(options.helperArgs ?? []),
      ...(options.netns === undefined ? [] : [options.netns]),
    ];
    // Where its libraries are, and compiled code of earlier starts.
    const env = Object.fromEntries(
      ['NODE_PATH', 'NODE_COMPILE_CACHE'].flatMap((name) => {
        const value = process.env[name];
        return value === undefined ? [] : [[name, value]];
      }),
    );
    // In a session of its own: Ctrl-C at a terminal is for the process that uses it, which may still have work for it.
    this.#child = spawn(process.execPath, args, {
      stdio: 'pipe',
      env: { LC_ALL: 'C', ...env },
      detached: true,
    });
    const { stdout, stderr, stdin } = this.#child;
    stdout?.on('data', (chunk: Buffer) => this.#receive(chunk));
    stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-stderrKept);
    });
    // A write to a helper that is gone: its end is reported by 'close'.
    stdin?.on('error', () => {});
    this.ended = new Promise((resolve) => {
      let done = false;
      const finish = (how: string, cause?: unknown): void => {
        if (done) return;
        done = true;
        const reason = `the nftables helper ended (${how})${this.#stderr === '' ? '' : `: ${this.#stderr.trim()}`}`;
        const pending = this.#calls.splice(0);
        onEnd(this, this.#ending && pending.length === 0 ? undefined : reason);
        for (const call of pending) call.reject(new NftablesError('helper-exited', reason, { cause }));
        resolve();
      };
      this.#child.on('error', (error) => finish(error.message, error));
      this.#child.on('close', (code, signal) =>
        finish(signal === null ? `exit code ${code}` : `signal ${signal}`),
      );
    });
    this.#hold(false);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get idle(): boolean {
    return this.#calls.length === 0;
  }

  call(code: number, text: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#calls.push({ text, resolve, reject });
      if (this.#calls.length === 1) this.#hold(true);
      const length = Buffer.byteLength(text);
      const frame = Buffer.allocUnsafe(headerSize + length);
      frame.writeUInt32LE(length, 0);
      frame[4] = code;
      frame.write(text, headerSize);
      this.#child.stdin?.write(frame);
    });
  }

  /** Lets it finish what it was asked, then ends it. */
  end(): Promise<void> {
    this.#ending = true;
    this.#hold(true);
    this.#child.stdin?.end();
    return this.ended;
  }

  /** An idle helper must not keep the process alive that uses it. */
  #hold(on: boolean): void {
    const handles = [
      this.#child,
      this.#child.stdin,
      this.#child.stdout,
      this.#child.stderr,
    ] as readonly (null | { ref?(): void; unref?(): void })[];
    for (const handle of handles) {
      if (on) handle?.ref?.();
      else handle?.unref?.();
    }
  }

  #receive(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    for (;;) {
      if (this.#buffered < headerSize) return;
      let head = this.#chunks[0] as Buffer;
      if (head.length < headerSize) head = this.#join();
      const length = head.readUInt32LE(0);
      if (this.#buffered < headerSize + length) return;
      const whole = this.#chunks.length === 1 ? head : this.#join();
      const body = whole.subarray(headerSize, headerSize + length);
      const code = whole[4];
      const rest = whole.subarray(headerSize + length);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#buffered = rest.length;
      const call = this.#calls.shift();
      if (this.#calls.length === 0) this.#hold(false);
      if (code === status.done) call?.resolve(body);
      else call?.reject(nftablesError(call.text, body.toString()));
    }
  }

  #join(): Buffer {
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [whole];
    return whole;
  }
}

/** {@link Nftables} on the kernel. */
export interface KernelNftables extends Nftables {
  /** Process id of the helper, when there is one now. */
  readonly helperPid: number | undefined;
}

class ProcessNftables implements KernelNftables {
  readonly #options: OpenNftablesOptions;
  #helper: Helper | undefined;
  #timer: NodeJS.Timeout | undefined;
  #recycle = false;
  #closed = false;

  constructor(options: OpenNftablesOptions) {
    this.#options = options;
  }

  get helperPid(): number | undefined {
    return this.#helper?.pid;
  }

  async check(text: string): Promise<void> {
    await this.#call(operation.check, text);
  }

  async apply(text: string): Promise<void> {
    await this.#call(operation.apply, text);
  }

  async list(scope?: ListScope, options: ListOptions = {}): Promise<NftObject[]> {
    const body = await this.#call(
      options.terse === true ? operation.listTerse : operation.list,
      listCommand(scope),
    );
    const objects = parseRuleset(body.toString(), options.handles === true ? { handles: true } : {});
    return options.complete === true
      ? withUnlisted(objects, await this.listText(scope, { terse: true }))
      : objects;
  }

  async listText(scope?: ListScope, options: ListOptions = {}): Promise<string> {
    const body = await this.#call(
      options.terse === true ? operation.listTextTerse : operation.listText,
      listCommand(scope),
    );
    return body.toString();
  }

  async generation(): Promise<number> {
    return (await this.#call(operation.generation, '')).readUInt32LE(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#helper?.end();
  }

  async #call(code: number, text: string): Promise<Buffer> {
    if (this.#closed) throw new NftablesError('helper-exited', 'this Nftables is closed');
    clearTimeout(this.#timer);
    this.#helper ??= new Helper(this.#options, (helper, unasked) => {
      if (this.#helper === helper) this.#helper = undefined;
      if (unasked !== undefined) this.#options.onExit?.(unasked);
    });
    const helper = this.#helper;
    if (text.length > recycleAbove) this.#recycle = true;
    try {
      return await helper.call(code, text);
    } finally {
      if (this.#helper === helper && helper.idle) this.#rest(helper);
    }
  }

  /** Nothing to do: end the helper after a while, if it is to end. */
  #rest(helper: Helper): void {
    const { idleExit } = this.#options;
    const after = this.#recycle ? Math.min(recycleAfter, idleExit ?? recycleAfter) : idleExit;
    if (after === undefined || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#helper !== helper || !helper.idle) return;
      this.#recycle = false;
      this.#helper = undefined;
      void helper.end();
    }, after);
    this.#timer.unref();
  }
}

/**
 * Opens the ruleset of a network namespace. Starts nothing yet: the helper process starts with the first call. Needs
 * `libnftables.so.1` and CAP_NET_ADMIN (and CAP_SYS_ADMIN to enter another namespace).
 */
export function openNftables(options: OpenNftablesOptions = {}): KernelNftables {
  return new ProcessNftables(options);
}
