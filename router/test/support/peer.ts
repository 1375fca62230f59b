import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./peer-program.ts', import.meta.url));

interface Target {
  readonly address: string;
  readonly port: number;
  readonly from?: string;
  readonly timeout?: number;
}

/** A machine in a namespace that can serve, call and ping. */
export class Peer {
  readonly netns: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { readonly done: (result: string) => void; readonly failed: (error: Error) => void }
  >();
  #count = 0;

  constructor(netns: string) {
    this.netns = netns;
    this.#child = spawn('ip', ['netns', 'exec', netns, process.execPath, program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const { id, result } = JSON.parse(line) as { readonly id: number; readonly result: string };
      this.#waiting.get(id)?.done(result);
      this.#waiting.delete(id);
    });
    this.#child.once('exit', () => {
      for (const { failed } of this.#waiting.values()) failed(new Error(`the peer in ${netns} ended`));
    });
  }

  #ask(request: object): Promise<string> {
    this.#count += 1;
    const id = this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { done: resolve, failed: reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  /** Serves TCP and UDP on a port: answers with whom it sees: `address port ownport`. */
  serve(port: number): Promise<string> {
    return this.#ask({ do: 'serve', port });
  }

  /** What a TCP server answers; `timeout`, `ECONNREFUSED` and the like when it does not. */
  tcp(target: Target): Promise<string> {
    return this.#ask({ do: 'tcp', ...target });
  }

  udp(target: Target): Promise<string> {
    return this.#ask({ do: 'udp', ...target });
  }

  /** A TCP connection that stays: its handle, and the first answer. */
  async open(target: Target): Promise<{ readonly handle: number; readonly answer: string }> {
    const [handle = '0', ...answer] = (await this.#ask({ do: 'open', ...target })).split(' ');
    return { handle: Number(handle), answer: answer.join(' ') };
  }

  /** Uses a connection that stays. */
  say(handle: number, timeout = 500): Promise<string> {
    return this.#ask({ do: 'say', handle, timeout });
  }

  /** Whether an echo request is answered within half a second. */
  ping(address: string, from?: string): boolean {
    const args = [
      'netns',
      'exec',
      this.netns,
      'ping',
      '-n',
      '-c1',
      '-W0.5',
      ...(from === undefined ? [] : ['-I', from]),
      address,
    ];
    return spawnSync('ip', args).status === 0;
  }

  /** The same, for what is to work: on a busy machine one echo may come late. */
  reaches(address: string): boolean {
    return [1, 2, 3, 4, 5].some(() => this.ping(address));
  }

  close(): void {
    this.#child.stdin?.end();
    this.#child.kill();
  }
}
