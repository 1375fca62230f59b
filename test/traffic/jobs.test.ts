/** Each client against servers that misbehave, on loopback. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { bulk } from '../../bench/traffic/jobs/bulk.ts';
import { connections } from '../../bench/traffic/jobs/connections.ts';
import { flows } from '../../bench/traffic/jobs/flows.ts';
import type { Job } from '../../bench/traffic/jobs/job.ts';
import { serve } from '../../bench/traffic/jobs/serve.ts';
import { MESSAGE_LENGTH } from '../../bench/traffic/message.ts';
import { Pacer } from '../../bench/traffic/pacer.ts';
import type { BulkReport, ConnectionReport, FlowReport } from '../../bench/traffic/report.ts';
import type { Endpoint } from '../../bench/traffic/traffic-map.ts';

const HERE = '127.0.0.1';
const PORT = 7001;
const SINK_PORT = 7002;

let addresses = 0;
/** An address of this machine that no other test or program uses: tests run side by side, and free ports do not stay free. */
const freshAddress = (): string => {
  addresses += 1;
  return `127.${1 + (process.pid % 250)}.1.${addresses}`;
};

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** A server that echoes, until `turn` says of the nth message of a connection that it does something else. */
const serverThat = async (
  t: ExecutionContext,
  turn: (message: Buffer, number: number, socket: Socket) => Buffer | null,
): Promise<Endpoint> => {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    let number = 0;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (message: Buffer) => {
      number += 1;
      const answer = turn(message, number, socket);
      if (answer !== null) socket.write(answer);
    });
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((done) => server.listen(0, HERE, done));
  return { address: HERE, port: (server.address() as AddressInfo).port };
};

const run = async <R>(t: ExecutionContext, job: Job, ms: number): Promise<R> => {
  const pacer = new Pacer(1);
  t.teardown(() => {
    pacer.close();
    job.close();
  });
  await job.open();
  job.begin(pacer);
  await pause(ms);
  await job.end();
  return job.report() as R;
};

const flip = (message: Buffer): Buffer => {
  const other = Buffer.from(message);
  other[MESSAGE_LENGTH - 1] = (other[MESSAGE_LENGTH - 1] ?? 0) ^ 1;
  return other;
};

const runFlows = (t: ExecutionContext, to: Endpoint, ms: number) =>
  run<FlowReport>(
    t,
    flows({ kind: 'flows', label: 'test', way: 'port-forward', to: [to], count: 4, interval: 20 }),
    ms,
  );

test('flows: an honest server breaks none', async (t) => {
  // In pieces, to see that pieces are put together.
  const to = await serverThat(t, (message, _number, socket) => {
    socket.write(message.subarray(0, 10));
    setTimeout(() => socket.write(message.subarray(10)), 1);
    return null;
  });
  const report = await runFlows(t, to, 400);
  t.like(report, { broken: 0, down: 0, causes: {} });
  t.true(report.echoes > 20);
});

for (const [name, cause, act] of [
  ['a wrong byte', 'corrupted', (message: Buffer) => flip(message)],
  ['an echo too many', 'corrupted', (message: Buffer) => Buffer.concat([message, message])],
  [
    'a reset',
    'reset',
    (_message: Buffer, socket: Socket) => {
      socket.resetAndDestroy();
      return null;
    },
  ],
  [
    'an orderly end',
    'closed',
    (_message: Buffer, socket: Socket) => {
      socket.end();
      return null;
    },
  ],
] as const)
  test(`flows: ${name} breaks them, and stands under ${cause}`, async (t) => {
    let spoilt = 0;
    const to = await serverThat(t, (message, number, socket) => {
      // Once for each of the four; those that are opened again are left alone.
      if (number !== 3 || spoilt === 4) return message;
      spoilt += 1;
      return act(message, socket);
    });
    const report = await runFlows(t, to, 1200);
    t.like(report, { broken: 4, down: 0, causes: { [cause]: 4 } });
    t.is(report.moments.length, 4);
    t.true(report.moments.every(({ at, what }) => what === cause && at > 0 && at < 1200));
  });

test('flows: no answer for 10 s is a broken flow', async (t) => {
  const to = await serverThat(t, (message, number) => (number > 3 ? null : message));
  const report = await runFlows(t, to, 10_500);
  t.deepEqual(report.causes, { stalled: 4 });
  t.is(report.broken, 4);
  t.true(report.longestStall >= 10_000);
});

test('flows: a server that never answers is not begun with', async (t) => {
  const job = flows({
    kind: 'flows',
    label: 'test',
    way: 'static-nat',
    to: [{ address: freshAddress(), port: PORT }],
    count: 2,
    interval: 50,
  });
  t.teardown(() => job.close());
  await t.throwsAsync(job.open(), { message: /2 of 2 flows through static-nat do not come up/ });
});

const runConnections = (t: ExecutionContext, to: Endpoint, ms: number) =>
  run<ConnectionReport>(
    t,
    connections({ kind: 'connections', label: 'test', way: 'load-balancer', to: [to], rate: 100, life: 50 }),
    ms,
  );

test('connections: an honest server fails none', async (t) => {
  const report = await runConnections(t, await serverThat(t, (message) => message), 500);
  t.like(report, { failed: 0, slow: 0, late: 0, causes: {} });
  t.is(report.finished, report.started);
  t.true(report.started > 20);
});

test('connections: what goes wrong is told by phase and cause', async (t) => {
  let number = 0;
  const wrongs = new Map<Socket, number>();
  const to = await serverThat(t, (message, turn, socket) => {
    if (turn === 1) {
      number += 1;
      wrongs.set(socket, number);
    }
    // The first is the trial.
    switch ((wrongs.get(socket) ?? 0) % 8) {
      case 2:
        return flip(message);
      case 3:
        socket.resetAndDestroy();
        return null;
      case 4:
        return turn === 1 ? message : null;
      case 5:
        if (turn === 2) socket.end();
        return turn === 2 ? null : message;
      case 6:
        setTimeout(() => socket.write(message), turn === 1 ? 1100 : 0);
        return null;
      default:
        return message;
    }
  });
  const report = await runConnections(t, to, 600);
  t.deepEqual(
    Object.keys(report.causes).toSorted(),
    ['echo corrupted', 'echo reset', 'second echo closed', 'second echo timeout'].toSorted(),
  );
  t.true(report.late > 0 && report.late < report.finished);
  t.is(report.slow, 0);
  t.is(report.failed + report.finished, report.started);
  t.is(report.moments.length, Math.min(100, report.failed));
  t.true(report.moments.every(({ what }) => what in report.causes));
});

test('connections: refused', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((done) => server.listen(0, HERE, done));
  const to = { address: HERE, port: (server.address() as AddressInfo).port };
  setTimeout(() => server.close(), 300);
  const report = await runConnections(t, to, 600);
  // One that is waiting to be accepted while the server closes is reset.
  t.deepEqual(
    Object.keys(report.causes).filter((cause) => cause !== 'connect reset'),
    ['connect refused'],
  );
  t.true(report.failed > 10 && report.finished > 10);
});

const served = async (t: ExecutionContext): Promise<{ address: string; job: Job }> => {
  const address = freshAddress();
  const job = serve({ kind: 'serve', address, port: PORT, morePorts: [], sinkPort: SINK_PORT });
  t.teardown(() => job.close());
  await job.open();
  return { address, job };
};

test('bulk: every byte is confirmed', async (t) => {
  const { address } = await served(t);
  const report = await run<BulkReport>(
    t,
    bulk({ kind: 'bulk', label: 'test', to: { address, port: SINK_PORT }, mbit: 80 }),
    500,
  );
  t.like(report, { broken: 0, missing: 0 });
  t.true(report.bytes > 1e6);
});

test('bulk: a sink that goes away is a broken flow', async (t) => {
  const first = await served(t);
  setTimeout(() => first.job.close(), 200);
  const report = await run<BulkReport>(
    t,
    bulk({ kind: 'bulk', label: 'test', to: { address: first.address, port: SINK_PORT }, mbit: 8 }),
    500,
  );
  t.is(report.broken, 1);
  const [moment] = report.moments;
  t.true(moment !== undefined && moment.at > 100 && moment.at < 500, JSON.stringify(moment));
});

test('the sink refuses bytes that are not the stream', async (t) => {
  const { address } = await served(t);
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
    const socket = connect(SINK_PORT, address, () => socket.write(Buffer.alloc(2000)));
    socket.on('error', resolve);
  });
  t.is(error.code, 'ECONNRESET');
});

test('the server echoes datagrams and counts', async (t) => {
  const { address, job } = await served(t);
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  const answer = new Promise<string>((resolve) =>
    socket.once('message', (message) => resolve(message.toString())),
  );
  socket.send('hello', PORT, address);
  t.is(await answer, 'hello');
  t.like(job.report(), { kind: 'serve', datagrams: 1 });
});
