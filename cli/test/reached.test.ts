/** A controller that goes away while it is waited for, played by a server that is ended and comes back. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { ApiError } from '../api-error.ts';
import { Client } from '../client.ts';
import { CliError } from '../connection.ts';
import { reached } from '../reached.ts';

interface Played {
  readonly client: Client;
  readonly asked: () => number;
  /** Ends the server, and whatever it was asked and has not answered. */
  readonly leave: () => Promise<void>;
  readonly comeBack: () => Promise<void>;
}

/** `answer` gets how many times it was asked before. */
const played = async (
  t: ExecutionContext,
  answer: (response: ServerResponse, before: number) => void,
): Promise<Played> => {
  let asked = 0;
  let port = 0;
  let server: Server | null = null;
  const leave = async (): Promise<void> => {
    const ending = server;
    server = null;
    if (ending === null) return;
    const ended = new Promise((resolve) => ending.close(resolve));
    ending.closeAllConnections();
    await ended;
  };
  const comeBack = async (): Promise<void> => {
    const starting = createServer((_request, response) => answer(response, asked++));
    await new Promise<void>((resolve) => starting.listen(port, '127.0.0.1', resolve));
    ({ port } = starting.address() as AddressInfo);
    server = starting;
  };
  await comeBack();
  t.teardown(leave);
  return {
    client: new Client({ url: `http://127.0.0.1:${port}`, key: 'k' }),
    asked: () => asked,
    leave,
    comeBack,
  };
};

const operation = (state: string, ...messages: string[]): string =>
  JSON.stringify({ id: 'op-1', state, steps: messages.map((message) => ({ message })), problem: null });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const until = async (holds: () => boolean): Promise<void> => {
  for (let look = 0; look < 500 && !holds(); look += 1) await pause(10);
};

test('a wait goes on over a restart of the controller, and says once that it is away', async (t) => {
  const told: string[] = [];
  const p = await played(t, (response, before) => {
    // The first question is held until the server ends.
    if (before > 0) response.end(operation('succeeded', 'begun', 'done'));
    else response.write(operation('running', 'begun').slice(0, 10));
  });
  const waiting = p.client.wait('op-1', (message) => told.push(message), { every: 20 });
  await until(() => p.asked() === 1);
  await p.leave();
  await pause(200);
  t.is(told.length, 1, told.join('\n'));
  t.regex(told[0] ?? '', /Nothing answers at .*: the controller is waited for, up to 60 s/);
  await p.comeBack();
  t.is((await waiting).state, 'succeeded');
  t.deepEqual(told.slice(1), ['begun', 'done']);
});

test('control: what is not waited for fails at once', async (t) => {
  const p = await played(t, (response) => response.end('{}'));
  await p.leave();
  const before = performance.now();
  const error = await t.throwsAsync(p.client.get('/v1/zones'), { instanceOf: CliError });
  t.is(error?.code, 'unreachable');
  t.true(performance.now() - before < 1000);
});

test('who stays away is given up, and where the work is seen is said', async (t) => {
  const p = await played(t, (response) => response.end('{}'));
  await p.leave();
  const told: string[] = [];
  const tell = (message: string) => told.push(message);
  const error = await t.throwsAsync(p.client.wait('op-1', tell, { away: 100, every: 20 }), {
    instanceOf: CliError,
  });
  t.is(error?.code, 'unreachable');
  t.regex(error?.hint ?? '', /goes on .*: selvage operation show op-1$/);
  const named = await t.throwsAsync(
    p.client.wait('op-1', tell, { away: 100, every: 20, look: 'selvage workflow show wf-1' }),
    { instanceOf: CliError },
  );
  t.regex(named?.hint ?? '', /: selvage workflow show wf-1$/);
  t.is(told.length, 2, 'once for each wait');
});

test('a controller that is ending is waited for, one that refuses is not', async (t) => {
  const p = await played(t, (response, before) => {
    response.statusCode = [503, 200, 404][before] ?? 500;
    response.end('{"detail":"so it is"}');
  });
  const told: string[] = [];
  const ask = () =>
    reached(() => p.client.get('/v1/x'), { tell: (message) => told.push(message), look: 'look', every: 20 });
  await ask();
  t.is(p.asked(), 2);
  t.is(told.length, 1);
  const error = await t.throwsAsync(ask(), { instanceOf: ApiError });
  t.is(error?.status, 404);
  t.is(p.asked(), 3);
});
