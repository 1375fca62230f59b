/** The pipe between a router and its standby, with ends of a few lines: what comes through, how fast, and after which ends. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { SyncPipes } from '../failover/sync-pipes.ts';
import { settlesTo } from './fixtures/router-chain.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

class End {
  readonly #path: string;
  readonly #handler: Handler;
  #server: Server | null = null;
  calls = 0;

  constructor(directory: string, id: string, handler: Handler) {
    mkdirSync(join(directory, id), { recursive: true });
    this.#path = join(directory, id, 'control.sock');
    this.#handler = handler;
  }

  async open(): Promise<void> {
    this.#server = createServer((request, response) => {
      this.calls += 1;
      this.#handler(request, response);
    });
    this.#server.listen(this.#path);
    await once(this.#server, 'listening');
  }

  close(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
    this.#server = null;
  }
}

const place = (t: ExecutionContext): string => {
  const directory = mkdtempSync(join(tmpdir(), 'svt-sync-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
};

const pair = { id: 'rtr-b', router: 'rtr-a', standby: 'rtr-b' };

const pipesOf = (t: ExecutionContext, directory: string): { pipes: SyncPipes; told: () => string[] } => {
  const told: string[] = [];
  const pipes: SyncPipes = new SyncPipes({
    directory,
    onChange: () => told.push(pipes.statuses.map(({ state }) => state).join()),
  });
  t.teardown(() => pipes.close());
  return { pipes, told: () => told };
};

const ends = async (t: ExecutionContext, directory: string, from: Handler, to: Handler) => {
  const active = new End(directory, 'rtr-a', from);
  const standby = new End(directory, 'rtr-b', to);
  t.teardown(() => {
    active.close();
    standby.close();
  });
  await Promise.all([active.open(), standby.open()]);
  return { active, standby };
};

/** A standby that says that it has everything at each chunk. */
const acknowledging =
  (onChunk: (chunk: Buffer) => void = () => {}): Handler =>
  (request, response) => {
    response.writeHead(200).flushHeaders();
    let entries = 0;
    request.on('data', (chunk: Buffer) => {
      onChunk(chunk);
      entries += 1;
      response.write(`${JSON.stringify({ synced: true, entries })}\n`);
    });
    request.on('error', () => {});
  };

const talking: Handler = (_request, response) => {
  response.writeHead(200);
  const timer = setInterval(() => response.write('{"type":"heartbeat"}\n'), 20);
  response.on('close', () => clearInterval(timer));
};

test('bytes come through untouched, and no faster than the standby takes them', async (t) => {
  const directory = place(t);
  const total = 24 * 1024 * 1024;
  const [sent, taken] = [createHash('sha256'), createHash('sha256')];
  let written = 0;
  let received = 0;
  let held: IncomingMessage | null = null;
  await ends(
    t,
    directory,
    (_request, response) => {
      response.writeHead(200);
      const more = () => {
        while (written < total) {
          const chunk = randomBytes(64 * 1024);
          sent.update(chunk);
          written += chunk.length;
          if (!response.write(chunk)) return;
        }
      };
      response.on('drain', more);
      more();
    },
    (request, response) => {
      response.writeHead(200).flushHeaders();
      request.on('data', (chunk: Buffer) => {
        taken.update(chunk);
        received += chunk.length;
        if (received >= total) response.write('{"synced":true,"entries":7}\n');
      });
      request.on('error', () => {});
      request.pause();
      held = request;
    },
  );
  const { pipes } = pipesOf(t, directory);
  pipes.want([pair]);
  t.true(await settlesTo(true, () => held !== null));
  // Everybody's buffers are full by now, and nobody reads on.
  await settlesTo(true, () => false, 6);
  t.true(written < total / 2, `${written} of ${total} written to a standby that takes nothing`);
  (held as unknown as IncomingMessage).resume();
  t.true(await settlesTo(true, () => pipes.statuses[0]?.state === 'synced'));
  t.is(received, total);
  t.is(taken.digest('hex'), sent.digest('hex'));
  t.is(pipes.statuses[0]?.message, 'Follows rtr-a; 7 connections');
});

test('it begins anew after the end of either side, tells so, and ends with its pair', async (t) => {
  const directory = place(t);
  const { active, standby } = await ends(t, directory, talking, acknowledging());
  const { pipes, told } = pipesOf(t, directory);
  pipes.want([pair]);
  const synced = () => settlesTo('synced', () => pipes.statuses[0]?.state);
  t.is(await synced(), 'synced');
  for (const end of [active, standby]) {
    const calls = end.calls;
    end.close();
    t.is(await settlesTo('broken', () => pipes.statuses[0]?.state), 'broken');
    await end.open();
    pipes.listens('rtr-a');
    t.is(await synced(), 'synced');
    t.is(end.calls, calls + 1);
  }
  t.deepEqual(told(), ['synced', 'broken', 'syncing', 'synced', 'broken', 'syncing', 'synced']);
  // The same pair again changes nothing; another one in its place begins anew.
  const calls = standby.calls;
  pipes.want([pair]);
  t.is(standby.calls, calls);
  pipes.want([]);
  t.deepEqual(pipes.statuses, []);
  const count = active.calls;
  await settlesTo(true, () => false, 10);
  t.is(active.calls, count);
});

test('a side that refuses, or gives up under way, is named', async (t) => {
  const directory = place(t);
  let answer: Handler = (_request, response) => {
    response.writeHead(404).end('no document');
  };
  await ends(t, directory, talking, (request, response) => answer(request, response));
  const { pipes } = pipesOf(t, directory);
  pipes.want([pair]);
  const message = () => pipes.statuses[0]?.message ?? '';
  const expect = async (words: RegExp) => {
    await settlesTo(true, () => words.test(message()));
    t.regex(message(), words);
    t.is(pipes.statuses[0]?.state, 'broken');
  };
  await expect(/rtr-b answers 404 no document/);
  answer = (request, response) => {
    request.on('error', () => {});
    request.once('data', () => response.end('{"synced":false,"entries":0,"error":"line 3 is no line"}\n'));
  };
  pipes.listens('rtr-b');
  await expect(/rtr-b: line 3 is no line/);
});
