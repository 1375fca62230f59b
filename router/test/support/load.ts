import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./load-program.ts', import.meta.url));

/** What a machine does again and again. */
export interface Job {
  /** `http`: connect, ask, read, close. `dns`, `dns-tcp`: a query. `renew`: of a DHCP lease. */
  readonly kind: 'http' | 'dns' | 'dns-tcp' | 'renew';
  readonly address: string;
  /** Times a second. */
  readonly rate: number;
  /** How long an answer may take, ms; default 8000. */
  readonly patience?: number;
  readonly port?: number;
  readonly from?: number;
  readonly path?: string;
  readonly name?: string;
  /** Of a lease: who holds it, and the address. */
  readonly mac?: string;
  readonly own?: string;
}

/** What came of it. */
export interface Tally {
  readonly kind: Job['kind'];
  asked: number;
  ok: number;
  /** Everything but success, by name: `timeout`, `ECONNRESET`. */
  readonly others: Record<string, number>;
  /** ms */
  slowest: number;
}

/** Traffic from a machine until it is stopped. */
export class Load {
  readonly #child: ChildProcess;
  readonly #result: Promise<readonly Tally[]>;

  constructor(netns: string, jobs: readonly Job[]) {
    this.#child = spawn('ip', ['netns', 'exec', netns, process.execPath, program, JSON.stringify(jobs)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let text = '';
    this.#child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
    this.#result = new Promise((resolve, reject) => {
      this.#child.once('close', () => {
        try {
          resolve(JSON.parse(text) as readonly Tally[]);
        } catch (error) {
          reject(new Error('The load ended early', { cause: error }));
        }
      });
    });
    this.#result.catch(() => undefined);
  }

  /** Ends it and waits for the answers that are still to come. */
  stop(): Promise<readonly Tally[]> {
    this.#child.stdin?.end();
    return this.#result;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
