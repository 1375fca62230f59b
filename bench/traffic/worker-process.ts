/** A worker from outside: started in a namespace, given orders one after another, ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Answer, Order, WorkerReport } from './protocol.ts';
import type { ProcessReport } from './report.ts';

const WORKER = join(import.meta.dirname, 'worker.ts');
const LAST_WORDS = 2000;
const END_LIMIT = 3000;
/** Above all that jobs may take to open or to end. */
const ORDER_LIMIT = 45_000;

interface Waiting {
  readonly resolve: (report: WorkerReport | null) => void;
  readonly reject: (error: Error) => void;
}

export class WorkerProcess {
  readonly namespace: string;
  readonly role: ProcessReport['role'];
  readonly #child: ChildProcess;
  readonly #waiting: Waiting[] = [];
  readonly #exited: Promise<void>;
  #stderr = '';
  #gone = false;

  constructor(namespace: string, role: ProcessReport['role']) {
    this.namespace = namespace;
    this.role = role;
    this.#child = spawn('/usr/sbin/ip', ['netns', 'exec', namespace, process.execPath, WORKER], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const { stdin, stdout, stderr } = this.#child;
    if (stdin === null || stdout === null || stderr === null) throw new Error('no pipes to the worker');
    stdin.on('error', () => {});
    stderr.on('data', (bytes: Buffer) => {
      this.#stderr = (this.#stderr + bytes.toString()).slice(-LAST_WORDS);
    });
    createInterface({ input: stdout }).on('line', (line) => this.#answered(JSON.parse(line) as Answer));
    this.#exited = new Promise((resolve) => {
      const gone = (why: string): void => {
        this.#gone = true;
        for (const { reject } of this.#waiting.splice(0)) reject(this.#error(why));
        resolve();
      };
      this.#child.once('error', (error) => gone(error.message));
      this.#child.once('close', (code, signal) => gone(`ended with ${signal ?? code}`));
    });
  }

  /** Throws when the worker cannot do it, or is gone. */
  order(order: Order): Promise<WorkerReport | null> {
    if (this.#gone) return Promise.reject(this.#error('is gone'));
    return new Promise<WorkerReport | null>((resolve, reject) => {
      const timer = setTimeout(() => reject(this.#error(`no answer to ${order.type}`)), ORDER_LIMIT);
      const settled =
        <T>(settle: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer);
          settle(value);
        };
      this.#waiting.push({ resolve: settled(resolve), reject: settled(reject) });
      this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    });
  }

  /** Ends the program, by force after 3 s. Safe to call twice. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_LIMIT);
    await this.#exited;
    clearTimeout(timer);
  }

  #answered(answer: Answer): void {
    const waiting = this.#waiting.shift();
    if (answer.type === 'done') waiting?.resolve(answer.report);
    else waiting?.reject(this.#error(answer.message));
  }

  #error(why: string): Error {
    return new Error(
      `Traffic ${this.role} in ${this.namespace}: ${why}${this.#stderr === '' ? '' : `\n${this.#stderr}`}`,
    );
  }
}
