/** The agent's side of the prober: a program of its own, so that what the agent does delays no datagram. */
import { type ChildProcess, fork } from 'node:child_process';
import { getCompileCacheDir } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { HostDocument, ProbeReading } from 'documents';
import type { MachineReport } from '../machines/machine.ts';
import { restartDelay } from '../machines/namespace/supervised-process.ts';
import { type ProbeOrder, probeOrders } from './orders.ts';
import type { FromProber, ToProber } from './protocol.ts';

export interface ProberOptions {
  readonly prefix: string;
  /** The host, in what is reported. */
  readonly host: string;
  readonly report: (report: MachineReport) => void;
}

const program = fileURLToPath(new URL('prober-program.ts', import.meta.url));
/** Hundreds of sockets, but hardly an object that lives. */
const flags = ['--max-semi-space-size=1', '--v8-pool-size=1', '--no-warnings'];
/** Alive that long, ms, it counts as well again. */
const STEADY = 30_000;

type Answer = (reading: ProbeReading | null) => void;

export class Prober {
  readonly #options: ProberOptions;
  readonly #asked = new Map<number, Answer>();
  #orders: readonly ProbeOrder[] = [];
  #child: ChildProcess | null = null;
  #timer: NodeJS.Timeout | undefined;
  #startedAt = 0;
  #attempt = 0;
  #next = 1;
  #closed = false;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Of the program; null when nothing is measured. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Measures what the document wants; without probes there is no program. */
  follow(document: HostDocument): void {
    const orders = probeOrders(document, this.#options.prefix);
    const same = JSON.stringify(orders) === JSON.stringify(this.#orders);
    this.#orders = orders;
    if (this.#closed || same) return;
    if (orders.length === 0) this.#end();
    else if (this.#child !== null) this.#say({ type: 'follow', probes: orders });
    else this.#start();
  }

  /**
   * What a probe measured from `from` until before `to`, ms since the epoch, once what was sent in its last second is
   * judged; null when there is no such probe here.
   */
  reading(probe: string, from: number, to: number): Promise<ProbeReading | null> {
    if (this.#child === null) return Promise.resolve(null);
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve) => {
      this.#asked.set(id, resolve);
      this.#say({ type: 'read', id, probe, from, to });
    });
  }

  close(): void {
    this.#closed = true;
    this.#end();
  }

  #say(message: ToProber): void {
    // That it has ended is told by its end.
    this.#child?.send(message, () => {});
  }

  #start(): void {
    clearTimeout(this.#timer);
    const cache = getCompileCacheDir();
    const child = fork(program, [], {
      execArgv: flags,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { PATH: process.env['PATH'], ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }) },
    });
    this.#child = child;
    this.#startedAt = performance.now();
    child.on('message', (message: FromProber) => {
      this.#asked.get(message.id)?.(message.reading);
      this.#asked.delete(message.id);
    });
    child.on('error', () => {});
    child.once('exit', (code, signal) => this.#ended(child, signal ?? `exit ${code}`));
    this.#say({ type: 'follow', probes: this.#orders });
  }

  #end(): void {
    clearTimeout(this.#timer);
    const child = this.#child;
    this.#child = null;
    // It ends when nobody talks to it any more.
    if (child?.connected === true) child.disconnect();
    this.#giveUp();
  }

  #ended(child: ChildProcess, how: string): void {
    if (this.#child !== child) return;
    this.#child = null;
    this.#giveUp();
    if (performance.now() - this.#startedAt > STEADY) this.#attempt = 0;
    const delay = restartDelay(this.#attempt);
    this.#attempt += 1;
    this.#options.report({
      type: 'host.prober-restarted',
      level: 'warning',
      subject: this.#options.host,
      message: `The prober ended (${how}) and is started again; what it had measured is lost`,
    });
    this.#timer = setTimeout(() => this.#start(), delay);
  }

  #giveUp(): void {
    for (const answer of this.#asked.values()) answer(null);
    this.#asked.clear();
  }
}
