/** The real router daemon in a namespace of a bench, started as the host agent starts it and talked to over its socket. */
import { mkdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RouterDocument, RouterDocumentChange } from 'documents';
import { type Monitor, monitor, processStartTime } from 'node-netlink';
import { supervisedDaemon } from '../../host/machines/namespace/router-process.ts';
import { SupervisedProcess } from '../../host/machines/namespace/supervised-process.ts';
import { bundleRouter } from '../../scripts/bundle.ts';
import type { Namespace } from './namespace.ts';
import { scratch } from './scratch.ts';

const START_LIMIT = 20_000;
const COMMIT_LIMIT = 10_000;

/** ms from the moment a request was sent. */
export interface Taken {
  /** ... until the kernel announced that it has the new table; NaN when nothing changed in it. */
  readonly inKernel: number;
  /** ... until the daemon's answer was complete. */
  readonly answered: number;
  /** By the daemon's own clock, ms: from the document accepted until kernel and daemons had it. */
  readonly fromAccepted: number;
}

/** A router daemon that runs. */
export class RouterProcess {
  readonly #state = scratch.make();
  readonly #directory = join(this.#state, 'host', 'routers', 'rtr-1');
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #process: SupervisedProcess;
  readonly #monitor: Monitor;
  #committed: ((time: number) => void) | null = null;
  generation = 0;

  private constructor(namespace: string, bundle: string) {
    mkdirSync(this.#directory, { recursive: true });
    this.#monitor = monitor({ netns: namespace, groups: ['nftables'] }, () => {
      this.#committed?.(performance.now());
      this.#committed = null;
    });
    this.#process = new SupervisedProcess(
      supervisedDaemon(
        { id: 'rtr-1', namespace, directory: this.#directory, memory: null },
        { node: process.execPath, bundle },
        bundle,
      ),
      { started: () => undefined, ended: () => undefined, failed: () => undefined },
    );
  }

  /** Starts a daemon without a document and waits until it listens. */
  static async start(namespace: Namespace): Promise<RouterProcess> {
    const router = new RouterProcess(namespace.name, await bundleRouter());
    router.#process.start({ fresh: true });
    const limit = performance.now() + START_LIMIT;
    while (performance.now() < limit) {
      try {
        await router.call('GET', '/v1/status');
        return router;
      } catch {
        await sleep(10);
      }
    }
    const log = readFileSync(join(router.#directory, 'daemon.log'), 'utf8');
    await router.end();
    throw new Error(`the router daemon does not listen: ${log}`);
  }

  /** What the header Server-Timing of the last answer said, ms. */
  #timing: ReadonlyMap<string, number> = new Map();

  /** A call of the control API; throws unless it answers 200. */
  call(method: string, path: string, body?: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      const socketPath = join(this.#directory, 'control.sock');
      const call = request({ socketPath, method, path, agent: this.#agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on('error', reject);
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const timing = String(response.headers['server-timing'] ?? '').matchAll(/([a-z]+);dur=([\d.]+)/g);
          this.#timing = new Map(Array.from(timing, ([, name = '', value]) => [name, Number(value)]));
          if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
          else reject(new Error(`${method} ${path}: ${response.statusCode} ${Buffer.concat(chunks)}`));
        });
      });
      call.on('error', reject);
      call.end(body);
    });
  }

  /** Puts a document in force. */
  put(document: RouterDocument): Promise<Taken> {
    return this.#change('PUT', document);
  }

  /** Puts a change in force. */
  patch(change: RouterDocumentChange): Promise<Taken> {
    return this.#change('PATCH', change);
  }

  async #change(method: 'PUT' | 'PATCH', body: RouterDocument | RouterDocumentChange): Promise<Taken> {
    const bytes = Buffer.from(JSON.stringify(body));
    const committed = new Promise<number>((resolve) => {
      const limit = setTimeout(resolve, COMMIT_LIMIT, Number.NaN);
      this.#committed = (time) => {
        clearTimeout(limit);
        resolve(time);
      };
    });
    const sent = performance.now();
    await this.call(method, '/v1/document', bytes);
    const answered = performance.now() - sent;
    this.generation = body.generation;
    const fromAccepted = this.#timing.get('kernel') ?? Number.NaN;
    return { inKernel: (await committed) - sent, answered, fromAccepted };
  }

  /** Kills the daemon and removes its state. What it made in the namespace stays. */
  async end(): Promise<void> {
    this.#monitor.close();
    this.#agent.destroy();
    const { pid } = this.#process;
    this.#process.release();
    if (pid !== null) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone by itself.
      }
      // It must not write into a directory that is being removed.
      for (let wait = 0; processStartTime(pid) !== null && wait < 1000; wait += 1) await sleep(1);
    }
    scratch.remove(this.#state);
  }
}
