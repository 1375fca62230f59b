import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Namespace } from './namespace.ts';
import { scratch } from './scratch.ts';

const program = fileURLToPath(new URL('./stopwatch-program.ts', import.meta.url));

/** Programs to run one after the other, timed together. */
export interface TimedCommand {
  readonly commands: readonly (readonly string[])[];
  /** Last argument of each: a file with the input. */
  readonly inputFile?: string;
}

/** Times programs in a namespace, from a small process of its own. */
export class Stopwatch {
  readonly #child: ChildProcess;
  readonly #directory = scratch.make();
  readonly #waiting: ((line: string) => void)[] = [];

  constructor(namespace: Namespace) {
    const args = ['netns', 'exec', namespace.name, process.execPath, '--no-warnings', program];
    this.#child = spawn('/usr/sbin/ip', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })
      .on('line', (line) => this.#waiting.shift()?.(line))
      .on('close', () => {
        for (const waiting of this.#waiting) waiting(JSON.stringify({ ms: 0, error: 'the stopwatch ended' }));
      });
  }

  /** ms that the programs take. Throws when one fails. */
  async time(commands: readonly (readonly string[])[], input?: string): Promise<number> {
    const inputFile = join(this.#directory, 'input');
    if (input !== undefined) writeFileSync(inputFile, input);
    const request: TimedCommand = input === undefined ? { commands } : { commands, inputFile };
    const line = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    });
    const { ms, error } = JSON.parse(line) as { readonly ms: number; readonly error: string };
    if (error !== '') throw new Error(`${commands[0]?.[0]}: ${error}`);
    return ms;
  }

  end(): void {
    this.#child.stdin?.end();
    scratch.remove(this.#directory);
  }
}
