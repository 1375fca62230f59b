/** The stream from an active router to its standby, piped as the host agent does it: bytes as they are, begun again when it ends. */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SyncAck } from '../../sync/lines.ts';
import type { SyncStanding } from '../../sync/routes.ts';
import type { ChainRouter } from '../handover/chain-lab.ts';

export class SyncPipe {
  readonly #from: ChainRouter;
  readonly #to: ChainRouter;
  #closed = false;
  #live: ClientRequest[] = [];
  /** How often a stream came about. */
  streams = 0;
  ack: SyncAck | null = null;

  constructor(from: ChainRouter, to: ChainRouter) {
    this.#from = from;
    this.#to = to;
    void this.#run();
  }

  async #run(): Promise<void> {
    for (; !this.#closed; await sleep(50)) {
      await this.#stream().catch(() => undefined);
      this.ack = null;
      for (const call of this.#live.splice(0)) call.destroy();
    }
  }

  #call(router: ChainRouter, method: string): ClientRequest {
    const socketPath = join(router.directory, 'control.sock');
    const call = request({ socketPath, method, path: '/v1/sync/stream' });
    this.#live.push(call);
    return call;
  }

  #stream(): Promise<void> {
    return new Promise((resolve, reject) => {
      const get = this.#call(this.#from, 'GET');
      get.on('error', reject);
      get.end();
      get.on('response', (read: IncomingMessage) => {
        if (read.statusCode !== 200) {
          reject(new Error(`GET says ${read.statusCode}`));
          return;
        }
        const post = this.#call(this.#to, 'POST');
        post.on('error', reject);
        read.on('error', reject);
        read.on('close', () => resolve());
        read.pipe(post);
        post.on('response', (answer: IncomingMessage) => {
          if (answer.statusCode === 200) this.streams += 1;
          let rest = '';
          answer.setEncoding('utf8');
          answer.on('data', (text: string) => {
            const lines = (rest + text).split('\n');
            rest = lines.pop() ?? '';
            for (const line of lines) this.ack = JSON.parse(line) as SyncAck;
          });
          answer.on('error', reject);
          answer.on('close', () => resolve());
        });
      });
    });
  }

  /** Until the standby has acknowledged all there was; fails after ten seconds. */
  async synced(): Promise<void> {
    for (let attempt = 0; attempt < 500; attempt += 1) {
      if (this.ack?.synced === true) return;
      await sleep(20);
    }
    throw new Error(`not synced: ${JSON.stringify(this.ack)}`);
  }

  close(): void {
    this.#closed = true;
    for (const call of this.#live.splice(0)) call.destroy();
  }
}

/** Where a router says it stands. */
export const standing = async (router: ChainRouter): Promise<SyncStanding> =>
  (await router.call<SyncStanding>('GET', '/v1/sync')).body;
