import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { NetlinkError, processStartTime, retireSockets } from 'node-netlink';

/** Listens on both, says where, and says what it gets. */
const program = `
  const udp = require('node:dgram').createSocket({ type: 'udp4', reuseAddr: true });
  udp.on('message', (message) => process.stdout.write('udp ' + message + '\\n'));
  const tcp = require('node:net').createServer((socket) => socket.on('data', (data) => socket.write(data)));
  tcp.listen(0, '127.0.0.1', () => {
    const { port } = tcp.address();
    udp.bind(port, '127.0.0.1', () => process.stdout.write(port + '\\n'));
  });
`;

test('ports of a running program are free for another, and what it accepted goes on', async (t) => {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  const owner = { pid: child.pid as number, startTime: processStartTime(child.pid as number) as number };
  const heard: string[] = [];
  child.stdout.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
  const kept = connect(port, '127.0.0.1');
  t.teardown(() => kept.destroy());
  await once(kept, 'connect');
  kept.write('one');
  await once(kept, 'data');

  const listen = async (): Promise<string> => {
    const server = createServer((socket) => socket.end('mine'));
    t.teardown(() => server.close());
    server.listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
      return 'listening';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? '';
    }
  };
  t.is(await listen(), 'EADDRINUSE', 'control');
  t.is(retireSockets(owner, { tcp: port + 1, udp: port + 1 })(), 0);
  const later = { ...owner, startTime: owner.startTime + 1 };
  t.is(
    t.throws(() => retireSockets(later, { tcp: port, udp: port })(), { instanceOf: NetlinkError }).code,
    'netlink-not-found',
  );
  t.is(await listen(), 'EADDRINUSE', 'another process that has its pid keeps its ports');
  t.is(retireSockets(owner, { tcp: port, udp: port })(), 2);
  t.is(await listen(), 'listening');
  const fresh = connect(port, '127.0.0.1');
  t.is(String((await once(fresh, 'data'))[0]), 'mine');

  const own = createSocket({ type: 'udp4', reuseAddr: true });
  t.teardown(() => own.close());
  own.bind(port, '127.0.0.1');
  await once(own, 'listening');
  const sender = createSocket('udp4');
  t.teardown(() => sender.close());
  sender.send('two', port, '127.0.0.1');
  t.is(String((await once(own, 'message'))[0]), 'two');
  kept.write('three');
  t.is(String((await once(kept, 'data'))[0]), 'three');
  await delay(20);
  t.deepEqual(heard, []);
});

test('a process that is gone is said', (t) => {
  t.throws(() => retireSockets({ pid: 2 ** 22 + 1 }, { tcp: 53 }));
});
