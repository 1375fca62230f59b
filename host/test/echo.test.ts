import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { namespaces } from 'node-netlink';
import { Echo, ECHO_PORT, TOKEN, TOKEN_OFFSET } from '../probes/echo.ts';
import { DatagramSocket, streamSocket } from '../probes/sockets.ts';

const name = `svt${process.pid}echo`;

test.before(() => {
  namespaces.create(name, { loopbackUp: true });
  execFileSync('/usr/sbin/ip', ['-n', name, 'address', 'add', '192.0.2.1/32', 'dev', 'lo']);
});
test.after.always(() => namespaces.remove(name));

/** A connection to the echo; what became of it within a moment. */
const connection = async (target: string): Promise<{ socket: Socket; answered: boolean }> => {
  const socket = new Socket({ fd: streamSocket(name, target), readable: true, writable: true });
  socket.on('error', () => {});
  const told = (event: string, means: boolean): Promise<boolean> =>
    once(socket, event).then(
      () => means,
      () => false,
    );
  const ended = told('close', false);
  const answered = told('data', true);
  socket.connect({ host: target, port: ECHO_PORT }, () => socket.write('.'));
  return { socket, answered: await Promise.race([answered, ended, sleep(5000, false)]) };
};

test('strangers do not take the place of probes', async (t) => {
  const echo = new Echo(name);
  const turns = setInterval(() => echo.turn(), 5);
  t.teardown(() => {
    clearInterval(turns);
    echo.close();
  });
  // Who connects to an address of the machine itself comes from there.
  const strangers = await Promise.all(Array.from({ length: 300 }, () => connection('127.0.0.1')));
  t.teardown(() => strangers.forEach(({ socket }) => socket.destroy()));
  t.is(strangers.filter(({ answered }) => answered).length, 256);
  t.false((await connection('192.0.2.1')).answered, 'control: not heard yet, it is a stranger');

  const probe = DatagramSocket.connected(name, '192.0.2.1', ECHO_PORT);
  t.teardown(() => probe.close());
  const bytes = Buffer.alloc(TOKEN_OFFSET + TOKEN.length);
  t.true(probe.send(bytes), 'control: without the token');
  await sleep(50);
  t.false((await connection('192.0.2.1')).answered);
  TOKEN.copy(bytes, TOKEN_OFFSET);
  t.true(probe.send(bytes));
  await sleep(50);
  const { socket, answered } = await connection('192.0.2.1');
  t.true(answered);
  socket.destroy();
  t.false((await connection('127.0.0.1')).answered, 'the strangers are still where they were');
});
