/** A whole Selvage of its own for a test, the demo or a bench: another state directory, prefix and port than anybody else's. */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Client, Resource } from '../../cli/client.ts';
import { labDown } from '../../cli/lab/down.ts';
import { labUp } from '../../cli/lab/up.ts';
import { destroyStack } from '../../cli/stack/destroy.ts';
import { type Stack, startStack } from '../../cli/stack/start.ts';

const runFile = promisify(execFile);

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TestStack {
  readonly stack: () => Stack;
  readonly client: () => Client;
  readonly prefix: string;
  readonly state: string;
  /** Ends controller and agent and starts them again; routers and guests go on. */
  readonly restart: () => Promise<void>;
  /** Runs a program in a machine (`internet`, or the id of an instance or router) to its end, 60 s at most. */
  readonly run: (machine: string, command: readonly string[], timeout?: number) => Promise<RunResult>;
  /** Starts a program in a machine; it ends with the stack at the latest. Returns how to end it. */
  readonly start: (machine: string, command: readonly string[]) => () => void;
  /** Kills all that runs in a machine, and then it. */
  readonly killMachine: (machine: string) => Promise<void>;
  /** Creates a resource and waits for the work that follows. */
  readonly create: (path: string, body: Readonly<Record<string, unknown>>) => Promise<Resource>;
  /** Deletes a resource and waits for the work that follows. */
  readonly remove: (path: string) => Promise<void>;
  /** Removes everything. Safe to call twice. */
  readonly destroy: () => Promise<void>;
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        address === null || typeof address === 'string'
          ? reject(new Error('no port'))
          : resolve(address.port),
      );
    });
  });

/** Starts a stack with its lab up. `tell` gets what a person would read. */
export const startTestStack = async (
  prefix: string,
  options: { readonly networkGc?: number; readonly tell?: (message: string) => void } = {},
): Promise<TestStack> => {
  const state = mkdtempSync(join(tmpdir(), `${prefix}-`));
  const tell = options.tell ?? (() => {});
  const port = await freePort();
  const begin = (): Promise<Stack> =>
    startStack({ state, port, prefix, networkGc: options.networkGc ?? 600, tell, untilSignal: false });
  const children = new Set<ReturnType<typeof spawn>>();
  let stack: Stack | undefined;
  let destroyed = false;

  const destroy = async (): Promise<void> => {
    if (destroyed) return;
    destroyed = true;
    for (const child of children) child.kill('SIGKILL');
    await stack?.stop();
    await labDown({ state, prefix, tell: () => {} });
    await destroyStack({ state, prefix, confirmed: true, tell: () => {} });
    rmSync(state, { recursive: true, force: true });
  };

  const launch = (machine: string, command: readonly string[]): ReturnType<typeof spawn> => {
    const child = spawn('/usr/sbin/ip', ['netns', 'exec', `${prefix}-${machine}`, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.add(child);
    child.once('exit', () => children.delete(child));
    return child;
  };

  const running = (): Stack => {
    if (stack === undefined) throw new Error('the stack is not running');
    return stack;
  };

  const follow = async (resource: Resource | null): Promise<void> => {
    if (typeof resource?.operation === 'string') await running().client.wait(resource.operation, () => {});
  };

  try {
    stack = await begin();
    await labUp({ client: stack.client, state, prefix, tell });
  } catch (error) {
    await destroy();
    throw error;
  }

  return {
    stack: running,
    client: () => running().client,
    prefix,
    state,
    restart: async () => {
      await running().stop();
      stack = await begin();
    },
    run: (machine, command, timeout = 60_000) =>
      new Promise((resolve, reject) => {
        const child = launch(machine, command);
        const output = { stdout: '', stderr: '' };
        child.stdout?.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
        child.stderr?.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
        const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
        child.once('error', reject);
        child.once('close', (code) => {
          clearTimeout(timer);
          resolve({ exitCode: code ?? 137, ...output });
        });
      }),
    start: (machine, command) => {
      const child = launch(machine, command);
      child.stdout?.resume();
      child.stderr?.resume();
      return () => child.kill('SIGKILL');
    },
    killMachine: async (machine) => {
      const name = `${prefix}-${machine}`;
      const { stdout } = await runFile('/usr/sbin/ip', ['netns', 'pids', name]);
      for (const pid of stdout.split('\n').filter(Boolean))
        try {
          process.kill(Number(pid), 'SIGKILL');
        } catch {
          // One that has ended by itself.
        }
      await runFile('/usr/sbin/ip', ['netns', 'del', name]);
    },
    create: async (path, body) => {
      const created = await running().client.post<Resource>(path, body);
      await follow(created);
      return typeof created.operation !== 'string'
        ? created
        : { ...created, ...(await running().client.get(`${path}/${created.id}`)) };
    },
    remove: async (path) => follow(await running().client.delete(path)),
    destroy,
  };
};
