import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { mkdir, open, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type KernelNftables, openNftables } from 'nftables-json';
import { openConntrackSocket, openNftablesGeneration, openRouteSocket } from 'node-netlink';
import type { Exec, Files, Report, Settings, System } from './system.ts';

/** The nftables helper is let go after this long without work, ms: it is the larger half of an idle router. */
const HELPER_IDLE = 30_000;

const hasCode = (error: unknown, ...codes: readonly string[]): boolean =>
  codes.includes((error as NodeJS.ErrnoException).code ?? '');

const files: Files = {
  read: async (path) => {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return null;
      throw error;
    }
  },
  write: async (path, text, mode = 0o644) => {
    if ((await files.read(path)) === text) return false;
    await mkdir(dirname(path), { recursive: true });
    const draft = `${path}.new`;
    await rm(draft, { force: true });
    const file = await open(draft, 'w', mode);
    try {
      await file.writeFile(text);
      // The umask has no say in what others may read.
      await file.chmod(mode);
    } finally {
      await file.close();
    }
    await rename(draft, path);
    return true;
  },
  remove: async (path) => {
    try {
      await rm(path);
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    }
  },
  list: async (directory) => {
    try {
      return await readdir(directory);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    }
  },
};

const SETTING_BYTES = 4096;

/** All of a file that gives what fits into the first read, and nothing to a second one (fs/proc/proc_sysctl.c). */
const readAtOnce = async (path: string): Promise<string> => {
  const file = await open(path);
  try {
    for (let size = SETTING_BYTES; ; size *= 8) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(size), 0, size, 0);
      if (bytesRead < size) return buffer.toString('utf8', 0, bytesRead);
    }
  } finally {
    await file.close();
  }
};

const settings: Settings = {
  read: async (path) => {
    try {
      return (await readAtOnce(join('/proc/sys/net', path))).trim();
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return null;
      throw error;
    }
  },
  // What a long list takes in several writes the kernel adds up (proc_do_large_bitmap).
  write: (path, value) => writeFile(join('/proc/sys/net', path), value),
};

const exec: Exec = {
  run: (program, args, options = {}) =>
    new Promise((resolve) => {
      const { input = '', timeout, cwd } = options;
      const child = spawn(program, args, { stdio: 'pipe', timeout, cwd, killSignal: 'SIGKILL' });
      const output: Buffer[] = [];
      const errors: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
      child.on('error', (error) => resolve({ exitCode: 127, stdout: '', stderr: error.message }));
      child.on('close', (code) =>
        resolve({
          // Ended by a signal, as shells say it.
          exitCode: code ?? 128,
          stdout: Buffer.concat(output).toString(),
          stderr: Buffer.concat(errors).toString(),
        }),
      );
      // A program that does not read its input is not an error.
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
    }),
  start: (program, args, { log }) =>
    new Promise((resolve, reject) => {
      mkdirSync(dirname(log), { recursive: true });
      const output = openSync(log, 'a', 0o600);
      const child = spawn(program, args, { stdio: ['ignore', output, output], detached: true });
      closeSync(output);
      child.on('error', reject);
      child.on('spawn', () => {
        child.unref();
        preferGroup(child.pid as number);
        resolve(child.pid as number);
      });
    }),
};

/**
 * Where the scheduler shares the processor by session (sched(7), autogroup), a service is one session among many and may
 * wait for seconds on a busy host while tenants wait for it. Kernels without autogroups have no such file.
 */
const preferGroup = (pid: number): void => {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, '-10');
  } catch {
    // Nothing to prefer it over.
  }
};

/** Where the parts of a real system are. */
export interface OpenSystemOptions {
  readonly directory: string;
  /** File of the nftables helper, where it is not beside its sources. */
  readonly helper?: string;
  readonly helperArgs?: readonly string[];
  readonly report: (event: Report) => void;
  /** Told when a helper process ends unasked. */
  readonly onHelperExit?: (reason: string) => void;
}

/** The ruleset through the helper; its number is asked for in this process, as that must not wake the helper. */
const openRuleset = (options: OpenSystemOptions): KernelNftables => {
  const nftables = openNftables({
    idleExit: HELPER_IDLE,
    ...(options.helper === undefined ? {} : { helper: options.helper }),
    ...(options.helperArgs === undefined ? {} : { helperArgs: options.helperArgs }),
    ...(options.onHelperExit === undefined ? {} : { onExit: options.onHelperExit }),
  });
  const generation = openNftablesGeneration();
  const close = nftables.close.bind(nftables);
  return Object.assign(nftables, {
    generation: async () => generation.read(),
    close: async () => {
      await close();
      generation.close();
    },
  });
};

/** The System of the network namespace this process is in. */
export const openSystem = (options: OpenSystemOptions): System & { readonly nftables: KernelNftables } => ({
  directory: options.directory,
  nftables: openRuleset(options),
  route: openRouteSocket(),
  conntrack: openConntrackSocket(),
  files,
  settings,
  exec,
  clock: { now: Date.now, sleep: (ms) => sleep(ms) },
  report: options.report,
});
